"""Load a profile as startup code is loaded, files in the order of their names in one namespace, and nothing else.

Arguments: directory; --wait to wait for a line on standard input after the imports; --preload MODULE ... for what to
import before the measurement. Prints the seconds of the load, or with --wait "ready" and then the seconds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path


def load(directory: Path) -> dict[str, object]:
    """Execute the files of the directory; returns the namespace."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for path in sorted(directory.glob("*.py")):
        exec(compile(path.read_text(), path, "exec"), namespace)
    return namespace


def main() -> None:
    """Load and tell how long it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--wait", action="store_true")
    parser.add_argument("--preload", nargs="*", default=[])
    options = parser.parse_args()
    for name in options.preload:
        importlib.import_module(name)
    if options.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    start = time.perf_counter()
    load(options.directory)
    print(json.dumps(time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
