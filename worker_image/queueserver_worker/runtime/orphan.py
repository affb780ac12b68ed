"""When a worker without a manager gives up. Pure."""

from __future__ import annotations

from enum import Enum, auto

from queueserver_common.link.messages import EnvironmentPhase
from queueserver_worker.runtime.state import WorkerView


class OrphanAction(Enum):
    """What to do."""

    STAY = auto()
    LEAVE = auto()
    """Nothing is in hand and nothing is lost: end the process."""
    ABORT_AND_LEAVE = auto()
    """The configuration limits how long a plan may go on without a manager."""


def orphan_action(
    view: WorkerView, alone_since: float | None, unstored: int, now: float, idle_timeout: float, busy_timeout: float
) -> OrphanAction:
    """Decide for a worker that no manager has taken since `alone_since` (None: one has). Time-outs of 0 never pass."""
    if alone_since is None or view.ending or view.phase in (EnvironmentPhase.LOADING, EnvironmentPhase.CLOSING):
        return OrphanAction.STAY
    if view.busy:
        passed = busy_timeout > 0 and now - alone_since >= busy_timeout
        return OrphanAction.ABORT_AND_LEAVE if passed else OrphanAction.STAY
    passed = idle_timeout > 0 and now - max(alone_since, view.idle_since) >= idle_timeout
    # What a failed opening has to report is worth no more than its log.
    if passed and (unstored == 0 or view.phase is EnvironmentPhase.FAILED):
        return OrphanAction.LEAVE
    return OrphanAction.STAY
