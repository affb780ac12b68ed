"""The script that compares the rows of the contract with the tests finds what is wrong."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from script_modules import script_module


@pytest.fixture
def script() -> ModuleType:
    return script_module("contract_rows")


def test_rows_without_a_test_unknown_and_repeated_rows_are_told(script: ModuleType) -> None:
    rows = {"page": ["tested", "untested", "twice", "twice"]}
    tests = {("page", "tested"): {"a"}, ("page", "twice"): {"a"}, ("page", "unknown"): {"tests/a.py::test_b"}}
    assert script.problems(rows, tests) == [
        "page: no test checks: untested",
        "page: there is no row: unknown (tests/a.py::test_b)",
        "page: twice: twice",
    ]
    assert script.problems({"page": ["tested"]}, {("page", "tested"): {"a"}}) == []


def test_empty_lines_and_headings_are_no_rows(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("# A heading\n\none row\n  another one\n")
    assert script._lines(tmp_path / "page.txt") == ["one row", "another one"]
