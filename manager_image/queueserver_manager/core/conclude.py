"""What follows every input: a queue that starts by itself, a manager that goes on leaving, a new status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_manager.core import control_methods, execution
from queueserver_manager.core.decision import Decision

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def conclude(core: Core, decision: Decision, now: float) -> Decision:
    """Complete a decision; called once for each input that changed the state."""
    if core.store_connected:
        execution.evaluate_autostart(core, decision, now)
        control_methods.go_on_leaving(core, decision)
    core.touch()
    return decision
