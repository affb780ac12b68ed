from __future__ import annotations

from dataclasses import replace

import pytest

from queueserver_common.link.messages import EnvironmentPhase, EnvironmentState, ExitStatus, ItemEnded, ItemStarted
from queueserver_worker.runtime.acceptance import (
    accept_control,
    accept_item,
    accept_leave,
    accept_pause,
    begin_ending,
    dismiss,
)
from queueserver_worker.runtime.console_buffer import ConsoleBuffer
from queueserver_worker.runtime.ledger import CommandResult, CommandResults, ItemLedger
from queueserver_worker.runtime.orphan import OrphanAction, orphan_action
from queueserver_worker.runtime.outbox import KEPT_WHEN_STORED, Outbox
from queueserver_worker.runtime.outcome import EngineReturn, error_text, error_traceback, failure, judge
from queueserver_worker.runtime.state import WorkerView, engine_changed, item_finished, run_closed, run_opened

READY = WorkerView(phase=EnvironmentPhase.READY, engine_state="idle")
RUNNING = replace(READY, item_uid="item", engine_state="running")
PAUSED = replace(RUNNING, engine_state="paused")


# State -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "state"),
    [
        (WorkerView(), EnvironmentState.INITIALIZING),
        (READY, EnvironmentState.IDLE),
        (RUNNING, EnvironmentState.EXECUTING_PLAN),
        (PAUSED, EnvironmentState.IDLE),
        (replace(READY, phase=EnvironmentPhase.FAILED), EnvironmentState.FAILED),
        (replace(READY, phase=EnvironmentPhase.CLOSING), EnvironmentState.CLOSING),
    ],
)
def test_the_environments_state_follows_from_what_the_worker_does(view: WorkerView, state: EnvironmentState) -> None:
    assert view.snapshot().environment_state is state


def test_a_pause_is_pending_until_paused_or_until_the_plan_ends() -> None:
    pending = replace(RUNNING, pause_pending=True)
    assert engine_changed(pending, "pausing").pause_pending
    assert not engine_changed(pending, "paused").pause_pending
    assert not engine_changed(pending, "idle").pause_pending
    assert not item_finished(pending, 1.0).pause_pending


def test_runs_open_close_and_go_with_the_item() -> None:
    view = run_opened(run_opened(RUNNING, "a", 1), "b", 2)
    view = run_closed(view, "a", "success")
    assert [(r.uid, r.scan_id, r.is_open, r.exit_status) for r in view.runs] == [
        ("a", 1, False, "success"),
        ("b", 2, True, None),
    ]
    assert item_finished(view, 5.0).runs == ()
    assert item_finished(view, 5.0).idle_since == 5.0


# Acceptance ------------------------------------------------------------------------------------------------------


def test_an_item_is_accepted_by_a_ready_and_idle_worker_only() -> None:
    assert accept_item(READY, "x") == (replace(READY, item_uid="x"), "")
    for view in (
        RUNNING,
        PAUSED,
        WorkerView(),
        replace(READY, phase=EnvironmentPhase.CLOSING),
        replace(READY, ending="told to end"),
        replace(READY, dismissed="unknown"),
    ):
        after, refusal = accept_item(view, "x")
        assert after == view
        assert refusal


def test_a_pause_is_accepted_while_the_run_engine_runs() -> None:
    assert accept_pause(RUNNING, deferred=True) == (replace(RUNNING, pause_pending=True), ("", RUNNING.item_uid))
    assert accept_pause(RUNNING, deferred=False) == (RUNNING, ("", RUNNING.item_uid))
    for view in (READY, PAUSED, replace(RUNNING, engine_state="pausing"), WorkerView()):
        assert accept_pause(view, deferred=False)[1][0]


def test_one_control_command_at_a_time_is_accepted_for_a_paused_plan() -> None:
    after, refusal = accept_control(PAUSED)
    assert (after.control_pending, refusal) == (True, "")
    assert accept_control(after)[1]
    assert accept_control(RUNNING)[1]
    resumed = engine_changed(after, "running")
    assert accept_control(engine_changed(resumed, "paused"))[1] == ""


def test_leaving_is_refused_while_something_is_in_hand() -> None:
    assert accept_leave(READY)[0].phase is EnvironmentPhase.CLOSING
    assert accept_leave(RUNNING)[1]
    assert accept_leave(PAUSED)[1]
    assert accept_leave(WorkerView())[1]
    assert accept_leave(replace(READY, phase=EnvironmentPhase.FAILED))[1] == ""


def test_an_end_begins_once() -> None:
    ending, first = begin_ending(RUNNING, "told to end")
    assert first
    assert not begin_ending(ending, "again")[1]
    assert not dismiss(ending, "unknown")[1]
    dismissed, first = dismiss(RUNNING, "unknown")
    assert first
    assert not dismiss(dismissed, "unknown")[1]
    assert begin_ending(dismissed, "told to end")[1]


# Orphans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "alone_since", "unstored", "idle_timeout", "busy_timeout", "action"),
    [
        (READY, None, 0, 60, 60, OrphanAction.STAY),
        (READY, 50.0, 0, 60, 60, OrphanAction.STAY),
        (READY, 40.0, 0, 60, 60, OrphanAction.LEAVE),
        (READY, 40.0, 1, 60, 60, OrphanAction.STAY),
        (READY, 0.0, 0, 0, 0, OrphanAction.STAY),
        (replace(READY, idle_since=90.0), 0.0, 0, 60, 60, OrphanAction.STAY),
        (RUNNING, 0.0, 0, 60, 0, OrphanAction.STAY),
        (PAUSED, 0.0, 0, 60, 0, OrphanAction.STAY),
        (RUNNING, 0.0, 1, 60, 100, OrphanAction.ABORT_AND_LEAVE),
        (PAUSED, 0.0, 1, 60, 101, OrphanAction.STAY),
        (WorkerView(), 0.0, 0, 60, 60, OrphanAction.STAY),
        (replace(READY, phase=EnvironmentPhase.FAILED), 40.0, 1, 60, 60, OrphanAction.LEAVE),
        (replace(RUNNING, ending="told to end"), 0.0, 1, 60, 60, OrphanAction.STAY),
    ],
)
def test_a_worker_without_a_manager(
    view: WorkerView,
    alone_since: float | None,
    unstored: int,
    idle_timeout: float,
    busy_timeout: float,
    action: OrphanAction,
) -> None:
    assert orphan_action(view, alone_since, unstored, 100.0, idle_timeout, busy_timeout) is action


# Outcome ---------------------------------------------------------------------------------------------------------


def test_outcomes() -> None:
    interrupted = EngineReturn(interrupted=True)
    assert judge(EngineReturn(), None, False, "").exit_status is ExitStatus.COMPLETED
    assert judge(interrupted, ("paused", "aborting"), True, "").exit_status is ExitStatus.ABORTED
    assert judge(EngineReturn(), ("paused", "halting"), True, "").exit_status is ExitStatus.HALTED
    assert judge(EngineReturn(), ("paused", "stopping"), True, "").msg == ""
    assert judge(interrupted, ("running", "stopping"), False, "").msg == "Plan stopped by code that runs in the worker"
    assert judge(interrupted, None, False, "").exit_status is ExitStatus.FAILED
    no_checkpoint = judge(interrupted, ("pausing", "aborting"), False, "")
    assert no_checkpoint.exit_status is ExitStatus.FAILED
    assert "checkpoint" in no_checkpoint.msg
    ended = judge(interrupted, ("running", "aborting"), False, "The node shuts down")
    assert (ended.exit_status, ended.msg) == (ExitStatus.ABORTED, "The node shuts down; plan aborted cleanly")
    raised = judge(EngineReturn(error=ValueError("x")), ("paused", "stopping"), True, "")
    assert (raised.exit_status, raised.msg) == (ExitStatus.FAILED, "Plan failed: x")


def test_an_error_that_cannot_be_printed_is_still_reported() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert failure(Broken()).msg == "Plan failed: Broken"
    assert "Broken" in error_traceback(Broken())
    assert error_text(ValueError("\ud800")) == "\\ud800"


# Ledger, outbox, console buffer ----------------------------------------------------------------------------------


def test_the_ledger_follows_items_and_keeps_the_last_ones() -> None:
    ledger = ItemLedger(limit=2)
    for number in range(3):
        ledger.received(f"i{number}", f"c{number}", b"{}")
    ledger.note(ItemStarted("i1", 1.0))
    end = ItemEnded("i1", ExitStatus.FAILED, 1.0, 2.0)
    ledger.note(end)
    ledger.note(ItemEnded("i0", ExitStatus.FAILED, 1.0, 2.0))
    first, second = ledger.entries()
    assert (first.item_uid, first.stage, first.end, first.time_start) == ("i1", "ended", end, 1.0)
    assert (second.item_uid, second.stage, second.end) == ("i2", "received", None)


def test_results_of_commands_are_kept_for_a_while() -> None:
    results = CommandResults(limit=2)
    for number in range(3):
        results.record(CommandResult(str(number), ok=True))
    assert results.find("0") is None
    assert results.find("2") == CommandResult("2", ok=True)


def test_stored_events_are_forgotten_in_the_end_but_the_opened_environment_is_not() -> None:
    from queueserver_common.link.messages import EnvironmentReady

    outbox = Outbox()
    outbox.append(EnvironmentReady(b"", b""))
    for number in range(1000):
        outbox.append(ItemStarted(str(number), 0.0))
        outbox.stored(outbox.next_seq - 1)
    outbox.welcomed(0)
    kept = []
    while (entry := outbox.after(kept[-1] if kept else 0)) is not None:
        kept.append(entry.seq)
    assert kept[0] == 1
    assert kept[-KEPT_WHEN_STORED:] == list(range(1001 - KEPT_WHEN_STORED + 1, 1002))
    assert len(kept) <= 2 * KEPT_WHEN_STORED + 1
    assert (outbox.stored_seq, outbox.acked_seq, outbox.unstored) == (0, 1001, 1001)


def test_events_that_nobody_stored_are_never_forgotten() -> None:
    outbox = Outbox()
    for number in range(1000):
        outbox.append(ItemStarted(str(number), 0.0))
    outbox.stored(1)
    outbox.stored(10**9)
    assert outbox.stored_seq == 1000
    outbox.welcomed(-5)
    assert outbox.stored_seq == 0


def test_the_console_buffer_drops_the_oldest_text_and_counts_it() -> None:
    notified = []
    buffer = ConsoleBuffer(limit=10)
    buffer.on_text(lambda: notified.append(1))
    for part in ("aaaa", "bbbb", "cccc"):
        buffer.append(part)
    assert len(notified) == 2  # at once, and when text came into the empty buffer
    batch = buffer.take()
    assert batch is not None
    assert (batch.text, batch.dropped) == ("bbbbcccc", 4)
    assert buffer.take() is None
    buffer.append("x" * 100)
    batch = buffer.take()
    assert batch is not None
    assert (batch.text, batch.dropped) == ("", 100)


def test_batches_are_limited_but_never_empty() -> None:
    buffer = ConsoleBuffer()
    for part in ("aaa", "bbb", "ccccc"):
        buffer.append(part)
    taken = []
    while (batch := buffer.take(limit=4)) is not None:
        taken.append(batch.text)
    assert taken == ["aaa", "bbb", "ccccc"]
    assert not buffer
