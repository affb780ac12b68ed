"""The operator's part of the status of a QueueServer, and the events about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from queueserver_common.cluster import QUEUE_SERVER_KIND
from queueserver_operator.build import small
from queueserver_operator.build.http import http_image
from queueserver_operator.build.manager import manager_image, redis_image
from queueserver_operator.build.worker import worker_image
from queueserver_operator.conditions import (
    DRAIN_BLOCKED,
    READY,
    ROLLOUT_PENDING,
    STALLED,
    UNREACHABLE,
    Cause,
    Condition,
    Trouble,
    differs,
    standard,
    steady,
    told,
    written,
)
from queueserver_operator.decisions.context import Context
from queueserver_operator.decisions.state import FINAL, State
from queueserver_operator.model import Action, Chain, PatchStatus, PostEvent, Ref
from queueserver_operator.observed import Environment
from queueserver_operator.reading import mapping, text

MANAGERS_PARTS = ("queue", "state")
"""Parts of the status that the manager writes."""


def queue_server_status(
    context: Context,
    phase: str,
    ready: bool,
    cause: Cause,
    conditions: Sequence[Condition],
    environments: Sequence[tuple[Environment, State]],
) -> Chain:
    """Write the status where it differs, and post an event where a person may want to know."""
    spec, body = context.spec, context.spec.raw
    if not ready:
        cause = steady(cause, body)
    current = next((pair for pair in environments if pair[1].phase not in FINAL), None)
    all_conditions = [*standard(ready, cause), *_collected(conditions, current[1] if current else None)]
    status: dict[str, Any] = {
        "observedGeneration": spec.generation,
        "phase": phase,
        "conditions": written(all_conditions, body, spec.generation, context.now),
        "operator": {"identity": context.options.identity, "version": context.options.version},
        "environment": _environment(environments, current),
        "profile": _nonempty(source=str(spec.environment.profile), revision=context.profile_revision),
        "images": _nonempty(
            manager=manager_image(spec, context.options),
            redis=redis_image(spec, context.options),
            worker=worker_image(spec, context.options),
            http=http_image(spec, context.http, context.options) if context.http else "",
        ),
        "instrument": _instrument(context),
    }
    if not differs(status, mapping(body, "status"), apart=MANAGERS_PARTS):
        return ()
    ref = Ref(QUEUE_SERVER_KIND, spec.namespace, spec.name)
    return (PatchStatus(ref, status), *_events(context, ref, ready, cause))


def _collected(conditions: Iterable[Condition], environment: State | None) -> list[Condition]:
    """Our own conditions, those of the environment included; one of each type."""
    of_environment = environment.conditions if environment else ()
    found: list[Condition] = []
    for kind in (ROLLOUT_PENDING, UNREACHABLE, DRAIN_BLOCKED):
        same = [one for one in (*conditions, *of_environment) if one.type == kind]
        if same:
            message = " ".join(one.cause.message for one in same)
            found.append(Condition(kind, True, Cause(same[0].cause.reason, message)))
    return [*found, *(one for one in conditions if one.type not in (ROLLOUT_PENDING, UNREACHABLE, DRAIN_BLOCKED))]


def _environment(
    states: Sequence[tuple[Environment, State]], current: tuple[Environment, State] | None
) -> dict[str, Any]:
    if current is None:
        return {"phase": "failed" if any(state.phase == "failed" for _, state in states) else "closed"}
    environment, state = current
    pod = mapping(state.status, "pod")
    found = {"name": environment.name, "phase": state.phase}
    return found | _nonempty(pod=text(pod, "name"), node=text(pod, "node"))


def _instrument(context: Context) -> dict[str, Any]:
    spec, lease = context.spec, context.lease
    place = f"{small.lease_namespace(spec, context.options)}/{small.lease_name(spec)}"
    holder = "/".join(lease.holder.split("/")[:2]) if lease else ""
    return _nonempty(name=spec.instrument, lease=place, holder=holder)


def _events(context: Context, ref: Ref, ready: bool, cause: Cause) -> list[Action]:
    stalled = not ready and isinstance(cause, Trouble) and cause.stalled
    if not (ready or stalled) or told(context.spec.raw, STALLED if stalled else READY, cause):
        return []
    return [PostEvent(ref, context.spec.uid, "Warning" if stalled else "Normal", cause.reason, cause.message)]


def _nonempty(**values: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}
