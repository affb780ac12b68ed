"""An environment that is over: how its worker ended is recorded, and it is kept for a while for its logs."""

from __future__ import annotations

from typing import Any

from queueserver_common.cluster import ENVIRONMENT_KIND
from queueserver_operator.conditions import Cause, Trouble
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.opening import remove_unstarted_pod
from queueserver_operator.decisions.proof import Proof
from queueserver_operator.decisions.state import State, open_environment, proof_for, recorded_pod
from queueserver_operator.decisions.worker_end import worker_end
from queueserver_operator.model import DeleteObject, Ref
from queueserver_operator.observed import Environment
from queueserver_operator.reading import mapping, seconds, text, timestamp

KEPT = 24 * 3600.0
"""Seconds for which an environment that is over stays with its pod, unless another is opened."""


def dead(context: Context, before: dict[str, Any], proof: Proof) -> State:
    """The worker has just been found dead."""
    end = worker_end(proof)
    record: dict[str, Any] = {
        "time": timestamp(end.time or context.now),
        "reason": end.reason,
        "message": end.message,
        "proof": proof.kind,
    }
    if end.exit_code is not None:
        record["exitCode"] = end.exit_code
    cause = Cause(end.reason, end.message) if end.in_order else Trouble(end.reason, end.message)
    return State("ended" if end.in_order else "failed", cause, {**before, "end": record}, requeue=KEPT)


def over(context: Context, environment: Environment, before: dict[str, Any]) -> State:
    """A final environment stays as it is until the next opening or for a day; then it is deleted."""
    cause = _old_cause(environment)
    phase = text(environment.status, "phase")
    actions = remove_unstarted_pod(context, environment)
    if recorded_pod(environment) and not text(before, "end", "proof") and (proof := proof_for(context, environment)):
        known = mapping(before, "end")
        before["end"] = {"time": timestamp(context.now), "reason": cause.reason, **known, "proof": proof.kind}
    ended_at = seconds(before, "end", "time") or _transition(environment)
    newer = open_environment(context)
    expired = context.now - ended_at >= KEPT
    replaced = newer is not None and newer.created_at > environment.created_at
    over = not recorded_pod(environment) or bool(text(before, "end", "proof"))
    if over and (expired or replaced) and not environment.deleting:
        ref = Ref(ENVIRONMENT_KIND, environment.namespace, environment.name)
        actions = (*actions, DeleteObject(ref, environment.uid))
    return State(phase, cause, before, actions=actions, requeue=None if expired else ended_at + KEPT - context.now)


def _old_cause(environment: Environment) -> Cause:
    ready = next(
        (one for one in environment.status.get("conditions") or () if text(one, "type") == "Ready"), environment.status
    )
    reason, message = text(ready, "reason") or "Ended", text(ready, "message")
    return Cause(reason, message) if text(environment.status, "phase") == "ended" else Trouble(reason, message)


def _transition(environment: Environment) -> float:
    conditions = environment.status.get("conditions") or ()
    return next((seconds(one, "lastTransitionTime") for one in conditions), environment.created_at)
