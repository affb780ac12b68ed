"""A start that cannot succeed ends with a sentence and an exit code, without a traceback, and leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faulty_manager import LONG, FaultyManager, wait_until
from manager_client import NoAnswer

REFUSED = 10
"""Exit code when another manager holds the data."""

Make = Callable[..., FaultyManager]

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
AS_USER = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def failure(manager: FaultyManager, code: int = 1) -> str:
    """What a start says that fails with this exit code: the last line that it writes."""
    manager.start(wait=False)
    assert manager.wait_end() == code, manager.log_text
    manager.assert_no_process_left()
    assert "Traceback" not in manager.log_text
    last = manager.log_text.splitlines()[-1]
    assert last.startswith("start-re-manager: ")
    return last.removeprefix("start-re-manager: ")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("what", ["control", "info"])
def test_a_port_in_use(make_manager: Make, taken_port: int, what: str) -> None:
    manager = make_manager()
    setattr(manager, f"{what}_address", f"tcp://127.0.0.1:{taken_port}")
    said = failure(manager)
    assert f"The {what} socket cannot listen on 'tcp://127.0.0.1:{taken_port}'" in said
    assert f"in use by process {os.getpid()}" in said


def test_a_data_directory_that_is_a_file(make_manager: Make) -> None:
    manager = make_manager()
    manager.data_dir.write_text("")
    said = failure(manager)
    assert str(manager.data_dir) in said
    assert "--data-dir" in said


@AS_USER
def test_a_data_directory_that_is_not_writable(make_manager: Make) -> None:
    manager = make_manager()
    manager.data_dir.mkdir(mode=0o500)
    said = failure(manager)
    assert str(manager.data_dir) in said
    assert "--data-dir" in said


@AS_ROOT
def test_a_data_directory_on_a_file_system_without_write_access(make_manager: Make, small_disk: Path) -> None:
    manager = make_manager()
    manager.data_dir = small_disk / "data"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = failure(manager)
    assert str(manager.data_dir) in said
    assert "--data-dir" in said


@pytest.mark.row("cli", "exit codes of a start that fails")
def test_a_profile_that_is_missing(make_manager: Make) -> None:
    manager = make_manager(startup_files=None)
    manager.options.append("--startup-dir=/nowhere/profile")
    said = failure(manager)
    assert "'/nowhere/profile' does not exist" in said
    assert "--startup-dir" in said


def test_an_option_that_does_not_exist(make_manager: Make) -> None:
    manager = make_manager(options=["--no-such-option"])
    assert "--no-such-option" in failure(manager, code=2)


def test_a_second_manager_on_the_same_data(make_manager: Make) -> None:
    with FaultyManager() as first:
        second = make_manager()
        second.data_dir, second.runtime_dir = first.data_dir, first.runtime_dir
        second.start(wait=False)
        assert second.wait_end() == REFUSED
        said = second.log_text.splitlines()[-1]
        assert "Traceback" not in second.log_text
        assert f"process {first.manager_pid} on host {socket.gethostname()}" in said
        assert first.status()["manager_state"] == "idle"
        first.works_on()


# A full disk ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Write a file until the disk is full, then free so many bytes; returns the file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return filler


@AS_ROOT
@pytest.mark.parametrize("leave", [0, 16 * 1024])
def test_a_full_disk(make_manager: Make, small_disk: Path, leave: int) -> None:
    manager = make_manager()
    manager.data_dir = small_disk / "data"
    filler = fill(small_disk, leave=leave)
    assert "full" in failure(manager).lower()
    filler.unlink()
    manager.start()
    manager.works_on()
    manager.stop()


def refusal(manager: FaultyManager) -> str:
    """What a request is told that needs the store."""
    reply = manager.call("queue_clear")
    assert not reply["success"]
    said: str = reply["msg"]
    return said


@AS_ROOT
@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
def test_a_disk_that_becomes_full_in_a_plan(make_manager: Make, small_disk: Path, appendfsync: str) -> None:
    """The plan goes on, and may print; requests are refused with the cause; nothing accepted is lost."""
    manager = make_manager(options=[f"--appendfsync={appendfsync}"])
    manager.data_dir = small_disk / "data"
    manager.start()
    manager.open_environment()
    caller = {"user": "Tester", "user_group": "primary"}
    held = manager.start_holding("hold_and_print")
    filler = fill(small_disk)
    accepted = []
    for _ in range(200):
        try:
            reply = manager.call("queue_item_add", item={"item_type": "plan", "name": "null"}, **caller, _timeout=2.0)
        except NoAnswer:
            break  # a server that forces writes to disk ends: the outcome is looked up when it is back
        if not reply["success"]:
            break
        accepted.append(reply["item"]["item_uid"])
    else:
        raise AssertionError("the disk does not become full")
    manager.wait_status(lambda s: s["store"] == "away")
    wait_until(lambda: "full" in refusal(manager), "refusal that tells the cause")
    held.wait_running()

    filler.unlink()
    manager.wait_status(lambda s: s["store"] == "connected", LONG)
    queue = manager.queue_uids
    assert queue[: len(accepted)] == accepted
    assert len(queue) <= len(accepted) + 1
    held.release()
    manager.wait_history(1 + len(queue))
    assert {end for _, end in manager.results()} == {"completed"}
    manager.stop()
