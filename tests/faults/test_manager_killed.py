"""The manager process is killed: the plan goes on, and its successor takes everything over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract_manager import QUICK, plan
from faulty_manager import ENGINE, LONG, PROFILE, SLOW_START, FaultyManager, wait_until
from manager_client import NoAnswer

RESTART_DEADLINE = 5.0
"""Seconds; it takes a few tenths on an idle machine."""


def test_a_plan_goes_on_and_the_new_manager_shows_it_and_starts_the_next_item(manager: FaultyManager) -> None:
    item, count = manager.counting_item()
    manager.add(item)
    held = manager.start_holding()
    worker = manager.worker_pid

    old = manager.kill_manager()
    status = manager.wait_answer(RESTART_DEADLINE)
    assert status["running_item_uid"] == held.uid
    assert manager.manager_pid != old
    assert manager.worker_pid == worker
    held.wait_running()
    assert manager.running_uid == held.uid
    assert manager.history == []
    held.release()

    manager.wait_history(2)
    assert manager.results() == [("hold", "completed"), ("remember_start", "completed")]
    assert count.read_text() == "started\n"


@pytest.mark.row("zmq-api", "manager restarted, report available")
def test_what_ended_while_no_manager_was_there_is_taken_and_the_next_item_starts(manager: FaultyManager) -> None:
    item, count = manager.counting_item()
    manager.add(item)
    held = manager.start_holding()
    manager.kill_manager_and_supervisor()
    held.release()
    wait_until(manager.spooled_ends, "report of the plan's end")

    manager.start()
    history = manager.wait_history(2)
    assert [entry["result"]["exit_status"] for entry in history] == ["completed", "completed"]
    assert history[0]["item_uid"] == held.uid
    assert len(history[0]["result"]["run_uids"]) == 1
    assert count.read_text() == "started\n"


def test_what_failed_while_no_manager_was_there_goes_back_to_the_front(manager: FaultyManager) -> None:
    release = manager.release_file()
    item, count = manager.counting_item()
    failing = manager.add(plan("hold_then_fail", str(release)))
    manager.add(item)
    manager.start_queue()
    manager.wait_running()
    manager.kill_manager_and_supervisor()
    release.touch()
    wait_until(manager.spooled_ends, "report of the plan's end")

    manager.start()
    history = manager.wait_history(1)
    assert history[0]["result"]["exit_status"] == "failed"
    assert "as it was told to" in history[0]["result"]["msg"]
    assert [item["name"] for item in manager.queue] == ["hold_then_fail", "remember_start"]
    assert manager.queue[0]["requeued_from"] == failing["item_uid"]
    assert not count.exists()


@pytest.mark.parametrize("how", ["re_resume", "re_stop", "re_abort", "re_halt"])
def test_a_paused_plan_stays_paused_and_obeys_the_new_manager(manager: FaultyManager, how: str) -> None:
    held = manager.start_holding()
    held.pause()
    manager.kill_manager_and_supervisor()

    status = manager.start().wait_status(lambda s: s["manager_state"] == "paused", LONG)
    assert status["re_state"] == "paused"
    assert status["running_item_uid"] == held.uid
    held.release()
    manager.accepted(how)
    manager.wait_history(1)
    expected = {"re_resume": "completed", "re_stop": "stopped", "re_abort": "aborted", "re_halt": "halted"}
    assert manager.results() == [("hold", expected[how])]


def test_a_pause_that_was_asked_for_before_is_reached_after(manager: FaultyManager) -> None:
    go_on, release = manager.release_file(), manager.release_file()
    manager.add(plan("hold_before_checkpoint", str(go_on), str(release)))
    manager.start_queue()
    manager.wait_running()
    manager.accepted("re_pause", option="deferred")
    manager.wait_status(lambda s: s["pause_pending"])

    manager.kill_manager()
    manager.wait_answer()
    assert manager.wait_running()["pause_pending"]
    go_on.touch()
    status = manager.wait_status(lambda s: s["manager_state"] == "paused", LONG)
    assert not status["pause_pending"]
    manager.accepted("re_resume")
    release.touch()
    manager.wait_history(1)


def test_a_plan_that_ends_while_paused_without_a_manager_cannot_be_missed(manager: FaultyManager) -> None:
    """SIGTERM to the worker of a paused plan, with no manager there: it aborts the plan and leaves."""
    held = manager.start_holding()
    held.pause()
    worker = manager.worker_pid
    manager.kill_manager_and_supervisor()
    manager.terminate_and_wait(worker)

    manager.start()
    history = manager.wait_history(1)
    assert history[0]["item_uid"] == held.uid
    assert history[0]["result"]["exit_status"] == "aborted"
    assert "aborted cleanly" in history[0]["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid
    assert not manager.status()["worker_environment_exists"]


def test_queue_mode_autostart_and_pending_stop_outlive_the_manager(manager: FaultyManager) -> None:
    held = manager.start_holding()
    uids = [held.uid, *(manager.add()["item_uid"] for _ in range(3))]
    manager.accepted("queue_mode_set", mode={"loop": True})
    manager.accepted("queue_autostart", enable=True)
    manager.accepted("queue_stop")

    old = manager.kill_manager()
    status = manager.wait_new_manager(old)
    assert status["queue_autostart_enabled"]
    assert status["queue_stop_pending"]
    assert status["plan_queue_mode"]["loop"]
    assert manager.queue_uids == uids[1:]
    held.release()
    status = manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")
    assert not status["queue_stop_pending"]
    assert not status["queue_autostart_enabled"]


def test_a_start_without_an_environment_is_a_new_application(manager: FaultyManager) -> None:
    manager.close_environment()
    uid = manager.add()["item_uid"]
    manager.accepted("queue_autostart", enable=True)
    manager.kill_manager_and_supervisor()
    status = manager.start().status()
    assert not status["queue_autostart_enabled"]
    assert manager.queue_uids == [uid]


def test_a_manager_that_hangs_is_killed_and_its_successor_goes_on(manager: FaultyManager) -> None:
    manager.add()
    held = manager.start_holding()
    old = manager.manager_pid
    with pytest.raises(NoAnswer):
        manager.call("manager_kill", _timeout=0.5)
    wait_until(lambda: old not in manager.processes(), "watchdog that kills the hanging manager")
    status = manager.wait_answer(RESTART_DEADLINE)
    assert status["running_item_uid"] == held.uid
    held.wait_running()
    held.release()
    manager.wait_history(2)
    assert manager.results() == [("hold", "completed"), ("null", "completed")]


def test_an_idle_worker_waits_and_is_found_by_the_next_start(manager: FaultyManager) -> None:
    worker = manager.worker_pid
    manager.kill_manager_and_supervisor()
    status = manager.start().wait_status(lambda s: s["worker_link"] == "attached")
    assert status["worker_environment_exists"]
    assert status["manager_state"] == "idle"
    assert manager.worker_pid == worker
    manager.works_on()


def test_the_worker_goes_on_through_several_managers(manager: FaultyManager) -> None:
    held = manager.start_holding()
    for _ in range(3):
        old = manager.kill_manager()
        assert manager.wait_new_manager(old)["running_item_uid"] == held.uid
        held.wait_running()
    held.end()
    assert manager.results() == [("hold", "completed")]


# While an environment is opened, closed or destroyed ------------------------------------------------------------

Make = Callable[..., FaultyManager]

SLOW_END = """
import atexit, pathlib, time

def wait(directory):
    (directory / "closing").touch()
    while not (directory / "go-on").exists():
        time.sleep(0.005)

atexit.register(wait, pathlib.Path(__file__).parent)
"""


@pytest.mark.parametrize("with_supervisor", [False, True])
def test_killed_while_an_environment_opens(make_manager: Make, with_supervisor: bool) -> None:
    manager = make_manager(startup_files={**PROFILE, "00-engine.py": SLOW_START + ENGINE}).start()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    if with_supervisor:
        manager.kill_manager_and_supervisor()
        status = manager.start().status()
    else:
        status = manager.wait_new_manager(manager.kill_manager())
    assert status["manager_state"] == "creating_environment"
    manager.let_go_on()
    status = manager.wait_status(lambda s: s["manager_state"] == "idle")
    assert status["worker_environment_exists"]
    manager.works_on()
    manager.stop()


def test_killed_while_an_environment_opens_whose_code_fails_later(make_manager: Make) -> None:
    manager = make_manager(startup_files={"00-engine.py": SLOW_START + "raise ValueError('no such motor')\n"}).start()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    manager.wait_new_manager(manager.kill_manager())
    manager.let_go_on()
    status = manager.wait_worker_gone()
    assert "no such motor" in status["environment_error"]
    manager.stop()


def test_destroyed_by_the_new_manager_while_it_opens(make_manager: Make) -> None:
    manager = make_manager(startup_files={**PROFILE, "00-engine.py": SLOW_START + ENGINE}).start()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    manager.wait_new_manager(manager.kill_manager())
    manager.accepted("environment_destroy")
    manager.wait_worker_gone()
    manager.stop()


@pytest.mark.parametrize("attempt", range(4))
def test_killed_at_the_moment_in_which_a_worker_is_started(manager: FaultyManager, attempt: int) -> None:
    """The reply comes before the process is there: whether the new manager finds it is open, stuck it must not be."""
    manager.close_environment()
    if attempt % 2:
        wait_until(lambda: manager.warm_pids, "interpreter that is kept ready")
    manager.accepted("environment_open")
    old = manager.manager_pid
    if attempt >= 2:
        wait_until(lambda: manager.worker_pids, "worker process")
    manager.kill(old)
    manager.wait_new_manager(old)
    status = manager.wait_idle(LONG)
    assert status["worker_environment_exists"] == bool(manager.worker_pids)
    assert status["worker_environment_exists"] or "interrupted" in status["environment_error"]
    manager.works_on()


def test_killed_while_an_environment_closes(make_manager: Make) -> None:
    manager = make_manager(startup_files={**PROFILE, "99-end.py": SLOW_END}).start()
    manager.open_environment()
    manager.accepted("environment_close")
    wait_until((manager.directory / "startup" / "closing").exists, "worker that closes")
    status = manager.wait_new_manager(manager.kill_manager())
    assert status["manager_state"] == "closing_environment"
    manager.let_go_on()
    assert manager.wait_worker_gone()["environment_error"] == ""
    manager.works_on()
    manager.stop()


def test_killed_while_an_environment_is_destroyed(make_manager: Make) -> None:
    manager = make_manager(startup_files={**PROFILE, "99-end.py": SLOW_END}).start()
    manager.open_environment()
    held = manager.start_holding()
    manager.accepted("environment_destroy")
    wait_until((manager.directory / "startup" / "closing").exists, "worker that ends")
    status = manager.wait_new_manager(manager.kill_manager())
    assert status["manager_state"] == "destroying_environment"
    manager.wait_worker_gone()
    assert [entry["result"]["exit_status"] for entry in manager.history] == ["failed"]
    assert "was destroyed" in manager.history[0]["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid
    manager.stop()


def test_destroyed_while_no_manager_was_there_is_told_by_the_next(manager: FaultyManager) -> None:
    """The new manager ends what its predecessor began, though the worker has gone meanwhile."""
    held = manager.start_holding()
    worker = manager.worker_pid
    manager.kill_manager_and_supervisor()
    manager.kill(worker)
    manager.start()
    history = manager.wait_history(1)
    assert history[0]["result"]["exit_status"] == "failed"
    assert "while no manager was running" in history[0]["result"]["msg"]
    assert "outcome was not reported" in history[0]["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid
    assert "while no manager was running" in manager.status()["environment_error"]
    manager.accepted("queue_clear")
    manager.add(QUICK)
    manager.works_on()
