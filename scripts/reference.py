"""Write the pages and files that follow from the code: `python scripts/reference.py [--check]`.

`make docs` runs it. With `--check` nothing is written: the exit code is 1 when a page differs from the code, and the
names of these pages are printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from reference_pages import (
    charts,
    exit_codes,
    http_server,
    link_protocol,
    methods,
    operator_program,
    programs,
    resources,
    state_machine,
    status,
)

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
STATE_MACHINE = ROOT / "docs" / "explanations" / "state-machine.md"


def pages() -> dict[Path, str]:
    """Every page with the text that it should have."""
    return {
        REFERENCE / "methods.md": methods.page(),
        REFERENCE / "status.md": status.page(),
        REFERENCE / "exit-codes.md": exit_codes.page(),
        REFERENCE / "link-protocol.md": link_protocol.page(),
        REFERENCE / "operator.md": operator_program.page(),
        **{REFERENCE / name: text for name, text in http_server.pages().items()},
        **{REFERENCE / "programs" / name: text for name, text in programs.pages().items()},
        **{REFERENCE / name: text for name, text in resources.pages().items()},
        **charts.files(),
        STATE_MACHINE: state_machine.fill(STATE_MACHINE.read_text()),
    }


def main(arguments: list[str]) -> int:
    """Write or check all pages; returns the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python scripts/reference.py [--check]", file=sys.stderr)
        return 2
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} does not say what the code says: run 'make docs'.")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages()[path])
        print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
