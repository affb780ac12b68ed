"""Manager and worker are killed while scripts and functions run: each result is told once, and nothing runs twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty_manager import FaultyManager, wait_until

KILLED = "the worker process was killed by SIGKILL"


def counting(count: Path, release: Path) -> str:
    """A script that leaves a line in a file and waits for another one."""
    return (
        "import pathlib, time\n"
        f"with pathlib.Path({str(count)!r}).open('a') as file: file.write('ran\\n')\n"
        f"while not pathlib.Path({str(release)!r}).exists(): time.sleep(0.005)\n"
    )


class Counted:
    """A script that runs until it is released, and how often it ran."""

    def __init__(self, manager: FaultyManager, *, background: bool) -> None:
        self.release = manager.release_file()
        self._count = self.release.with_suffix(".count")
        script = counting(self._count, self.release)
        reply = manager.accepted("script_upload", script=script, run_in_background=background)
        self.uid: str = reply["task_uid"]
        wait_until(self._count.exists, "start of the script")

    @property
    def runs(self) -> int:
        return len(self._count.read_text().splitlines())


BACKGROUND = pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])


@BACKGROUND
def test_a_task_goes_on_while_the_manager_is_killed(manager: FaultyManager, background: bool) -> None:
    task = Counted(manager, background=background)
    manager.kill_manager()
    status = manager.wait_answer()
    state = "idle" if background else "executing_task"
    manager.wait_status(lambda s: s["manager_state"] == state and s["worker_link"] == "attached")
    assert manager.accepted("task_status", task_uid=task.uid)["status"] == "running"
    assert status["worker_environment_exists"]
    task.release.touch()
    assert manager.task_result(task.uid)["success"] is True
    assert task.runs == 1
    manager.wait_idle()


@BACKGROUND
def test_what_ended_while_no_manager_was_there_is_told_by_the_next_one(
    manager: FaultyManager, background: bool
) -> None:
    task = Counted(manager, background=background)
    manager.kill_manager_and_supervisor()
    task.release.touch()
    wait_until(manager.spooled_ends, "report of the task's end")
    manager.start()
    assert manager.task_result(task.uid)["success"] is True
    assert task.runs == 1
    manager.wait_idle()


@BACKGROUND
def test_what_a_worker_left_behind_is_told(manager: FaultyManager, background: bool) -> None:
    task = Counted(manager, background=background)
    manager.kill_manager_and_supervisor()
    task.release.touch()
    wait_until(manager.spooled_ends, "report of the task's end")
    worker = manager.worker_pid
    manager.kill(worker)
    manager.start()
    assert manager.task_result(task.uid)["success"] is True
    assert not manager.wait_idle()["worker_environment_exists"]


@BACKGROUND
def test_a_task_of_a_killed_worker_has_failed(manager: FaultyManager, background: bool) -> None:
    task = Counted(manager, background=background)
    manager.kill(manager.worker_pid)
    result = manager.task_result(task.uid)
    assert result["success"] is False
    assert KILLED in result["msg"]
    assert manager.wait_idle()["worker_background_tasks"] == 0
    assert task.runs == 1


def test_a_worker_that_is_told_to_end_interrupts_its_task(manager: FaultyManager) -> None:
    task = Counted(manager, background=False)
    manager.kill(manager.worker_pid, signal.SIGTERM)
    result = manager.task_result(task.uid)
    assert (result["success"], result["msg"]) == (False, "The worker ends; the task was interrupted.")
    manager.wait_status(lambda s: s["manager_state"] == "idle" and not s["worker_environment_exists"])


def test_results_outlive_manager_and_environment(manager: FaultyManager) -> None:
    uid = manager.upload("a = 1")["task_uid"]
    manager.close_environment()
    manager.kill_manager()
    manager.wait_answer()
    assert manager.task_result(uid)["success"] is True


def test_destroying_the_environment_ends_a_script_that_does_not_listen(manager: FaultyManager) -> None:
    file = manager.release_file()
    script = f"import pathlib\nwhile True:\n    try:\n        pathlib.Path({str(file)!r}).touch()\n"
    script += "        while True: pass\n    except BaseException: pass"
    uid = manager.accepted("script_upload", script=script)["task_uid"]
    wait_until(file.exists, "start of the script")
    manager.destroy_environment()
    assert manager.accepted("task_status", task_uid=uid)["status"] == "not_found"


@pytest.mark.parametrize("how", ["LEAVE", "WAIT"])
def test_a_manager_that_is_to_end_does_not_end_a_background_task(
    make_manager: Callable[..., FaultyManager], how: str
) -> None:
    manager = make_manager(options=[f"--on-terminate={how}"]).start()
    manager.open_environment()
    task = Counted(manager, background=True)
    manager.kill(manager.supervisor_pid, signal.SIGTERM)
    if how == "LEAVE":
        manager.wait_end()
        task.release.touch()
    else:
        manager.wait_status(lambda s: s["worker_background_tasks"] == 1)
        task.release.touch()
        manager.wait_end()
    manager.start()
    result: dict[str, Any] = manager.task_result(task.uid)
    assert result["success"] is True
    assert task.runs == 1
    manager.stop()
