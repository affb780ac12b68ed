from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from queueserver_http.handlers.spreadsheet import SpreadsheetError, plans_from


def plans(text: str) -> list[dict[str, Any]]:
    return plans_from(io.BytesIO(text.encode()), "plans.csv")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("'a'", "a"),
        ("a", "a"),
        ("det1", "det1"),
        ("[1, 'a']", [1, "a"]),
        ("{'a': (1, 2)}", {"a": (1, 2)}),
        ("None", None),
        ("True", True),
        ("nan", pytest.approx(float("nan"), nan_ok=True)),
        ("os.getcwd()", "os.getcwd()"),
        ("(lambda: 1)()", "(lambda: 1)()"),
        ("1 + 1", "1 + 1"),
    ],
)
def test_cells_are_literals_or_texts(cell: str, value: Any) -> None:
    [plan] = plans(f'name,args,x\ncount,,"{cell}"')
    assert plan["kwargs"]["x"] == value


@pytest.mark.parametrize(
    ("cell", "arguments"),
    [
        ("['det1'], 5", [["det1"], 5]),
        ("['det1']", [["det1"]]),
        ("det1, det2", ["det1", "det2"]),
        ("5", [5]),
        ("1, 'a, b',", [1, "a, b"]),
        ("", None),
    ],
)
def test_the_second_column_is_the_positional_arguments(cell: str, arguments: list[Any] | None) -> None:
    [plan] = plans(f'name,args\ncount,"{cell}"')
    assert plan.get("args") == arguments


@pytest.mark.row("http-api", "spreadsheet: columns, empty names and cells")
def test_rows_without_a_name_are_skipped_and_empty_cells_are_not_given() -> None:
    assert plans("name,args,a,b\n,1,2,3\ncount,,,4\n\n") == [{"item_type": "plan", "name": "count", "kwargs": {"b": 4}}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,args,a b\n", "'a b'"),
        ("name,args,a,a\n", "more than once"),
        ("name,args\ncount,,3\n", "Row 2 has a value in column 3"),
        ('name,args\n"count', "cannot be read as .csv"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(SpreadsheetError, match=words):
        plans(text)


def test_a_workbook_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"\0" * (201 * 1024 * 1024))
    file.seek(0)
    with pytest.raises(SpreadsheetError, match="unpacks to more than"):
        plans_from(file, "bomb.xlsx")
