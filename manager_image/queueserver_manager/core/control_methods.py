"""Handlers of the methods that direct environment, queue, RunEngine and manager (zmq-api 5.3, 5.7, 5.8, 5.10)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from queueserver_common.encoded import Encoded
from queueserver_common.link.messages import CommandBody, Finish, Leave, Pause, ReadMetadata, Resume
from queueserver_manager.core import execution
from queueserver_manager.core.decision import AwaitWorker, Decision, Reply, failure, success
from queueserver_manager.core.effects import KillWorker, LaunchWorker, LeaveManager, TellWorker
from queueserver_manager.core.model import Environment, EnvironmentStage, LinkState
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.writes import SetField

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

TIMED_OUT = "Timeout occurred while processing the request"
DESTROYED = "RE Worker environment was destroyed"
PAUSE_OPTIONS = ("deferred", "immediate")
STOP_OPTIONS = ("safe_off", "safe_on")

S = ManagerState


def token_hash(token: str) -> str:
    """What is stored of an opening's secret."""
    return hashlib.sha256(token.encode()).hexdigest()


def environment_open(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Start a worker; whether the profile loads is told by the status."""
    state = core.state
    if state.manager_state is S.CREATING_ENVIRONMENT:
        raise Refusal(
            "Manager is already in the process of creating the RE Worker environment.",
            code=Code.ENVIRONMENT_EXISTS,
            prefixed=False,
        )
    if state.environment_exists:
        raise Refusal("RE Worker environment already exists.", code=Code.ENVIRONMENT_EXISTS, prefixed=False)
    if state.manager_state is not S.IDLE or state.leaving:
        raise Refusal(
            f"Manager state is not idle. Current state: {state.manager_state.value}",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    token = core.new_secret()
    environment = Environment(core.new_uid(), token_hash(token))
    begin_opening(core, d, environment)
    d.cause(LaunchWorker(environment.opening_id, token))
    return success()


def begin_opening(core: Core, d: Decision, environment: Environment) -> None:
    """From idle: an environment is on its way."""
    state = core.state
    state.environment = environment
    state.environment_error = ""
    state.worker_seq = 0
    state.link = LinkState.CONNECTING
    core.store_environment(d)
    d.write(SetField("worker_seq", None))
    core.enter(S.CREATING_ENVIRONMENT)


def environment_close(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Ask the worker to leave in order."""
    state = core.state
    if state.manager_state is S.CLOSING_ENVIRONMENT:
        raise Refusal(
            "Manager is already in the process of closing the RE Worker environment.",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    if not state.environment_exists:
        raise Refusal("RE Worker environment does not exist.", code=Code.NO_ENVIRONMENT, prefixed=False)
    if state.manager_state in (S.STARTING_QUEUE, S.EXECUTING_QUEUE):
        raise Refusal("Queue execution is in progress.", code=Code.WRONG_STATE, prefixed=False)
    if state.manager_state is S.EXECUTING_TASK:
        raise Refusal("Foreground task execution is in progress.", code=Code.WRONG_STATE, prefixed=False)
    if state.manager_state is not S.IDLE:
        raise Refusal(
            f"Manager state is not idle. Current state: {state.manager_state.value}",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    core.check_kernel()
    check_attached(core)
    close(core, d)
    return success()


def close(core: Core, d: Decision) -> None:
    """From idle: the environment is on its way out."""
    assert core.state.environment is not None
    core.state.environment.stage = EnvironmentStage.CLOSING
    core.store_environment(d)
    core.enter(S.CLOSING_ENVIRONMENT)
    d.cause(TellWorker(core.leave_command(), Leave()))


def environment_destroy(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """End the worker whatever it does."""
    if core.state.environment is None:
        raise Refusal("RE environment does not exist", code=Code.NO_ENVIRONMENT, prefixed=False)
    destroy(core, d)
    return success()


def destroy(core: Core, d: Decision) -> None:
    """The worker is ended at once; everything else follows when its end is proved."""
    environment = core.state.environment
    assert environment is not None
    environment.stage = EnvironmentStage.DESTROYING
    core.enter(S.DESTROYING_ENVIRONMENT)
    core.store_environment(d)
    execution.set_autostart(core, d, False)
    execution.set_stop_pending(core, d, False)
    d.urgent = True
    d.cause(KillWorker(environment.opening_id, core.settings.destroy_grace))


def queue_start(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Start taking items; an empty queue is a success."""
    core.check_worker_free()
    execution.start_queue(core, d, now)
    return success()


def queue_stop(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Stop after the item in hand."""
    state = core.state.manager_state
    if state not in (S.STARTING_QUEUE, S.EXECUTING_QUEUE):
        raise Refusal(
            f"Failed to pause the queue. Queue is not running. Manager state: {state.legacy_name}",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    execution.set_stop_pending(core, d, True)
    return success()


def queue_stop_cancel(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Take the request to stop back."""
    execution.set_stop_pending(core, d, False)
    return success()


def queue_autostart(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Switch autostart; whether it starts the queue is looked at after every decision."""
    execution.set_autostart(core, d, params["enable"])
    return success()


def re_pause(core: Core, params: Params, d: Decision, now: float) -> None:
    """Pause the plan that is running in the RunEngine."""
    option = params.get("option", "deferred")
    if option not in PAUSE_OPTIONS:
        raise Refusal(f"Option '{option}' is not supported. Available options: {PAUSE_OPTIONS}", prefixed=False)
    if not core.state.environment_exists:
        raise Refusal("Environment does not exist. Can not pause Run Engine.", code=Code.NO_ENVIRONMENT, prefixed=False)
    if core.state.re_state != "running" and core.state.link is LinkState.ATTACHED:
        raise Refusal(
            f"Run engine can be paused only in 'running' state. Current state: '{core.state.re_state}'",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    tell_and_wait(core, d, Pause(deferred=option == "deferred"))


def re_resume(core: Core, params: Params, d: Decision, now: float) -> None:
    """Continue the paused plan."""
    _continue_paused(core, d, Resume())


def re_stop(core: Core, params: Params, d: Decision, now: float) -> None:
    """End the paused plan as a success."""
    _continue_paused(core, d, Finish("stop"))


def re_abort(core: Core, params: Params, d: Decision, now: float) -> None:
    """End the paused plan as aborted."""
    _continue_paused(core, d, Finish("abort"))


def re_halt(core: Core, params: Params, d: Decision, now: float) -> None:
    """End the paused plan without its clean-up."""
    _continue_paused(core, d, Finish("halt"))


def _continue_paused(core: Core, d: Decision, body: CommandBody) -> None:
    if core.state.manager_state is not S.PAUSED:
        raise Refusal(
            f"RE Manager is not paused: current state is '{core.state.manager_state.value}'",
            code=Code.WRONG_STATE,
            prefixed=False,
        )
    tell_and_wait(core, d, body)


def tell_and_wait(core: Core, d: Decision, body: CommandBody) -> None:
    """Send a command that only directs the plan in hand; the worker's answer becomes the reply."""
    command_id = core.new_uid()
    core.commands[command_id] = body
    d.urgent = not isinstance(body, Resume)
    d.cause(TellWorker(command_id, body))
    d.awaits = AwaitWorker(command_id, lambda _: success(), failure(TIMED_OUT, Code.WORKER_SILENT))


def re_metadata(core: Core, params: Params, d: Decision, now: float) -> None:
    """Metadata of the RunEngine, as far as clients may read them; the worker tells them."""
    if not core.state.environment_exists:
        raise Refusal(
            "Environment does not exist. Cannot retrieve RE metadata.", code=Code.NO_ENVIRONMENT, prefixed=False
        )
    if core.state.link is LinkState.ATTACHED and core.state.re_state is None:
        raise Refusal("Run Engine does not exist in worker environment", code=Code.NO_RUN_ENGINE, prefixed=False)
    command_id = core.new_uid()
    d.cause(TellWorker(command_id, ReadMetadata(core.settings.permitted_metadata)))
    d.awaits = AwaitWorker(
        command_id,
        lambda value: success(re_metadata=Encoded(value)),
        failure(TIMED_OUT, Code.WORKER_SILENT, re_metadata={}),
    )


def check_attached(core: Core) -> None:
    """Refuse what needs an answer of the worker while its link is silent."""
    if core.state.link is not LinkState.ATTACHED:
        raise Refusal(TIMED_OUT, code=Code.WORKER_SILENT, prefixed=False)


def manager_stop(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """End the manager; the reply is sent first, the environment is closed or destroyed afterwards."""
    option = params.get("option", "safe_on")
    if option not in STOP_OPTIONS:
        raise Refusal(f"Option '{option}' is not allowed. Allowed options: {STOP_OPTIONS}")
    state = core.state
    if option == "safe_on" and state.manager_state is not S.IDLE:
        raise Refusal(
            "Closing RE Manager with option 'safe_on' is allowed only in 'idle' state. "
            f"Current state: '{state.manager_state.value}'",
            code=Code.WRONG_STATE,
        )
    state.leaving = True
    if state.manager_state is not S.IDLE and state.environment is not None:
        destroy(core, d)
    return success()


def go_on_leaving(core: Core, d: Decision) -> None:
    """A manager that is to leave closes its idle environment, and leaves once there is none."""
    state = core.state
    if not state.leaving or state.manager_state is not S.IDLE:
        return
    if state.tasks_delay_leaving and state.tasks:
        return
    if state.environment is None:
        d.cause(LeaveManager())
    elif state.link is LinkState.ATTACHED:
        close(core, d)
    else:
        destroy(core, d)


def manager_kill(core: Core, params: Params, d: Decision, now: float) -> None:
    """Test hook: the manager stops answering, its supervisor starts it again; there is no reply."""
    d.hang = True
