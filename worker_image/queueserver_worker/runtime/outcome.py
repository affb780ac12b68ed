"""How an item ended, told from what the RunEngine did. Pure."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from queueserver_common.link.messages import ExitStatus

_OWN_PACKAGE = str(Path(__file__).resolve().parent.parent)

WayOut = tuple[str, str]
"""The RunEngine's transition (from, to) into "stopping", "aborting" or "halting"."""

_STATUS = {"stopping": ExitStatus.STOPPED, "aborting": ExitStatus.ABORTED, "halting": ExitStatus.HALTED}


@dataclass(frozen=True, slots=True)
class EngineReturn:
    """What a call of the RunEngine came back with."""

    error: BaseException | None = None
    interrupted: bool = False
    """It raised RunEngineInterrupted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`exit_status`, `msg` and `traceback` of an item's result (zmq-api 4.3)."""

    exit_status: ExitStatus
    msg: str = ""
    traceback: str = ""


def judge(returned: EngineReturn, way_out: WayOut | None, requested: bool, ending: str) -> Outcome:
    """Tell the outcome of a plan that is no longer in the RunEngine.

    `requested`: the manager asked for a stop, abort or halt. `ending`: why the worker itself aborted the plan.
    """
    if returned.error is not None:
        return failure(returned.error)
    if way_out is None:
        if not returned.interrupted:
            return Outcome(ExitStatus.COMPLETED)
        return Outcome(ExitStatus.FAILED, "Plan failed: the RunEngine gave it up and says no more about it")
    before, after = way_out
    status = _STATUS[after]
    if ending:
        return Outcome(status, f"{ending}; plan {status.value} cleanly")
    if requested:
        return Outcome(status)
    if after == "aborting" and before in ("pausing", "suspending"):
        return Outcome(
            ExitStatus.FAILED,
            "Plan failed: it was to be paused where it cannot be resumed (the plan has cleared its checkpoint), "
            "so the RunEngine aborted it",
        )
    return Outcome(status, f"Plan {status.value} by code that runs in the worker")


def failure(error: BaseException) -> Outcome:
    """The outcome of a plan that raised."""
    return Outcome(ExitStatus.FAILED, f"Plan failed: {error_text(error)}", error_traceback(error))


def error_text(error: BaseException) -> str:
    """The text of an exception, or its type when it has none."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return printable(text or type(error).__name__)


def error_traceback(error: BaseException) -> str:
    """Printable traceback without the worker's own frames."""
    try:
        summary = tracebacks.TracebackException.from_exception(error)
        for part in _chain(summary):
            part.stack = tracebacks.StackSummary.from_list(
                [frame for frame in part.stack if not frame.filename.startswith(_OWN_PACKAGE)]
            )
        return printable("".join(summary.format()))
    except Exception:
        return f"{type(error).__name__} (its traceback cannot be printed)\n"


def _chain(summary: tracebacks.TracebackException | None) -> Iterator[tracebacks.TracebackException]:
    """The exception with its causes, contexts and members."""
    if summary is not None:
        yield summary
        for related in (summary.__cause__, summary.__context__, *(summary.exceptions or ())):
            yield from _chain(related)


def printable(text: str) -> str:
    """The text with what UTF-8 cannot hold (lone surrogates) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
