"""Write the exact versions of all packages, with hashes: `python scripts/lock.py [--upgrade]`.

Reads `pyproject.toml` and writes the files of `requirements/`: `dev.txt` first, the others with the same versions, so
that an image holds what the tests ran with. One resolution serves every supported Python (markers tell the
differences). Versions that are locked already stay unless `--upgrade` is given. The files name packages only, never
where they come from.
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
HEADER = "# The exact packages {purpose}, written from pyproject.toml by `make lock`.\n"
ADDRESS = re.compile(r"://|\bfile:|--(extra-)?index|--find-links", re.IGNORECASE)
# File: what it is for, and the options that choose its packages. The first one has all the others in it.
BUILD = ["--group", "pyproject.toml:build"]
LOCKS = {
    "dev": ("of the extra `dev`", ["pyproject.toml", "--extra", "dev", *BUILD]),
    "local": ("of the extra `local`", ["pyproject.toml", "--extra", "local", *BUILD]),
    "manager": (
        "of the image of manager and HTTP server",
        ["pyproject.toml", "--extra", "manager", "--extra", "http", "--extra", "redis"],
    ),
    "operator": ("of the operator's image", ["pyproject.toml", "--extra", "operator"]),
    "worker": ("of the worker's image", ["pyproject.toml", "--extra", "worker", "--extra", "ipython"]),
    "build": ("that build the wheel", BUILD),
    "client": ("of the client's image for tests", ["--group", "pyproject.toml:client", "--no-deps"]),
}


def main(arguments: list[str]) -> int:
    """Write all files; the exit code is 0 when they are complete."""
    if arguments not in ([], ["--upgrade"]):
        print("usage: python scripts/lock.py [--upgrade]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = f"{folder}/bin/python"
        subprocess.run([python, "-I", "-m", "pip", "install", "--quiet", "uv>=0.9,<1"], check=True)
        for name in LOCKS:
            same_versions = [] if name == "dev" else ["--constraints", "requirements/dev.txt"]
            lock(python, name, [*arguments, *same_versions])
    return 0


def lock(python: str, name: str, arguments: list[str]) -> None:
    """Resolve one set of packages and write its file; refuses to write one that names an address."""
    purpose, packages = LOCKS[name]
    target = REQUIREMENTS / f"{name}.txt"
    options = [
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    resolve = [python, "-m", "uv", "pip", "compile", *packages]
    subprocess.run(
        [*resolve, *options, "--output-file", str(target), *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )
    text = target.read_text()
    if ADDRESS.search(text):
        target.unlink()
        raise SystemExit(
            f"{target.name} would name where packages come from; it was removed. Is an index configured for uv?"
        )
    target.write_text(HEADER.format(purpose=purpose) + text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
