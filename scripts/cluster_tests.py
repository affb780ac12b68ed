"""Run tests/cluster: `python scripts/cluster_tests.py [options of pytest]`.

The tests that need an API server alone run beside those that need nodes: both wait more than they compute. What the
first ones print comes at the end. After those with nodes comes one contract test of each method, against a manager in
the cluster.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "cluster"
CONTRACT = ROOT / "tests" / "contract"
WITHOUT_NODES = [TESTS / name for name in ("charts", "crds", "manager", "operator")]
NOTHING_CHOSEN = 5
"""Exit code of pytest when the options choose no test."""


def main(options: list[str]) -> int:
    """Run all of them; the exit code is 0 when tests were run and all of them passed."""
    pytest = [sys.executable, "-m", "pytest", *options]
    with tempfile.TemporaryFile("w+") as output:
        beside = subprocess.Popen([*pytest, *WITHOUT_NODES], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            left_out = [f"--ignore={folder}" for folder in WITHOUT_NODES]
            commands: list[list[str | Path]] = [[*pytest, TESTS, *left_out], [*pytest, CONTRACT, "--in-cluster"]]
            codes = {subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands}
            codes.add(beside.wait())
        finally:
            beside.terminate()
            beside.wait()
            output.seek(0)
            sys.stdout.write(output.read())
    return max(codes - {NOTHING_CHOSEN}, default=NOTHING_CHOSEN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
