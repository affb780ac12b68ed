"""Every row of the contract has a test (scripts/contract_rows.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_every_row_of_the_contract_has_a_test() -> None:
    command = [sys.executable, "scripts/contract_rows.py"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.timeout(300)
def test_every_method_has_a_test_that_is_run_in_a_cluster_too() -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "--in-cluster", "-q"]
    answer = subprocess.run([*command, "tests/contract"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-3000:] + answer.stderr
