"""The worker process is killed or stops: noticed, told, nothing repeated without a person."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from contract_manager import plan
from faulty_manager import ENGINE, LONG, PROFILE, SLOW_START, FaultyManager, assert_lost_in_hand, wait_until

KILLED = "the worker process was killed by SIGKILL"

Make = Callable[..., FaultyManager]


@pytest.mark.row("zmq-api", "loss of the worker", "death of a worker is noticed")
@pytest.mark.parametrize("mode", [{}, {"ignore_failures": True}, {"loop": True}])
def test_killed_in_a_plan(manager: FaultyManager, mode: dict[str, bool]) -> None:
    item, count = manager.counting_item()
    following = manager.add(item)
    held = manager.start_holding()
    manager.wait_status(lambda _: manager.accepted("re_runs")["run_list"])
    manager.accepted("queue_mode_set", mode=mode)
    manager.accepted("queue_autostart", enable=True)
    manager.kill(manager.worker_pid)

    status = manager.wait_worker_gone()
    assert KILLED in status["environment_error"]
    assert_lost_in_hand(manager, held.item, KILLED)
    entry = manager.history[0]
    assert len(entry["result"]["run_uids"]) == 1
    assert f"Runs left open: {entry['result']['run_uids'][0]}" in entry["result"]["msg"]
    assert manager.queue_uids[1:] == [following["item_uid"]]
    assert not count.exists()

    # A person decides: the same queue runs in a new environment.
    held.release()
    manager.accepted("queue_mode_set", mode="default")
    manager.open_environment()
    assert manager.status()["environment_error"] == ""
    manager.start_queue()
    manager.wait_history(3)
    assert manager.results()[1:] == [("hold", "completed"), ("remember_start", "completed")]
    assert "requeued_from" not in manager.history[2]


def test_killed_while_a_plan_is_paused(manager: FaultyManager) -> None:
    held = manager.start_holding()
    held.pause()
    manager.kill(manager.worker_pid)
    status = manager.wait_worker_gone()
    assert status["re_state"] is None
    assert_lost_in_hand(manager, held.item, KILLED)


def test_killed_between_a_stop_request_and_the_end_of_the_plan(manager: FaultyManager) -> None:
    held = manager.start_holding()
    manager.accepted("queue_stop")
    manager.kill(manager.worker_pid)
    assert not manager.wait_worker_gone()["queue_stop_pending"]
    assert_lost_in_hand(manager, held.item, KILLED)


def test_an_item_that_was_executed_at_once_is_not_put_into_the_queue(manager: FaultyManager) -> None:
    release = manager.release_file()
    caller = {"user": "Tester", "user_group": "primary"}
    item = manager.accepted("queue_item_execute", item=plan("hold", str(release)), **caller)["item"]
    manager.wait_running()
    manager.kill(manager.worker_pid)
    manager.wait_worker_gone()
    assert manager.queue == []
    assert [(e["item_uid"], e["result"]["exit_status"]) for e in manager.history] == [(item["item_uid"], "failed")]


def test_killed_while_it_opens(make_manager: Make) -> None:
    manager = make_manager(startup_files={**PROFILE, "00-engine.py": SLOW_START + ENGINE}).start()
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    manager.kill(manager.worker_pid)
    status = manager.wait_worker_gone()
    assert "while it opened the environment" in status["environment_error"]
    assert KILLED in status["environment_error"]
    manager.let_go_on()
    manager.works_on()
    manager.stop()


def test_killed_while_idle(manager: FaultyManager) -> None:
    manager.accepted("queue_autostart", enable=True)
    manager.kill(manager.worker_pid)
    status = manager.wait_worker_gone()
    assert KILLED in status["environment_error"]
    assert not status["queue_autostart_enabled"]
    assert manager.history == []
    manager.works_on()


def test_startup_code_that_exits_is_told(make_manager: Make) -> None:
    manager = make_manager(startup_files={"00-engine.py": "import os\nos._exit(7)\n"}).start()
    manager.accepted("environment_open")
    status = manager.wait_worker_gone()
    assert "exit code 7" in status["environment_error"]
    manager.stop()


def test_told_to_end_in_a_plan_it_aborts_the_plan_cleanly(manager: FaultyManager) -> None:
    held = manager.start_holding()
    manager.kill(manager.worker_pid, signal.SIGTERM)
    manager.wait_worker_gone()
    entry = manager.history[0]
    assert entry["item_uid"] == held.uid
    assert entry["result"]["exit_status"] == "failed"
    assert "SIGTERM" in entry["result"]["msg"]
    assert "aborted cleanly" in entry["result"]["msg"]
    assert manager.queue[0]["requeued_from"] == held.uid


def test_interrupted_by_the_terminal_it_goes_on(manager: FaultyManager) -> None:
    held = manager.start_holding()
    for number in (signal.SIGINT, signal.SIGHUP):
        manager.kill(manager.worker_pid, number)
    held.end()
    assert manager.results() == [("hold", "completed")]


def test_a_stopped_worker_is_silent_not_dead_and_goes_on_later(manager: FaultyManager) -> None:
    held = manager.start_holding()
    worker = manager.worker_pid
    manager.kill(worker, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        reply = manager.call("re_pause", option="immediate")
        assert not reply["success"]
        assert reply["msg"] == "Timeout occurred while processing the request"
        assert time.monotonic() - begin < LONG / 3
        status = manager.wait_status(lambda s: s["worker_link"] == "silent")
        assert status["manager_state"] == "executing_queue"
        assert status["running_item_uid"] == held.uid
        assert status["worker_environment_exists"]
        assert manager.call("re_pause", option="immediate")["msg"] == "Timeout occurred while processing the request"
        manager.add()
    finally:
        manager.kill(worker, signal.SIGCONT)
    manager.wait_status(lambda s: s["worker_link"] == "attached")
    # The pause that nobody answered in time may have reached the plan.
    manager.wait_status(lambda s: s["manager_state"] in ("paused", "executing_queue") and not s["pause_pending"])
    held.release()
    wait_until(lambda: paused_or_ended(manager), "end of the plan")
    manager.wait_idle()
    assert manager.results()[0] == ("hold", "completed")


def paused_or_ended(manager: FaultyManager) -> bool:
    state = manager.status()["manager_state"]
    if state == "paused":
        manager.accepted("re_resume")
    return state == "idle"


@pytest.mark.parametrize("after_silence", [False, True])
def test_a_stopped_worker_can_be_destroyed(manager: FaultyManager, after_silence: bool) -> None:
    held = manager.start_holding()
    manager.kill(manager.worker_pid, signal.SIGSTOP)
    if after_silence:
        manager.wait_status(lambda s: s["worker_link"] == "silent")
    manager.accepted("environment_destroy")
    assert manager.status()["manager_state"] == "destroying_environment"
    manager.wait_worker_gone()
    assert_lost_in_hand(manager, held.item, "RE Worker environment was destroyed")
    assert manager.history[0]["result"]["run_uids"] == []


def test_its_last_words_are_on_the_console_also_when_its_end_is_noticed_before_them(make_manager: Make) -> None:
    last_words = "import atexit\natexit.register(print, 'the last words')\n"
    manager = make_manager(startup_files={**PROFILE, "99-last-words.py": last_words}).start()
    manager.open_environment()
    manager_pid = manager.manager_pid
    manager.kill(manager_pid, signal.SIGSTOP)
    try:
        manager.terminate_and_wait(manager.worker_pid)
    finally:
        manager.kill(manager_pid, signal.SIGCONT)
    manager.wait_worker_gone()
    wait_until(lambda: "the last words" in manager.log_text, "console text")


def test_both_killed_while_a_plan_runs(manager: FaultyManager) -> None:
    held = manager.start_holding()
    manager.kill(manager.worker_pid)
    old = manager.kill_manager()
    manager.wait_new_manager(old)
    manager.wait_worker_gone()
    assert len(manager.history) == 1
    assert_lost_in_hand(manager, held.item, "The RE Worker environment was lost")


def test_a_plan_that_ends_the_process_is_told(make_manager: Make) -> None:
    ends = "import os\n\n\ndef end_process():\n    yield from null()\n    os._exit(3)\n"
    manager = make_manager(startup_files={**PROFILE, "99-ends.py": ends}).start()
    manager.open_environment()
    item = manager.add(plan("end_process"))
    manager.start_queue()
    manager.wait_worker_gone()
    assert_lost_in_hand(manager, item, "exit code 3")
    manager.stop()


def test_the_simulated_profile_survives_a_killed_worker(make_manager: Make) -> None:
    manager = make_manager(startup_files=None).start()
    manager.open_environment()
    item = manager.add(plan("count", ["det1"], num=1000, delay=0.01))
    manager.start_queue()
    manager.wait_running()
    manager.kill(manager.worker_pid)
    manager.wait_worker_gone()
    assert_lost_in_hand(manager, item, KILLED)
    manager.accepted("queue_clear")
    manager.open_environment()
    manager.run(plan("count", ["det1"]))
    assert manager.results() == [("count", "failed"), ("count", "completed")]
    manager.stop()


def test_every_process_that_ends_is_taken_notice_of(manager: FaultyManager) -> None:
    manager.kill(manager.worker_pid)
    manager.wait_worker_gone()
    manager.works_on()
    manager.close_environment()
    manager.kill(manager.redis_pid)
    wait_until(lambda: manager._with("valkey-server"), "new Redis server")
    manager.wait_status(lambda s: s["store"] == "connected")
    wait_until(lambda: manager.warm_pids, "interpreter that is kept ready")
    manager.kill(manager.warm_pids[0])
    manager.works_on()
    wait_until(lambda: not manager.zombies(), "end of all zombies")
