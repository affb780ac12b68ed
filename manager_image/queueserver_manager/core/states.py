"""The manager's state machine: `manager_state` of the status and every move it may make (zmq-api 3.1)."""

from __future__ import annotations

from enum import StrEnum


class ManagerState(StrEnum):
    """Values of `manager_state`."""

    INITIALIZING = "initializing"
    IDLE = "idle"
    PAUSED = "paused"
    CREATING_ENVIRONMENT = "creating_environment"
    STARTING_QUEUE = "starting_queue"
    EXECUTING_QUEUE = "executing_queue"
    EXECUTING_TASK = "executing_task"
    CLOSING_ENVIRONMENT = "closing_environment"
    DESTROYING_ENVIRONMENT = "destroying_environment"

    @property
    def legacy_name(self) -> str:
        """The name as it stands in messages that clients match, for example ``MState.IDLE``."""
        return f"MState.{self.name}"


_S = ManagerState

TRANSITIONS: dict[ManagerState, frozenset[ManagerState]] = {
    # A start recovers whatever its predecessor left: each state but the transient ones may follow.
    _S.INITIALIZING: frozenset(
        {
            _S.IDLE,
            _S.CREATING_ENVIRONMENT,
            _S.EXECUTING_QUEUE,
            _S.PAUSED,
            _S.EXECUTING_TASK,
            _S.CLOSING_ENVIRONMENT,
            _S.DESTROYING_ENVIRONMENT,
        }
    ),
    _S.IDLE: frozenset(
        {
            _S.CREATING_ENVIRONMENT,
            _S.CLOSING_ENVIRONMENT,
            _S.DESTROYING_ENVIRONMENT,
            _S.STARTING_QUEUE,
            _S.EXECUTING_TASK,
        }
    ),
    _S.CREATING_ENVIRONMENT: frozenset({_S.IDLE, _S.CLOSING_ENVIRONMENT, _S.DESTROYING_ENVIRONMENT}),
    # Back to idle: empty queue, a queue_stop instruction at the front, or the worker ended.
    _S.STARTING_QUEUE: frozenset({_S.EXECUTING_QUEUE, _S.PAUSED, _S.IDLE, _S.DESTROYING_ENVIRONMENT}),
    _S.EXECUTING_QUEUE: frozenset({_S.PAUSED, _S.IDLE, _S.DESTROYING_ENVIRONMENT}),
    _S.PAUSED: frozenset({_S.EXECUTING_QUEUE, _S.IDLE, _S.DESTROYING_ENVIRONMENT}),
    _S.EXECUTING_TASK: frozenset({_S.IDLE, _S.DESTROYING_ENVIRONMENT}),
    # A worker that refuses to leave keeps its environment: back to idle either way.
    _S.CLOSING_ENVIRONMENT: frozenset({_S.IDLE, _S.DESTROYING_ENVIRONMENT}),
    _S.DESTROYING_ENVIRONMENT: frozenset({_S.IDLE}),
}


def check_transition(old: ManagerState, new: ManagerState) -> None:
    """Raise AssertionError when the table does not know the move; staying in a state is always allowed."""
    if new is not old and new not in TRANSITIONS[old]:
        raise AssertionError(f"the state machine has no move from {old.value} to {new.value}")
