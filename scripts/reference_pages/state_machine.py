"""docs/explanations/state-machine.md: diagram and table of the moves, between marks in a page that people write."""

from __future__ import annotations

from queueserver_manager.core.states import TRANSITIONS, ManagerState
from reference_pages.markdown import code, table

BEGIN = "<!-- Written by `make docs` from `queueserver_manager.core.states`, up to the next mark. -->"
END = "<!-- end -->"

S = ManagerState
_RECOVERED = "what the predecessor left"
_DESTROY = "`environment_destroy`"

REASONS = {
    (S.INITIALIZING, S.IDLE): "no environment, or an idle one",
    (S.INITIALIZING, S.CREATING_ENVIRONMENT): "an opening is under way",
    (S.INITIALIZING, S.EXECUTING_QUEUE): "a plan is running",
    (S.INITIALIZING, S.PAUSED): "a plan is paused",
    (S.INITIALIZING, S.EXECUTING_TASK): "a foreground task is running",
    (S.INITIALIZING, S.CLOSING_ENVIRONMENT): "the worker was asked to leave",
    (S.INITIALIZING, S.DESTROYING_ENVIRONMENT): "the worker was being ended",
    (S.IDLE, S.CREATING_ENVIRONMENT): "`environment_open`",
    (S.IDLE, S.CLOSING_ENVIRONMENT): "`environment_close`, `manager_stop`",
    (S.IDLE, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.IDLE, S.STARTING_QUEUE): "`queue_start`, autostart, `queue_item_execute`",
    (S.IDLE, S.EXECUTING_TASK): "a foreground task",
    (S.CREATING_ENVIRONMENT, S.IDLE): "the startup code is loaded",
    (S.CREATING_ENVIRONMENT, S.CLOSING_ENVIRONMENT): "the startup code failed, or the worker ended",
    (S.CREATING_ENVIRONMENT, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.STARTING_QUEUE, S.EXECUTING_QUEUE): "the plan begins",
    (S.STARTING_QUEUE, S.PAUSED): "the plan paused at once",
    (S.STARTING_QUEUE, S.IDLE): "empty queue, `queue_stop` instruction, or the worker ended",
    (S.STARTING_QUEUE, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.EXECUTING_QUEUE, S.PAUSED): "the plan pauses",
    (S.EXECUTING_QUEUE, S.IDLE): "the queue ends or stops, or the worker ended",
    (S.EXECUTING_QUEUE, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.PAUSED, S.EXECUTING_QUEUE): "`re_resume`, `re_stop`, `re_abort`, `re_halt`",
    (S.PAUSED, S.IDLE): "the worker ended",
    (S.PAUSED, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.EXECUTING_TASK, S.IDLE): "the task ends",
    (S.EXECUTING_TASK, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.CLOSING_ENVIRONMENT, S.IDLE): "the worker is gone, or refused to leave",
    (S.CLOSING_ENVIRONMENT, S.DESTROYING_ENVIRONMENT): _DESTROY,
    (S.DESTROYING_ENVIRONMENT, S.IDLE): "the worker is proved to be gone",
}
"""What makes the manager move, for every move of the table."""


def fill(text: str) -> str:
    """The page with diagram and table brought up to date; raises ValueError when a move has no reason."""
    moves = {(old, new) for old, following in TRANSITIONS.items() for new in following}
    if moves != set(REASONS):
        raise ValueError(f"scripts/reference_pages/state_machine.py and TRANSITIONS differ: {moves ^ set(REASONS)}")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("docs/explanations/state-machine.md has lost the marks of its generated part")
    rows = [(code(old), code(new), reason) for (old, new), reason in REASONS.items()]
    return f"{before}{BEGIN}\n\n{_diagram()}\n\n{table(('from', 'to', 'when'), rows)}\n\n{END}{after}"


def _diagram() -> str:
    """A Mermaid diagram; the moves out of `initializing` and the many into `destroying_environment` are told once."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> initializing"]
    lines += [f"    initializing --> idle: {_RECOVERED}"]
    for (old, new), reason in REASONS.items():
        taken = not reason.startswith("allowed")
        if taken and old is not S.INITIALIZING and (new is not S.DESTROYING_ENVIRONMENT or old is S.IDLE):
            lines.append(f"    {old} --> {new}: {reason.replace('`', '')}")
    return "\n".join([*lines, "```"])
