"""Run the tests that need a cluster: `python scripts/cluster_tests.py [options of pytest]`.

Most of them wait more than they compute, therefore several run at a time. At first: those of tests/cluster that need an
API server alone, one contract test of each method against a manager in the cluster, and two lanes of those that need
nodes. Then, one after another, those that change what all share, the nodes or the operator. What runs beside the lanes
is printed when the lanes have ended.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

Command = list[str | Path]

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "cluster"
WITHOUT_NODES: Command = [TESTS / name for name in ("charts", "crds", "manager", "operator")]
WITH_NODES: Command = [TESTS, *(f"--ignore={folder}" for folder in WITHOUT_NODES)]
CONTRACT: Command = [ROOT / "tests" / "contract", "--in-cluster"]
LANES = ["-n", "2", "--dist", "loadfile"]
NOTHING_CHOSEN = 5
"""Exit code of pytest when the options choose no test."""


def main(options: list[str]) -> int:
    """Run all of them; the exit code is 0 when tests were run and all of them passed."""
    pytest: Command = [sys.executable, "-m", "pytest", *options]
    lanes: Command = [*pytest, *WITH_NODES, *LANES, "-m", "not alone"]
    codes = _at_the_same_time(lanes, [*pytest, *WITHOUT_NODES], [*pytest, *CONTRACT])
    codes.append(subprocess.run([*pytest, *WITH_NODES, "-m", "alone"], cwd=ROOT, check=False).returncode)
    return exit_code(codes)


def exit_code(codes: Iterable[int]) -> int:
    """0 when all have passed, or some of them where the options choose no test of the others; negative: killed."""
    ran = [code for code in codes if code != NOTHING_CHOSEN]
    return next(filter(None, ran), 0) if ran else NOTHING_CHOSEN


def _at_the_same_time(shown: Command, *others: Command) -> list[int]:
    """Exit codes of commands that run at the same time; what the others print comes at the end."""
    with ThreadPoolExecutor() as pool:
        beside = [pool.submit(_kept, command) for command in others]
        codes = [subprocess.run(shown, cwd=ROOT, check=False).returncode]
        for command in as_completed(beside):
            done = command.result()
            sys.stdout.write(done.stdout)
            sys.stdout.flush()
            codes.append(done.returncode)
    return codes


def _kept(command: Command) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
