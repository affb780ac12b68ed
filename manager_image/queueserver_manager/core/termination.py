"""The process is asked to end (SIGTERM, Ctrl-C, its supervisor has gone)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_manager.core import control_methods, execution
from queueserver_manager.core.conclude import conclude
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import LeaveManager
from queueserver_manager.core.states import ManagerState

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def terminate(core: Core, on_terminate: str, now: float) -> Decision:
    """The process was asked to end (SIGTERM, Ctrl-C).

    An idle environment is closed, unless its worker waits for the next manager anyway. With a plan or task in hand the
    worker is left alone for the next manager (`LEAVE`), its end is waited for (`WAIT`), or the environment is destroyed
    (`DESTROY`). Without the store nothing that comes of waiting could be recorded: the process ends at once.
    """
    d = Decision()
    state = core.state
    busy = state.environment is not None and (
        state.manager_state is not ManagerState.IDLE or bool(state.tasks) or core.settings.workers_wait
    )
    if not core.store_connected:
        if busy and on_terminate == "DESTROY":
            control_methods.destroy(core, d)
        d.cause(LeaveManager())
    elif state.environment is None or not busy:
        state.leaving = True
    elif on_terminate == "DESTROY":
        state.leaving = True
        control_methods.destroy(core, d)
    elif on_terminate == "WAIT" and (state.running is not None or state.tasks):
        state.leaving = state.tasks_delay_leaving = True
        execution.set_stop_pending(core, d, state.running is not None)
    else:
        d.cause(LeaveManager())
    return conclude(core, d, now)


def abandon() -> Decision:
    """Nobody would start this process again (its supervisor was killed): it ends at once.

    A worker is left alone, also an idle one: the next manager finds it, or it leaves when none comes.
    """
    return Decision(effects=[LeaveManager()])
