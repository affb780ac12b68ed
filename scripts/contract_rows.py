"""Rows of the contract that no test checks: `python scripts/contract_rows.py [PAGE]`.

The rows of a page are the lines of `tests/contract/rows/PAGE.txt`. Tests name what they check with
`@pytest.mark.row("PAGE", "one row", "another one")`. The exit code is 1 when a row has no test or a test names a row
that there is not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "tests" / "contract" / "rows"
TESTS = (
    "tests/contract",
    "tests/faults",
    *(f"tests/unit/{part}" for part in ("api", "cli", "common", "http", "manager", "store", "worker")),
)
"""Where tests of the contract are."""


def read_rows() -> dict[str, list[str]]:
    """Return the rows of each page."""
    return {path.stem: _lines(path) for path in sorted(ROWS.glob("*.txt"))}


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Collector:
    """A plugin of pytest that gathers the rows which the collected tests name."""

    def __init__(self) -> None:
        self.tests: dict[tuple[str, str], set[str]] = {}
        """Tests by page and row."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Called by pytest with all tests."""
        for item in items:
            for marker in item.iter_markers("row"):
                page, *rows = marker.args
                for row in rows:
                    self.tests.setdefault((page, row), set()).add(item.nodeid.partition("[")[0])


def collect() -> dict[tuple[str, str], set[str]]:
    """Return the tests of each row that a test names; raises `SystemExit` when the tests cannot be collected."""
    collector = Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *TESTS], plugins=[collector])
    if code is not pytest.ExitCode.OK:
        sys.exit(f"The tests cannot be collected:\n{output.getvalue()[-3000:]}")
    return collector.tests


def problems(rows: dict[str, list[str]], tests: dict[tuple[str, str], set[str]]) -> list[str]:
    """Return a line for each row without a test, for each row that is not there, and for each that is twice."""
    known = [(page, row) for page, lines in rows.items() for row in lines]
    return [
        *(f"{page}: no test checks: {row}" for page, row in known if (page, row) not in tests),
        *(
            f"{page}: there is no row: {row} ({min(tests[page, row])})"
            for page, row in sorted(tests.keys() - set(known))
        ),
        *(f"{page}: twice: {row}" for page, row in sorted({one for one in known if known.count(one) > 1})),
    ]


def main(arguments: Sequence[str]) -> int:
    """Print what is missing; with a page, the tests of each of its rows as well."""
    parser = argparse.ArgumentParser(description="Rows of the contract that no test checks.")
    parser.add_argument("page", nargs="?", help="print the tests of each row of this page")
    options = parser.parse_args(arguments)
    rows, tests = read_rows(), collect()
    for row in rows.get(options.page, ()):
        print(row, *sorted(tests.get((options.page, row), ())), sep="\n    ")
    found = problems(rows, tests)
    print("\n".join(found) if found else f"All {sum(map(len, rows.values()))} rows have tests.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
