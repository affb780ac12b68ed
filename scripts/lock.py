"""Write the exact versions of all packages, with hashes: `python scripts/lock.py [--upgrade]`.

Reads `pyproject.toml` and writes `requirements/dev.txt` and, with the same versions, `requirements/local.txt`. One
resolution serves every supported Python (markers tell the differences). Versions that are locked already stay unless
`--upgrade` is given. The files name packages only, never where they come from.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
HEADER = "# The exact packages of the extra `{extra}`, written from pyproject.toml by `make lock`.\n"
ADDRESS = re.compile(r"://|\bfile:|--(extra-)?index|--find-links", re.IGNORECASE)


def main(arguments: list[str]) -> int:
    """Write both files; the exit code is 0 when they are complete."""
    if arguments not in ([], ["--upgrade"]):
        print("usage: python scripts/lock.py [--upgrade]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = f"{folder}/bin/python"
        subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", "uv>=0.9,<1"], check=True)
        lock(python, "dev", arguments)
        lock(python, "local", [*arguments, "--constraints", "requirements/dev.txt"])
    return 0


def lock(python: str, extra: str, arguments: list[str]) -> None:
    """Resolve one extra and write its file; refuses to write one that names an address."""
    target = REQUIREMENTS / f"{extra}.txt"
    options = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    resolve = [python, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", extra, "--group", "build"]
    subprocess.run(
        [*resolve, *options, "--output-file", str(target), *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    text = target.read_text()
    if ADDRESS.search(text):
        target.unlink()
        raise SystemExit(
            f"{target.name} would name where packages come from; it was removed. Is an index configured for uv?"
        )
    target.write_text(HEADER.format(extra=extra) + text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
