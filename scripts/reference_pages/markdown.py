"""Markdown, and the texts that the source code keeps below its names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

GENERATED = "<!-- Written by `make docs` from {source}: change it there. -->"


def page(title: str, source: str, *blocks: str) -> str:
    """A whole page; `source` names where its content comes from."""
    return "\n\n".join([f"# {title}", GENERATED.format(source=source), *blocks]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Text as inline code; nothing for nothing."""
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[object]) -> str:
    """Several texts as inline code."""
    return ", ".join(map(code, texts))


def text(plain: str) -> str:
    """Plain text, with the characters escaped that would begin emphasis."""
    return plain.replace("*", r"\*")


def prose(docstring: str | None) -> str:
    """A docstring on one line, without what it says of its source."""
    line = re.sub(r"\s+", " ", docstring or "").strip()
    return re.sub(r" \((?:cli|zmq-api|plans-and-permissions|argparse|design)\b[^)]*\)", "", line)


def documented(module: ModuleType) -> dict[str, str]:
    """The docstrings of the names and fields of a module: `NAME` and `Class.field`, in the order of the source."""
    return _documented(ast.parse(Path(str(module.__file__)).read_text()).body)


def _documented(body: list[ast.stmt], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    following = [*body[1:], None]
    for statement, after in zip(body, following, strict=True):
        if isinstance(statement, ast.ClassDef):
            found[f"{prefix}{statement.name}"] = prose(ast.get_docstring(statement))
            found |= _documented(statement.body, f"{prefix}{statement.name}.")
        elif name := _assigned(statement):
            found[f"{prefix}{name}"] = prose(_text(after))
    return found


def _assigned(statement: ast.stmt) -> str:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return ""


def _text(statement: ast.stmt | None) -> str:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        return value if isinstance(value, str) else ""
    return ""
