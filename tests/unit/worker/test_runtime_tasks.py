"""Rules of tasks in the worker: acceptance, outcomes, what is remembered of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest

from queueserver_common.link.messages import EnvironmentPhase, EnvironmentState, KnownTask, ListsChanged, TaskEnded
from queueserver_worker.runtime.acceptance import KERNEL_BUSY, accept_item, accept_leave, accept_task
from queueserver_worker.runtime.interruption import Interruption
from queueserver_worker.runtime.ledger import TaskLedger
from queueserver_worker.runtime.outbox import KEPT_BYTES, KEPT_WHEN_STORED, Outbox
from queueserver_worker.runtime.state import WorkerView, task_finished
from queueserver_worker.runtime.task_outcome import MAX_RESULT, function_failed, returned, script_failed

READY = WorkerView(phase=EnvironmentPhase.READY, engine_state="idle")
TASK = KnownTask("task", "command", background=False, time_start=1.0)
END = TaskEnded("task", True, 1.0, 2.0)


# Acceptance ------------------------------------------------------------------------------------------------------


def test_a_task_in_the_foreground_takes_the_main_thread() -> None:
    view, refusal = accept_task(READY, "task", False)
    assert (view.task_uid, refusal) == ("task", "")
    assert view.snapshot().environment_state is EnvironmentState.EXECUTING_TASK
    assert accept_task(view, "other", False)[1] == "The worker has another task in hand: 'task'."
    assert accept_item(view, "item")[1] == "The worker has a task in hand: 'task'."
    assert accept_leave(view)[1] == "The worker has a task in hand: 'task'."
    assert task_finished(view, 5.0, background=False) == replace(READY, idle_since=5.0)


def test_a_task_in_the_background_goes_beside_everything() -> None:
    view = replace(READY, item_uid="item", task_uid="task")
    one, refusal = accept_task(view, "a", True)
    two, _ = accept_task(one, "b", True)
    assert (refusal, two.background_tasks, two.snapshot().background_tasks) == ("", 2, 2)
    assert task_finished(two, 5.0, background=True).background_tasks == 1
    assert accept_leave(replace(READY, background_tasks=1))[1] == ""


@pytest.mark.parametrize(
    "view",
    [
        WorkerView(),
        replace(READY, phase=EnvironmentPhase.CLOSING),
        replace(READY, ending="it ends"),
        replace(READY, dismissed="sent away"),
    ],
)
@pytest.mark.parametrize("background", [False, True])
def test_a_worker_that_is_not_ready_or_ends_takes_no_task(view: WorkerView, background: bool) -> None:
    after, refusal = accept_task(view, "task", background)
    assert after is view
    assert refusal


def test_what_is_in_hand_waits_for_a_person_who_uses_the_kernel() -> None:
    view = replace(READY, kernel_state="busy", kernel_captured=False)
    assert accept_leave(view)[1] == KERNEL_BUSY
    for waiting, refusal in (accept_task(view, "task", False), accept_item(view, "item")):
        assert refusal == ""
        assert waiting.snapshot().environment_state is EnvironmentState.RESERVED
        granted = replace(waiting, kernel_captured=True).snapshot().environment_state
        assert granted in (EnvironmentState.EXECUTING_TASK, EnvironmentState.EXECUTING_PLAN)
    assert view.snapshot().environment_state is EnvironmentState.IDLE


# Outcomes --------------------------------------------------------------------------------------------------------


def test_what_a_function_returns_is_told_as_json() -> None:
    assert returned({"a": [1, None]}).return_value == b'{"a":[1,null]}'
    assert returned(["["] * 200).success
    assert not returned(object()).success
    assert not returned("x" * MAX_RESULT).success
    deep: list[object] = []
    for _ in range(90):
        deep = [deep]
    assert not returned(deep).success
    assert returned(deep[0]).success


def test_failures_say_what_was_executed() -> None:
    try:
        raise ValueError("a reason")
    except ValueError as error:
        script, function = script_failed(error), function_failed(error)
    assert script.msg == "Error occurred while executing 'Load script': Failed to execute stript: a reason"
    assert script.traceback.endswith("Failed to execute stript: a reason")
    assert function.msg == "Error occurred while executing 'Execute function': a reason"


def test_only_a_task_that_runs_is_interrupted() -> None:
    interruption = Interruption()
    interruption.heard()  # nothing runs
    steps = []

    def task() -> None:
        steps.append("begin")
        try:
            interruption.heard()
        finally:
            interruption.heard()  # its clean-up is left alone
            steps.append("cleaned up")
        steps.append("end")

    assert interruption.guard(task) is False
    assert steps == ["begin", "cleaned up"]
    interruption.heard()


def test_what_an_interrupted_task_makes_of_it_does_not_count() -> None:
    interruption = Interruption()

    def task() -> None:
        try:
            interruption.heard()
        except BaseException as error:
            raise ValueError("the task did not expect that") from error

    assert interruption.guard(task) is False
    with pytest.raises(ValueError, match="its own"):
        interruption.guard(partial(fail, "its own"))
    assert interruption.guard(lambda: None) is True


def test_after_the_request_nothing_begins_any_more() -> None:
    interruption = Interruption()
    interruption.request()
    assert interruption.guard(partial(fail, "it began")) is False


def fail(text: str) -> None:
    raise ValueError(text)


# What is remembered ----------------------------------------------------------------------------------------------


def test_the_ledger_tells_of_tasks_as_long_as_their_ends_can_be_reported() -> None:
    ledger = TaskLedger()
    ledger.received(TASK)
    assert ledger.entries() == (TASK,)
    ledger.ended("task", 7)
    assert ledger.entries() == (replace(TASK, ended=True),)
    ledger.forget_ends_before(7)
    assert ledger.entries() == (replace(TASK, ended=True),)
    ledger.forget_ends_before(8)
    assert ledger.entries() == ()
    assert ledger.knows("task")


def test_the_ledger_forgets_the_oldest_uids_but_none_that_runs() -> None:
    ledger = TaskLedger(limit=2)
    for number in range(4):
        ledger.received(replace(TASK, task_uid=str(number)))
    ledger.ended("0", 1)
    ledger.forget_ends_before(2)
    assert [ledger.knows(str(number)) for number in range(4)] == [False, True, True, True]


def test_only_the_newest_lists_are_kept_for_ever() -> None:
    outbox = Outbox()
    outbox.append(ListsChanged(b"old", b""))
    outbox.append(ListsChanged(b"new", b""))
    for _ in range(3 * KEPT_WHEN_STORED):
        outbox.stored(outbox.append(END))
    first = outbox.after(0)
    assert first is not None
    assert (first.seq, b"new" in first.frame) == (2, True)


def test_stored_ends_of_many_bytes_are_not_kept() -> None:
    outbox = Outbox()
    large = replace(END, return_value=b'"' + b"x" * (KEPT_BYTES // 3) + b'"')
    for _ in range(10):
        outbox.stored(outbox.append(large))
    assert 8 <= outbox.oldest_seq <= 10
    outbox.append(large)
    outbox.append(large)
    assert outbox.after(10) is not None


def test_a_plain_worker_imports_nothing_of_ipython() -> None:
    code = (
        "import sys, queueserver_worker.runtime.process, queueserver_worker.main; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('IPython', 'ipykernel', 'jupyter_client')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
