"""The story of the demonstration: what is submitted, when it is paused, and what is said about it."""

from __future__ import annotations

from functools import partial
from typing import Any

from queueserver_cli.demo.errors import DemoError
from queueserver_cli.demo.progress import Progress, Step
from queueserver_cli.demo.session import Session
from queueserver_cli.demo.views import View
from queueserver_cli.tables import call_text

MANAGER_TIMEOUT_S = 30.0
ENVIRONMENT_TIMEOUT_S = 60.0
PLAN_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 30.0

PAUSE_AFTER_POINTS = 4
PAUSE_S = 1.5
READING_TIME_S = 1.5

_SUBMITTER = {"user": "demo", "user_group": "primary"}


def _plan(name: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return {"item_type": "plan", "name": name, "args": list(args), "kwargs": kwargs}


def steps() -> list[Step]:
    """The plans of the demonstration, in the order of the queue."""
    return [
        Step("a few readings", _plan("count", ["det1", "det2"], num=5, delay=0.2), points=5),
        Step("a peak", _plan("scan", ["det"], "motor", -5, 5, 400), points=400),
        Step("a run within a run", _plan("sim_multirun_plan_nested", npts=4, delay=0.2)),
        Step("made to fail", _plan("move_then_count", ["motor1", "motor2"], ["det1"], [1])),
        Step("paused and resumed", _plan("count", ["det1"], num=12, delay=0.3), points=12),
    ]


def play(session: Session, progress: Progress, view: View) -> None:
    """Run the whole story with a manager that has just been started."""
    session.wait_for(
        "the manager to answer",
        lambda: session.status.get("manager_state") == "idle",
        within_s=MANAGER_TIMEOUT_S,
    )
    view.say("The manager answers.")
    _open_environment(session, view)
    _submit(session, progress, view)
    _run_until_failure(session, progress, view)
    _drop_failed_item(session, view)
    _pause_and_resume(session, progress, view)
    _close_environment(session, view)


def _open_environment(session: Session, view: View) -> None:
    view.say("Opening the environment: a worker process loads the simulated profile and makes a RunEngine ...")
    session.request("environment_open")
    session.wait_for(
        "the manager to start with opening the environment",
        lambda: session.status["manager_state"] != "idle" or session.status["worker_environment_exists"],
        within_s=COMMAND_TIMEOUT_S,
    )
    session.wait_for(
        "the environment to open",
        lambda: bool(session.status["manager_state"] == "idle"),
        within_s=ENVIRONMENT_TIMEOUT_S,
    )
    if not session.status["worker_environment_exists"]:
        raise DemoError(f"The environment did not open: {session.status.get('environment_error')}")
    plans = session.request("plans_allowed", user_group="primary")["plans_allowed"]
    devices = session.request("devices_allowed", user_group="primary")["devices_allowed"]
    view.say(f"The environment is open, with {len(plans)} plans and {len(devices)} devices.")


def _submit(session: Session, progress: Progress, view: View) -> None:
    for step in progress.steps:
        step.uid = session.request("queue_item_add", item=step.item, **_SUBMITTER)["item"]["item_uid"]
    view.say(f"{len(progress.steps)} plans are in the queue. Starting it.")


def _run_until_failure(session: Session, progress: Progress, view: View) -> None:
    session.request("queue_start")
    *good, failing, _ = progress.steps
    for step in good:
        session.wait_for(
            f"the plan {call_text(step.item)} to complete",
            partial(_is_completed, step),
            within_s=PLAN_TIMEOUT_S,
        )
    session.wait_for(
        "the failing plan to end and the queue to stop",
        lambda: failing.state == "failed" and session.status["manager_state"] == "idle",
        within_s=PLAN_TIMEOUT_S,
    )
    view.say(f"A plan failed, so the queue stopped: {failing.reason.strip()}")


def _is_completed(step: Step) -> bool:
    return step.state == "completed"


def _drop_failed_item(session: Session, view: View) -> None:
    failed = session.request("queue_get")["items"][0]
    view.say(f"The manager put {failed['name']!r} back at the front of the queue, for a person to decide.")
    session.watch(READING_TIME_S)
    session.request("queue_item_remove", uid=failed["item_uid"])
    view.say("It is removed. Starting the queue again.")


def _pause_and_resume(session: Session, progress: Progress, view: View) -> None:
    long = progress.steps[-1]
    session.request("queue_start")
    session.wait_for(
        f"the first {PAUSE_AFTER_POINTS} points of {call_text(long.item)}",
        lambda: len(progress.readings(long)) >= PAUSE_AFTER_POINTS,
        within_s=PLAN_TIMEOUT_S,
    )
    view.say("Asking for a pause at the next checkpoint ...")
    session.request("re_pause", option="deferred")
    session.wait_for("the plan to pause", lambda: long.state == "paused", within_s=PLAN_TIMEOUT_S)
    view.say(f"Paused after {len(progress.readings(long))} of {long.points} points: nothing moves.")
    session.watch(PAUSE_S)
    session.request("re_resume")
    view.say("Resumed.")
    session.wait_for(
        f"the plan {call_text(long.item)} to complete and the queue to end",
        lambda: _is_completed(long) and session.status["manager_state"] == "idle",
        within_s=PLAN_TIMEOUT_S,
    )
    view.say("The queue is empty.")


def _close_environment(session: Session, view: View) -> None:
    session.request("environment_close")
    session.wait_for(
        "the environment to close",
        lambda: not session.status["worker_environment_exists"] and session.status["manager_state"] == "idle",
        within_s=ENVIRONMENT_TIMEOUT_S,
    )
    view.say("The environment is closed.")
