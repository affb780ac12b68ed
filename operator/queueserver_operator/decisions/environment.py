"""One WorkerEnvironment: its state, its status and the events about it."""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import ENVIRONMENT_KIND
from queueserver_operator.conditions import READY, STALLED, Trouble, differs, over_in_order, standard, told, written
from queueserver_operator.decisions.alive import alive
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.opening import opening
from queueserver_operator.decisions.over import dead, over
from queueserver_operator.decisions.state import (
    State,
    is_final,
    lasting,
    open_environment,
    proof_for,
    recorded_pod,
)
from queueserver_operator.model import Action, Chain, PatchStatus, PostEvent, Ref
from queueserver_operator.observed import Environment
from queueserver_operator.reading import condition, text


def environment_state(context: Context, environment: Environment) -> State:
    """What an environment is in and what is to be done about it."""
    before = lasting(environment.status)
    if is_final(environment):
        return over(context, environment, before)
    if recorded_pod(environment):
        proof = proof_for(context, environment)
        return dead(context, before, proof) if proof else alive(context, environment, before)
    first = open_environment(context)
    if first is not None and first.uid != environment.uid:
        message = f"Environment {first.name} of QueueServer {context.spec.name} is open already."
        return State("failed", Trouble("AlreadyOpen", message), before)
    if context.spec.suspend:
        message = f"QueueServer {context.spec.name} is suspended."
        return State("failed", Trouble("Suspended", message), before)
    return opening(context, environment, before)


def orphan_state(environment: Environment) -> State:
    """An environment of a QueueServer that does not exist."""
    message = f"There is no QueueServer {environment.queue_server} in namespace {environment.namespace}."
    return State("failed", Trouble("QueueServerNotFound", message), lasting(environment.status))


def environment_chain(environment: Environment, state: State, now: float) -> Chain:
    """Actions, status and events of an environment."""
    status = _whole_status(environment, state, now)
    ref = Ref(ENVIRONMENT_KIND, environment.namespace, environment.name)
    news: list[Action] = []
    if differs(status, environment.status):
        news.append(PatchStatus(ref, status))
        news += _events(ref, environment, state)
    return (*state.actions, *news, *state.after)


def _whole_status(environment: Environment, state: State, now: float) -> dict[str, Any]:
    if state.phase == "ended":
        conditions = over_in_order(state.cause)
    else:
        conditions = standard(state.phase in ("open", "closing"), state.cause)
    resource = {"status": environment.status}
    return {
        **state.status,
        "observedGeneration": environment.generation,
        "phase": state.phase,
        "conditions": written((*conditions, *state.conditions), resource, environment.generation, now),
    }


def _events(ref: Ref, environment: Environment, state: State) -> list[Action]:
    """An event when the cause has changed, or counts as stalled now, and a person may want to know."""
    reason, resource = state.cause.reason, {"status": environment.status}
    stalled = isinstance(state.cause, Trouble) and state.cause.stalled
    bad = stalled or state.phase == "unreachable"
    if not bad and reason not in ("Open", "Completed", "InstrumentHeld"):
        return []
    known = told(resource, STALLED, state.cause) if stalled else text(condition(resource, READY), "reason") == reason
    if known:
        return []
    return [PostEvent(ref, environment.uid, "Warning" if bad else "Normal", reason, state.cause.message)]
