"""Logs of workers."""

from __future__ import annotations

import os
from pathlib import Path

from queueserver_manager.launch.logs import KEPT_LOGS, last_lines, open_log, rename_log, trim
from queueserver_manager.launch.process_identity import how_it_ended


def write(directory: Path, name: str, data: bytes, age: int = 0) -> Path:
    descriptor, path = open_log(directory, name)
    os.write(descriptor, data)
    os.close(descriptor)
    os.utime(path, (10**9 - age, 10**9 - age))
    return path


def test_the_last_few_logs_are_kept(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    for age in range(KEPT_LOGS + 5, 0, -1):
        write(tmp_path, f"o{age}", b"text", age)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes.txt", *(f"worker-o{age}.log" for age in range(1, KEPT_LOGS + 1))}


def test_a_log_is_for_the_owner_alone(tmp_path: Path) -> None:
    assert write(tmp_path, "o", b"").stat().st_mode & 0o777 == 0o600


def test_a_renamed_log_is_still_written_to(tmp_path: Path) -> None:
    descriptor, path = open_log(tmp_path, "ready")
    new = rename_log(path, "o1")
    os.write(descriptor, b"line")
    os.close(descriptor)
    assert new == tmp_path / "worker-o1.log"
    assert new.read_bytes() == b"line"


def test_a_log_that_grew_too_long_keeps_its_end_and_is_written_on(tmp_path: Path) -> None:
    descriptor, path = open_log(tmp_path, "o")
    lines = [f"line {number}" for number in range(1000)]
    os.write(descriptor, "\n".join(lines).encode() + b"\n")
    trim(path, limit=10**6, keep=100)
    assert len(path.read_text().splitlines()) == 1000
    trim(path, limit=1000, keep=100)
    os.write(descriptor, b"last\n")
    os.close(descriptor)
    left = path.read_text().splitlines()
    assert left[0] == "[the beginning of this log was dropped]"
    assert left[1:] == [*lines[-len(left) + 2 :], "last"]
    assert 5 < len(left) < 15


def test_the_last_lines_of_a_missing_log_are_empty(tmp_path: Path) -> None:
    path = write(tmp_path, "o", b"1\n2\n3\n")
    assert last_lines(path, 2) == "2\n3"
    assert last_lines(tmp_path / "none", 2) == ""


def test_a_kill_by_the_kernel_is_told_from_one_by_a_person() -> None:
    assert how_it_ended(-9, memory_ran_out=False) == "was killed by SIGKILL"
    assert how_it_ended(143, memory_ran_out=False) == "was ended by SIGTERM"
    assert (
        how_it_ended(-9, memory_ran_out=True)
        == "was killed by SIGKILL (probably by the kernel, because memory ran out)"
    )
    assert how_it_ended(-11, memory_ran_out=True) == "was killed by SIGSEGV"
    assert how_it_ended(-64, memory_ran_out=False) == "was killed by SIGRTMAX"
    assert how_it_ended(-50, memory_ran_out=False) == "was killed by signal 50"
