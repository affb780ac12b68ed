from __future__ import annotations

import json
import time
from typing import Any

import pytest

from queueserver_common.link.messages import (
    EnvironmentState,
    ExitStatus,
    Finish,
    ItemStarted,
    Leave,
    Pause,
    Resume,
    RunItem,
    SetPermissions,
)

Bench = Any


def start(manager: Any, bench: Bench, name: str, /, **kwargs: Any) -> str:
    item = bench.item(name, **kwargs)
    assert manager.tell(RunItem(item)).ok
    return str(bench.uid_of(item))


def start_and_pause(manager: Any, bench: Bench, name: str = "points", /, **kwargs: Any) -> str:
    uid = start(manager, bench, name, **kwargs)
    manager.wait_state("running")
    assert manager.tell(Pause(deferred=False)).ok
    manager.wait_state("paused")
    return uid


def test_a_plan_completes_and_its_runs_are_reported(bench: Bench) -> None:
    manager, _ = bench.open()
    before = time.time()
    uid = start(manager, bench, "one_run")
    end = manager.wait_end(uid)
    assert (end.exit_status, end.msg, end.traceback, end.refused) == (ExitStatus.COMPLETED, "", "", False)
    assert len(end.run_uids) == 1
    assert end.scan_ids == (1,)
    assert before <= end.time_start <= end.time_stop <= time.time()
    started = manager.wait_event(ItemStarted)
    assert (started.item_uid, started.time_start) == (uid, end.time_start)
    assert manager.snapshots[-1].runs == ()
    assert manager.snapshots[-1].environment_state is EnvironmentState.IDLE


def test_a_plan_that_raises_has_failed_with_text_and_traceback_of_the_startup_code(bench: Bench) -> None:
    manager, worker = bench.open()
    end = manager.wait_end(start(manager, bench, "fails"))
    assert end.exit_status is ExitStatus.FAILED
    assert end.msg == "Plan failed: a deliberate failure"
    assert str(worker.startup_file) in end.traceback
    assert end.traceback.rstrip().endswith("ValueError: a deliberate failure")
    assert "queueserver_worker" not in end.traceback
    assert len(end.run_uids) == 1
    assert manager.wait_end(start(manager, bench, "one_run")).scan_ids == (2,)


def test_status_follows_a_plan_through_pause_and_resume(bench: Bench) -> None:
    manager, _ = bench.open()
    uid = start(manager, bench, "points", n=30)
    running = manager.wait_state("running")
    assert running.environment_state is EnvironmentState.EXECUTING_PLAN
    manager.wait(lambda: manager.snapshots[-1].runs)
    assert manager.snapshots[-1].runs[0].is_open
    assert manager.tell(Pause(deferred=False)).ok
    paused = manager.wait_state("paused")
    assert paused.environment_state is EnvironmentState.IDLE
    assert not paused.pause_pending
    assert not manager.ends(uid)
    assert manager.tell(Resume()).ok
    manager.wait(lambda: manager.snapshots[-1].environment_state is EnvironmentState.EXECUTING_PLAN)
    end = manager.wait_end(uid)
    assert (end.exit_status, len(end.run_uids)) == (ExitStatus.COMPLETED, 1)


@pytest.mark.parametrize(
    ("how", "exit_status"),
    [("stop", ExitStatus.STOPPED), ("abort", ExitStatus.ABORTED), ("halt", ExitStatus.HALTED)],
)
def test_a_paused_plan_can_be_ended(bench: Bench, how: str, exit_status: ExitStatus) -> None:
    manager, _ = bench.open()
    uid = start_and_pause(manager, bench)
    assert manager.tell(Finish(how)).ok
    end = manager.wait_end(uid)
    assert (end.exit_status, end.msg, end.traceback) == (exit_status, "", "")
    assert len(end.run_uids) == 1
    assert manager.wait_end(start(manager, bench, "noop")).exit_status is ExitStatus.COMPLETED


def test_a_deferred_pause_is_pending_until_the_checkpoint(bench: Bench) -> None:
    manager, _ = bench.open()
    uid = start(manager, bench, "points")
    manager.wait_state("running")
    manager.snapshots.clear()
    assert manager.tell(Pause(deferred=True)).ok
    manager.wait(lambda: any(snapshot.pause_pending for snapshot in manager.snapshots))
    assert not manager.wait_state("paused").pause_pending
    assert manager.tell(Finish("stop")).ok
    assert manager.wait_end(uid).exit_status is ExitStatus.STOPPED


def test_a_deferred_pause_after_the_last_checkpoint_lets_the_plan_complete(bench: Bench) -> None:
    manager, _ = bench.open(
        """
def last_checkpoint_behind(file: str):
    yield from bps.checkpoint()
    while not os.path.exists(file):
        yield from bps.sleep(0.02)
"""
    )
    go_on = bench.directory / "go_on"
    uid = start(manager, bench, "last_checkpoint_behind", file=str(go_on))
    manager.wait_state("running")
    assert manager.tell(Pause(deferred=True)).ok
    manager.wait(lambda: manager.snapshots[-1].pause_pending)
    go_on.touch()
    assert manager.wait_end(uid).exit_status is ExitStatus.COMPLETED
    assert not manager.wait_state("idle").pause_pending


@pytest.mark.row("zmq-api", "paused where there is no checkpoint")
def test_a_pause_where_the_plan_has_no_checkpoint_fails_it_with_a_message_that_says_so(bench: Bench) -> None:
    manager, _ = bench.open(
        """
def no_checkpoint():
    yield from bps.clear_checkpoint()
    print("cleared")
    yield from bps.sleep(60)
"""
    )
    uid = start(manager, bench, "no_checkpoint")
    manager.wait(lambda: "cleared" in manager.console_text)
    assert manager.tell(Pause(deferred=False)).ok
    end = manager.wait_end(uid)
    assert end.exit_status is ExitStatus.FAILED
    assert end.msg.startswith("Plan failed: ")
    assert "checkpoint" in end.msg
    assert manager.wait_state("idle").environment_state is EnvironmentState.IDLE


def test_a_plan_may_pause_itself_again_and_again(bench: Bench) -> None:
    manager, _ = bench.open(
        """
def pauses(n: int):
    for _ in range(n):
        yield from bps.checkpoint()
        yield from bps.pause()
"""
    )
    uid = start(manager, bench, "pauses", n=5)
    for _ in range(5):
        manager.wait_state("paused")
        manager.snapshots.clear()
        assert manager.tell(Resume()).ok
        # The manager sees every resume, even when the plan pauses at once.
        manager.wait(lambda: any(s.re_state != "paused" for s in manager.snapshots))
    assert manager.wait_end(uid).exit_status is ExitStatus.COMPLETED


@pytest.mark.parametrize("how", ["exit()", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_a_plan_that_exits_fails_and_the_worker_goes_on(bench: Bench, how: str) -> None:
    manager, _ = bench.open(f"\ndef leaves():\n    yield from bps.null()\n    {how}\n")
    end = manager.wait_end(start(manager, bench, "leaves"))
    assert end.exit_status is ExitStatus.FAILED
    assert "would end the worker" in end.msg
    assert manager.wait_end(start(manager, bench, "noop")).exit_status is ExitStatus.COMPLETED


def test_a_plan_function_that_raises_before_it_yields_has_failed(bench: Bench) -> None:
    manager, _ = bench.open(
        """
from bluesky.utils import plan

@plan
def not_even_begun():
    raise RuntimeError()
"""
    )
    end = manager.wait_end(start(manager, bench, "not_even_begun"))
    assert (end.exit_status, end.refused) == (ExitStatus.FAILED, False)
    assert end.msg == "Plan failed: RuntimeError"
    assert "not_even_begun" in end.traceback


def test_an_abort_by_code_of_the_profile_is_reported_as_such(bench: Bench) -> None:
    manager, _ = bench.open(
        """
def aborted_by_a_thread():
    threading.Thread(target=lambda: RE.abort("too hot"), daemon=True).start()
    yield from bps.sleep(60)
"""
    )
    end = manager.wait_end(start(manager, bench, "aborted_by_a_thread"))
    assert end.exit_status is ExitStatus.ABORTED
    assert end.msg == "Plan aborted by code that runs in the worker"


def test_several_runs_are_listed_in_order_of_opening(bench: Bench) -> None:
    manager, _ = bench.open(
        """
import bluesky.preprocessors as bpp

def nested():
    yield from bpp.set_run_key_wrapper(bps.open_run(), "outer")
    yield from bpp.set_run_key_wrapper(bps.open_run(), "inner")
    yield from bpp.set_run_key_wrapper(bps.close_run(), "inner")
    while not os.path.exists(GO_ON):
        yield from bps.sleep(0.02)
    yield from bpp.set_run_key_wrapper(bps.close_run(exit_status="fail"), "outer")
""".replace("GO_ON", repr(str(bench.directory / "go_on")))
    )
    uid = start(manager, bench, "nested")
    manager.wait(lambda: len(manager.snapshots[-1].runs) == 2 and not manager.snapshots[-1].runs[1].is_open)
    outer, inner = manager.snapshots[-1].runs
    assert (outer.scan_id, outer.is_open, outer.exit_status) == (1, True, None)
    assert (inner.scan_id, inner.is_open, inner.exit_status) == (2, False, "success")
    (bench.directory / "go_on").touch()
    end = manager.wait_end(uid)
    assert end.run_uids == (outer.uid, inner.uid)
    assert end.scan_ids == (1, 2)


def test_the_profiles_own_state_hook_goes_on_working(bench: Bench) -> None:
    manager, _ = bench.open('\nRE.state_hook = lambda new, old: print(f"hook {old} to {new}")\n')
    manager.wait_end(start(manager, bench, "noop"))
    manager.wait(lambda: "hook idle to running" in manager.console_text)


def test_metadata_of_the_item_goes_into_its_runs(bench: Bench) -> None:
    manager, _ = bench.open('\nRE.subscribe(lambda _, doc: print("sample is", doc["sample"]), "start")\n')
    content = json.loads(bench.item("one_run")) | {"meta": [{"sample": "first"}, {"sample": "second"}]}
    assert manager.tell(RunItem(json.dumps(content).encode())).ok
    manager.wait(lambda: "sample is first" in manager.console_text)


def test_an_item_that_cannot_be_prepared_is_refused(bench: Bench) -> None:
    manager, _ = bench.open()
    end = manager.wait_end(start(manager, bench, "no_such_plan"))
    assert (end.exit_status, end.refused, end.run_uids) == (ExitStatus.FAILED, True, ())
    assert "no_such_plan" in end.msg
    content = json.loads(bench.item("noop")) | {"user_group": "strangers"}
    assert manager.tell(RunItem(json.dumps(content).encode())).ok
    end = manager.wait_end(content["item_uid"])
    assert end.refused
    assert end.msg == "Unknown user group: 'strangers'"


def test_without_a_run_engine_items_are_refused(bench: Bench) -> None:
    manager, _ = bench.open("\ndel RE\n")
    assert manager.snapshots[-1].re_state is None
    end = manager.wait_end(start(manager, bench, "noop"))
    assert end.refused
    assert end.msg == "Run Engine is not found in the RE Worker environment."


def test_new_permissions_hold_from_the_next_item_on(bench: Bench) -> None:
    manager, _ = bench.open()
    nothing = {"allowed_plans": [], "allowed_devices": [], "allowed_functions": []}
    everything = {"allowed_plans": [None], "allowed_devices": [None], "allowed_functions": [None]}
    strict = {"user_groups": {"root": everything, "primary": nothing}}
    assert manager.tell(SetPermissions(json.dumps(strict).encode())).ok
    assert manager.wait_end(start(manager, bench, "noop")).refused
    result = manager.tell(SetPermissions(b'{"user_groups": {}}'))
    assert not result.ok
    assert result.msg.startswith("The permissions cannot be used: ")
    assert manager.wait_end(start(manager, bench, "noop")).refused


def test_commands_out_of_place_are_refused_with_the_reason(bench: Bench) -> None:
    manager, _ = bench.open()
    refused = manager.tell(Pause(deferred=False))
    assert (refused.ok, refused.msg) == (
        False,
        "Run engine can be paused only in 'running' state. Current state: 'idle'",
    )
    for body in (Resume(), Finish("abort")):
        refused = manager.tell(body)
        assert (refused.ok, refused.msg) == (False, "Run Engine is not paused: current state is 'idle'")
    assert not manager.tell(Finish("explode")).ok
    assert "cannot be read" in manager.tell(RunItem(b"{")).msg
    assert "item_uid" in manager.tell(RunItem(b"[]")).msg
    uid = start_and_pause(manager, bench)
    assert "another item in hand" in manager.tell(RunItem(bench.item("noop"))).msg
    assert "item in hand" in manager.tell(Leave()).msg
    assert "'paused'" in manager.tell(Pause(deferred=True)).msg
    assert manager.tell(Finish("stop")).ok
    assert manager.wait_end(uid).exit_status is ExitStatus.STOPPED


def test_a_plan_that_forks_does_not_disturb_the_worker(bench: Bench) -> None:
    manager, worker = bench.open(
        """
import multiprocessing

def child():
    print("child is alive")
    time.sleep(60)

def forks():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    yield from bps.sleep(0.2)
    process.terminate()
    process.join()
    print("child ended with", process.exitcode)
"""
    )
    assert manager.wait_end(start(manager, bench, "forks")).exit_status is ExitStatus.COMPLETED
    manager.wait(lambda: "child ended with -15" in manager.console_text)
    assert manager.wait_end(start(manager, bench, "noop")).exit_status is ExitStatus.COMPLETED
    assert worker.alive


def test_pausing_is_quick(bench: Bench) -> None:
    manager, _ = bench.open()
    durations = []
    uid = start(manager, bench, "points")
    for _ in range(5):
        manager.wait_state("running")
        begin = time.perf_counter()
        assert manager.tell(Pause(deferred=False)).ok
        manager.wait_state("paused")
        durations.append(time.perf_counter() - begin)
        assert manager.tell(Resume()).ok
    manager.wait_state("running")
    manager.tell(Pause(deferred=False))
    manager.wait_state("paused")
    manager.tell(Finish("abort"))
    manager.wait_end(uid)
    assert min(durations) < 0.1
