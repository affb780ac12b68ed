"""Handlers of the methods about the IPython kernel (zmq-api 5.8, 5.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_common.link.messages import InterruptKernel
from queueserver_manager.core.control_methods import check_attached, tell_and_wait
from queueserver_manager.core.decision import Decision, Reply, success
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.tasks import foreground_task

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

KERNEL_TESTS = ("reserve_kernel",)


def kernel_interrupt(core: Core, params: Params, d: Decision, now: float) -> None:
    """Interrupt what the kernel executes; a plan or a task of the manager only where the request allows it."""
    snapshot = core.state.snapshot
    plain = core.state.environment_exists and snapshot is not None and snapshot.ip_kernel_state == "disabled"
    if plain or not core.settings.ipython_kernel:
        raise Refusal("RE Manager is not in IPython mode: IPython kernel is not used", code=Code.WRONG_STATE)
    if not core.state.environment_exists:
        raise Refusal("Worker environment does not exist", code=Code.NO_ENVIRONMENT)
    running = core.state.manager_state in (ManagerState.STARTING_QUEUE, ManagerState.EXECUTING_QUEUE)
    if foreground_task(core) is not None and not params.get("interrupt_task"):
        raise Refusal("Not allowed to interrupt running task", code=Code.WRONG_STATE)
    if running and not params.get("interrupt_plan"):
        raise Refusal("Not allowed to interrupt running plan", code=Code.WRONG_STATE)
    check_attached(core)
    tell_and_wait(core, d, InterruptKernel())


def manager_test(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Test hook: the only test is whether the kernel of the worker could be taken for a plan."""
    name = params.get("test_name")
    if name not in KERNEL_TESTS:
        raise Refusal(f"Unknown test: {name!r}. Known tests: {list(KERNEL_TESTS)}")
    if not core.settings.ipython_kernel:
        raise Refusal("IPython kernel mode is not enabled", code=Code.WRONG_STATE)
    if not core.state.environment_exists:
        raise Refusal("Worker environment does not exist", code=Code.NO_ENVIRONMENT)
    core.check_kernel()
    return success()
