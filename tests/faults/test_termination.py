"""SIGTERM and Ctrl-C of the program: the running plan is handled as `--on-terminate` says, and is never `unknown`."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from faulty_manager import FaultyManager, wait_until

Make = Callable[..., FaultyManager]

SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 1), (signal.SIGINT, 0)])


def opened(make_manager: Make, *options: str) -> FaultyManager:
    manager = make_manager(options=options).start()
    manager.open_environment()
    return manager


@pytest.mark.row("zmq-api", "a running plan is not lost")
@SIGNALS
def test_by_default_the_manager_leaves_and_the_plan_goes_on(
    make_manager: Make, number: signal.Signals, code: int
) -> None:
    manager = opened(make_manager)
    manager.add()
    held = manager.start_holding()
    worker = manager.worker_pid
    manager.kill(manager.supervisor_pid, number)
    assert manager.wait_end() == code
    assert manager.worker_pids == [worker]
    assert manager.warm_pids == []

    manager.start()
    assert held.wait_running()["running_item_uid"] == held.uid
    held.release()
    manager.wait_history(2)
    assert manager.results() == [("hold", "completed"), ("null", "completed")]
    manager.stop()


def test_a_paused_plan_stays_paused(make_manager: Make) -> None:
    manager = opened(make_manager)
    held = manager.start_holding()
    held.pause()
    manager.kill(manager.supervisor_pid, signal.SIGTERM)
    manager.wait_end()
    manager.start().wait_status(lambda s: s["manager_state"] == "paused")
    manager.accepted("re_resume")
    held.end()
    assert manager.results() == [("hold", "completed")]
    manager.stop()


@SIGNALS
def test_with_wait_the_plan_is_waited_for_and_the_queue_stops(
    make_manager: Make, number: signal.Signals, code: int
) -> None:
    manager = opened(make_manager, "--on-terminate=WAIT")
    uid = manager.add()["item_uid"]
    held = manager.start_holding()
    manager.kill(manager.supervisor_pid, number)
    manager.wait_status(lambda s: s["queue_stop_pending"])
    held.release()
    assert manager.wait_end() == code
    manager.assert_no_process_left()

    manager.start()
    assert manager.results() == [("hold", "completed")]
    assert manager.queue_uids == [uid]
    assert not manager.status()["worker_environment_exists"]
    manager.stop()


@SIGNALS
def test_with_destroy_the_environment_is_destroyed(make_manager: Make, number: signal.Signals, code: int) -> None:
    manager = opened(make_manager, "--on-terminate=DESTROY")
    held = manager.start_holding()
    manager.kill(manager.supervisor_pid, number)
    assert manager.wait_end() == code
    manager.assert_no_process_left()

    manager.start()
    entry = manager.history[0]
    assert entry["result"]["exit_status"] == "failed"
    assert "RE Worker environment was destroyed" in entry["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid
    manager.stop()


@pytest.mark.row("cli", "Ctrl-C")
@pytest.mark.parametrize("option", ["LEAVE", "WAIT", "DESTROY"])
def test_an_idle_environment_is_closed(make_manager: Make, option: str) -> None:
    manager = opened(make_manager, f"--on-terminate={option}")
    uid = manager.add()["item_uid"]
    manager.kill(manager.supervisor_pid, signal.SIGTERM)
    manager.wait_end()
    manager.assert_no_process_left()
    manager.start()
    assert manager.queue_uids == [uid]
    assert manager.history == []
    assert manager.status()["environment_error"] == ""
    manager.works_on()
    manager.stop()


def test_without_an_environment_it_just_leaves(make_manager: Make) -> None:
    manager = make_manager().start()
    manager.kill(manager.supervisor_pid, signal.SIGINT)
    assert manager.wait_end() == 0
    manager.assert_no_process_left()


def test_a_second_signal_does_not_wait_for_the_plan(make_manager: Make) -> None:
    """A person at the terminal presses Ctrl-C again, because the plan takes too long."""
    manager = opened(make_manager, "--on-terminate=WAIT")
    held = manager.start_holding()
    worker = manager.worker_pid
    manager.kill(manager.supervisor_pid, signal.SIGINT)
    manager.wait_status(lambda s: s["queue_stop_pending"])
    wait_until(lambda: ended_after_signal(manager), "end of the program")
    assert manager.worker_pids == [worker]
    manager.start()
    assert held.wait_running()["running_item_uid"] == held.uid
    held.end()
    assert manager.results() == [("hold", "completed")]
    manager.stop()


def ended_after_signal(manager: FaultyManager) -> bool:
    """Signals count as a second wish only some time after the first."""
    if manager.has_ended:
        return True
    manager.kill(manager.supervisor_pid, signal.SIGINT)
    return False


def test_the_manager_of_a_killed_supervisor_leaves_an_idle_worker_to_the_next(make_manager: Make) -> None:
    manager = opened(make_manager)
    leaving, worker = manager.manager_pid, manager.worker_pid
    manager.kill(manager.supervisor_pid)
    wait_until(lambda: leaving not in manager.processes(), "end of the manager")
    assert manager.worker_pid == worker
    manager.start().wait_status(lambda s: s["worker_link"] == "attached")
    assert manager.worker_pid == worker
    manager.works_on()
    manager.stop()


def test_the_manager_of_a_killed_supervisor_leaves_a_plan_to_the_next(make_manager: Make) -> None:
    manager = opened(make_manager)
    held = manager.start_holding()
    leaving = manager.manager_pid
    manager.kill(manager.supervisor_pid)
    wait_until(lambda: leaving not in manager.processes(), "end of the manager")
    manager.start()
    assert held.wait_running()["running_item_uid"] == held.uid
    held.end()
    assert manager.results() == [("hold", "completed")]
    manager.stop()
