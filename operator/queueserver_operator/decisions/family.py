"""The whole of a family: its environments, its locks, its children and the status of its QueueServer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from queueserver_common.cluster import QUEUE_SERVER_KIND
from queueserver_operator.conditions import Cause, Condition, Trouble
from queueserver_operator.decisions.alive import left_workers
from queueserver_operator.decisions.children import child_chains, refused_child, stateful_set_chain
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.deletion import deletion
from queueserver_operator.decisions.environment import environment_chain, environment_state, orphan_state
from queueserver_operator.decisions.http_server import http_conditions, http_requeue
from queueserver_operator.decisions.keys import key_trouble, missing_keys
from queueserver_operator.decisions.locks import released_locks
from queueserver_operator.decisions.manager_pod import manager_cause, roll
from queueserver_operator.decisions.queue_server_status import queue_server_status
from queueserver_operator.decisions.state import State, earliest
from queueserver_operator.decisions.suspension import suspension
from queueserver_operator.model import AddFinalizer, Chain, Options, Plan, Ref
from queueserver_operator.names import FINALIZER, MANAGER_CONTAINER
from queueserver_operator.observed import Environment, Observed
from queueserver_operator.reading import text, texts
from queueserver_operator.report import NO_REPORT, Report
from queueserver_operator.spec import QueueServerSpec

_LOOK_AGAIN = 15.0
"""Seconds after which things are looked at again that no watch tells of, as long as something is wrong."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is to be said and done about the QueueServer itself."""

    ready: bool
    cause: Cause
    phase: str
    chains: tuple[Chain, ...] = ()
    conditions: tuple[Condition, ...] = ()
    requeue: float | None = None


def decide(observed: Observed, options: Options, now: float) -> Plan:
    """The plan for a family; `now` in seconds since the epoch."""
    queue_server = observed.queue_server
    if queue_server is None:
        return _without_queue_server(observed, now)
    if _looked_after_by_another(queue_server, options):
        return Plan()
    context = Context(observed, options, now, QueueServerSpec.parse(queue_server), Report.parse(queue_server))
    if not context.spec.deleting and FINALIZER not in texts(queue_server, "metadata", "finalizers"):
        return Plan(((AddFinalizer(Ref(QUEUE_SERVER_KIND, observed.namespace, observed.name)),),), requeue=0.0)
    verdict = _deleting(context) if context.spec.deleting else _living(context)
    states = () if context.spec.deleting else tuple((one, environment_state(context, one)) for one in _own(observed))
    http = () if context.spec.deleting or context.spec.suspend else http_conditions(context)
    conditions = (*verdict.conditions, *http, *left_workers(context))
    chains = (
        *_environment_chains(states, now),
        *released_locks(observed, context.report),
        *verdict.chains,
        queue_server_status(context, verdict.phase, verdict.ready, verdict.cause, conditions, states),
    )
    http_pause = _LOOK_AGAIN if http else http_requeue(context)
    requeue = earliest(verdict.requeue, http_pause, *(state.requeue for _, state in states))
    return Plan(tuple(chain for chain in chains if chain), requeue)


def _own(observed: Observed) -> tuple[Environment, ...]:
    return tuple(one for one in observed.environments if not one.deleting)


def _environment_chains(states: Iterable[tuple[Environment, State]], now: float) -> Iterable[Chain]:
    return (environment_chain(environment, state, now) for environment, state in states)


def _looked_after_by_another(queue_server: Any, options: Options) -> bool:
    identity = text(queue_server, "status", "operator", "identity")
    return bool(identity) and identity != options.identity


def _without_queue_server(observed: Observed, now: float) -> Plan:
    """Only locks and the status of environments are left, and nothing new is made."""
    states = tuple((one, orphan_state(one)) for one in _own(observed))
    locks = released_locks(observed, NO_REPORT)
    chains = (*_environment_chains(states, now), *locks)
    held = any(lease.queue_server == f"{observed.namespace}/{observed.name}" for lease in observed.leases)
    return Plan(tuple(chain for chain in chains if chain), _LOOK_AGAIN if held else None)


def _deleting(context: Context) -> _Verdict:
    step = deletion(context)
    return _Verdict(False, step.cause, "deleting", step.chains, requeue=step.requeue)


def _living(context: Context) -> _Verdict:
    suspended = suspension(context) if context.spec.suspend else None
    replicas = suspended.replicas if suspended else 1
    rolled = roll(context, replicas)
    chains = (
        *missing_keys(context),
        *child_chains(context, replicas),
        stateful_set_chain(context, replicas),
        rolled.chain,
        *(suspended.chains if suspended else ()),
    )
    trouble = key_trouble(context) or refused_child(context)
    if suspended and (suspended.complete or not trouble):
        phase = "suspended" if suspended.complete else "suspending"
        return _Verdict(suspended.complete, suspended.cause, phase, chains, rolled.conditions)
    if trouble:
        return _Verdict(False, trouble, _phase(context, False, trouble), chains, rolled.conditions, _LOOK_AGAIN)
    ready, cause = manager_cause(context)
    phase = _phase(context, ready, cause)
    if rolled.chain:
        return _Verdict(False, Cause("ManagerRestarting", "The pod of the manager is being replaced."), phase, chains)
    if ready and context.obstacle:
        return _Verdict(False, context.obstacle, phase, chains, rolled.conditions, _LOOK_AGAIN)
    requeue = _LOOK_AGAIN if isinstance(cause, Trouble) else None
    return _Verdict(ready, cause, phase, chains, rolled.conditions, requeue)


def _phase(context: Context, ready: bool, cause: Cause) -> str:
    if ready:
        return context.report.manager or "starting"
    if isinstance(cause, Trouble) and cause.stalled:
        return "stalled"
    pod = context.observed.manager_pod
    container = pod.container(MANAGER_CONTAINER) if pod is not None and not pod.gone else None
    return "unavailable" if container is not None and container.ready else "starting"
