"""What a WorkerEnvironment is in, and what its status has recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueserver_operator.conditions import Cause, Condition
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.proof import Proof, proof_of_death
from queueserver_operator.model import Action
from queueserver_operator.observed import Environment
from queueserver_operator.reading import text

FINAL = ("ended", "failed")

LOCK_PAUSE = 2.0
"""Seconds after which somebody else's lock, or an object of somebody else, is looked at again."""


@dataclass(frozen=True, slots=True)
class State:
    """What an environment is in, as the decision finds it."""

    phase: str
    cause: Cause
    status: Mapping[str, Any]
    """The lasting parts of the status: template, pod, profile, instrument, deadline, end."""
    conditions: tuple[Condition, ...] = ()
    """Beyond the standard ones."""
    actions: tuple[Action, ...] = ()
    """Carried out before the status is written."""
    after: tuple[Action, ...] = ()
    """Carried out once the status is written, and only then."""
    requeue: float | None = None


def is_final(environment: Environment) -> bool:
    """Whether its worker has ended, or none will ever be made."""
    return text(environment.status, "phase") in FINAL


def recorded_pod(environment: Environment) -> str:
    """Uid of the pod that was allowed to run; empty: none was."""
    return text(environment.status, "pod", "uid")


def proof_for(context: Context, environment: Environment) -> Proof | None:
    """Proof that the recorded pod of an environment is dead."""
    return proof_of_death(
        context.observed,
        context.report,
        environment.name,
        recorded_uid=recorded_pod(environment),
        confirmed_uid=environment.confirmed_dead,
    )


def open_environment(context: Context) -> Environment | None:
    """The one environment that may have a worker: the first that was made of those that are not over."""
    alive = [one for one in context.observed.environments if not is_final(one)]
    return min(alive, key=lambda one: (not recorded_pod(one), one.created_at, one.name), default=None)


def lasting(status: Mapping[str, Any]) -> dict[str, Any]:
    """What a status says that stays true whatever happens next."""
    kept = ("template", "pod", "profile", "instrument", "deadline", "end")
    return {key: status[key] for key in kept if key in status}


def earliest(*pauses: float | None) -> float | None:
    """The shortest of some pauses; None means that there is nothing to wait for."""
    return min((pause for pause in pauses if pause is not None), default=None)
