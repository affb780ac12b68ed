"""Startup code that raises: the status and the console tell the exception, the file and the line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faulty_manager import ENGINE, LONG, FaultyManager, wait_until
from running_manager import SIMULATED_PROFILE

Make = Callable[..., FaultyManager]

BROKEN = {
    "raises": ("motor = 1\n\nraise ValueError('no such motor: m7')\n", ["ValueError", "no such motor: m7", "line 3"]),
    "in a function": ("def f():\n    return 1 / 0\n\n\nf()\n", ["ZeroDivisionError", "line"]),
    "does not parse": ("x = 1\ndef f(:\n", ["SyntaxError", "line 2"]),
    "imports what is missing": ("import no_such_module\n", ["ModuleNotFoundError", "no_such_module", "line 1"]),
    "exits": ("import sys\nsys.exit('no beam')\n", ["SystemExit", "no beam", "line 2"]),
}


@pytest.mark.row("plans-and-permissions", "an exception keeps the environment closed")
@pytest.mark.parametrize("case", BROKEN)
def test_it_is_told_in_the_status_and_on_the_console(make_manager: Make, case: str) -> None:
    code, expected = BROKEN[case]
    manager = make_manager(startup_files={"00-engine.py": ENGINE, "50-broken.py": code}).start()
    manager.accepted("environment_open")
    status = manager.wait_worker_gone()
    assert status["worker_environment_exists"] is False
    for text in [*expected, "50-broken.py"]:
        assert text in status["environment_error"]
    wait_until(lambda: all(text in manager.log_text for text in [*expected[:2], "50-broken.py"]), "console text")
    assert not manager.worker_pids

    assert manager.startup_dir is not None
    (manager.startup_dir / "50-broken.py").write_text("x = 1\n")
    manager.works_on()
    assert manager.status()["environment_error"] == ""
    manager.stop()


def test_an_environment_without_a_run_engine_opens_and_runs_nothing(make_manager: Make) -> None:
    manager = make_manager(startup_files={"00.py": "x = 1\n"}).start()
    status = manager.open_environment()
    assert status["re_state"] is None
    reply = manager.call("queue_start")
    assert reply["msg"] == "Run Engine is not found in the RE Worker environment."
    manager.stop()


def test_startup_code_that_never_ends_can_be_destroyed(make_manager: Make) -> None:
    manager = make_manager(startup_files={"00.py": "import time\nwhile True:\n    time.sleep(0.01)\n"}).start()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    reply = manager.call("environment_open")
    assert reply["msg"] == "Manager is already in the process of creating the RE Worker environment."
    manager.accepted("environment_destroy")
    manager.wait_worker_gone(LONG)
    manager.stop()


@pytest.mark.row("cli", "a missing script is found at the opening")
def test_a_startup_script_that_is_missing(make_manager: Make) -> None:
    manager = make_manager(startup_files=None)
    permissions = SIMULATED_PROFILE / "user_group_permissions.yaml"
    manager.options += ["--startup-script=/nowhere/script.py", f"--user-group-permissions={permissions}"]
    manager.start()
    manager.accepted("environment_open")
    assert "/nowhere/script.py" in manager.wait_worker_gone()["environment_error"]
    manager.stop()
