"""Plans from a spreadsheet (http-api 2.2): the first row names the columns, each further row is a plan.

Column 1 is the plan's name, column 2 its positional arguments, the others are named after keyword arguments. Cells
are Python literals and are never evaluated; a text that is no literal is the text itself.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import PurePath
from typing import Any, BinaryIO

from queueserver_common.literals import LiteralError, parse_literal

EXTENSIONS = (".xlsx", ".xls", ".csv")
_MOST_ROWS = 100_000
_MOST_COLUMNS = 500
_MOST_BYTES = 200 * 1024 * 1024
"""Bytes of an unpacked workbook."""

Cell = Any
Row = list[Cell]


class SpreadsheetError(ValueError):
    """A file that cannot be read as a list of plans; the text is a sentence."""


def plans_from(file: BinaryIO, name: str) -> list[dict[str, Any]]:
    """Items of the plans in a file; raises `SpreadsheetError`."""
    extension = PurePath(name).suffix.lower()
    if extension not in _READERS:
        raise SpreadsheetError(
            f"File '{name}' (extension '{extension}') is not supported: supported extensions {EXTENSIONS}"
        )
    try:
        rows = list(islice(_READERS[extension](file), _MOST_ROWS + 2))
    except SpreadsheetError:
        raise
    except Exception as error:  # whatever a library raises for a damaged file
        raise SpreadsheetError(f"File '{name}' cannot be read as {extension}: {error}") from None
    if len(rows) > _MOST_ROWS + 1:
        raise SpreadsheetError(f"File '{name}' has more than {_MOST_ROWS} rows")
    if not rows:
        raise SpreadsheetError(f"File '{name}' is empty: the first row must name the columns")
    header, *body = rows
    names = _column_names(header)
    return [item for number, row in enumerate(body, 2) if (item := _plan(row, names, number)) is not None]


def _column_names(header: Row) -> list[str]:
    names = ["" if _empty(cell) else str(cell).strip() for cell in header]
    for name in names[2:]:
        if name and not name.isidentifier():
            raise SpreadsheetError(f"Column {name!r} does not have the name of a keyword argument")
    repeated = sorted({name for name in names[2:] if name and names[2:].count(name) > 1})
    if repeated:
        raise SpreadsheetError(f"Columns {repeated} occur more than once")
    return names


def _plan(row: Row, names: list[str], number: int) -> dict[str, Any] | None:
    if not row or _empty(row[0]):
        return None
    item: dict[str, Any] = {"item_type": "plan", "name": str(row[0]).strip()}
    if len(row) > 1 and not _empty(row[1]):
        item["args"] = _arguments(row[1])
    kwargs = {}
    for position, cell in enumerate(row[2:], 2):
        if _empty(cell):
            continue
        name = names[position] if position < len(names) else ""
        if not name:
            raise SpreadsheetError(f"Row {number} has a value in column {position + 1}, which has no name")
        kwargs[name] = _value(cell)
    if kwargs:
        item["kwargs"] = kwargs
    return item


def _empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _arguments(cell: Cell) -> list[Any]:
    """The positional arguments of a cell, separated by commas: `['det1'], 5` is a list and a number."""
    if not isinstance(cell, str):
        return [_value(cell)]
    try:
        return list(parse_literal(f"({cell.strip()},)" if not cell.rstrip().endswith(",") else f"({cell.strip()})"))
    except LiteralError:
        return [_value(part) for part in cell.split(",")]


def _value(cell: Cell) -> Any:
    if isinstance(cell, str):
        try:
            return parse_literal(cell)
        except LiteralError:
            return cell.strip()
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)  # a workbook knows no integers
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    return str(cell)


# Files ---------------------------------------------------------------------------------------------------------


def _csv(file: BinaryIO) -> Iterator[Row]:
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SpreadsheetError("The file is not UTF-8 text") from None
    yield from csv.reader(io.StringIO(text, newline=""), strict=True)


def _xlsx(file: BinaryIO) -> Iterator[Row]:
    import openpyxl

    with zipfile.ZipFile(file) as archive:
        if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
            raise SpreadsheetError(f"The file unpacks to more than {_MOST_BYTES} bytes")
    file.seek(0)
    book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    try:
        sheet = book.worksheets[0]
        yield from _trimmed(sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS))
    finally:
        book.close()


def _xls(file: BinaryIO) -> Iterator[Row]:
    import xlrd

    sheet = xlrd.open_workbook(file_contents=file.read(), logfile=io.StringIO()).sheet_by_index(0)
    kinds: dict[int, Callable[[Cell], Cell]] = {
        xlrd.XL_CELL_BOOLEAN: bool,
        xlrd.XL_CELL_ERROR: lambda code: xlrd.error_text_from_code.get(code, "#N/A"),
    }
    for number in range(sheet.nrows):
        cells = islice(sheet.row(number), _MOST_COLUMNS)
        yield [kinds.get(cell.ctype, _same)(cell.value) for cell in cells]


def _same(value: Cell) -> Cell:
    return value


def _trimmed(rows: Iterable[tuple[Cell, ...]]) -> Iterator[Row]:
    for row in rows:
        cells = list(row)
        while cells and _empty(cells[-1]):
            cells.pop()
        yield cells


_READERS: dict[str, Callable[[BinaryIO], Iterator[Row]]] = {".csv": _csv, ".xlsx": _xlsx, ".xls": _xls}
