"""What the operator counts about itself, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

RECONCILIATIONS = Counter(
    "qs_operator_reconcile_total", "Rounds of observe, decide, apply by their result", ["result"], registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "qs_operator_reconcile_duration_seconds", "Time of one round", buckets=_SECONDS, registry=REGISTRY
)
QUEUE_AGE = Histogram(
    "qs_operator_queue_age_seconds", "Time from the first wake-up to the round", buckets=_SECONDS, registry=REGISTRY
)
QUEUE_LENGTH = Gauge("qs_operator_queue_length", "QueueServers that wait for their round", registry=REGISTRY)
API_REQUESTS = Counter(
    "qs_operator_api_requests_total",
    "Requests to the API server; code 0: no answer",
    ["verb", "kind", "code"],
    registry=REGISTRY,
)
API_SECONDS = Histogram(
    "qs_operator_api_request_duration_seconds",
    "Time of one request to the API server",
    ["verb"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
APPLY_CONFLICTS = Counter(
    "qs_operator_apply_conflicts_total", "Writes that met a newer version", ["kind"], registry=REGISTRY
)
ENVIRONMENT_STATE = Gauge(
    "qs_environment_state",
    "1 for the state that the environment is in",
    ["namespace", "name", "state"],
    registry=REGISTRY,
)
ROLLOUT_PENDING = Gauge(
    "qs_rollout_pending", "1 while a change of the spec waits", ["namespace", "name"], registry=REGISTRY
)
AUDIT_FINDINGS = Counter(
    "qs_operator_audit_findings_total",
    "Differences between the watches and the API server",
    ["kind", "finding"],
    registry=REGISTRY,
)
LOOP_LAG = Gauge("qs_operator_loop_lag_seconds", "Delay of the event loop at the last look", registry=REGISTRY)


_shown: dict[tuple[str, str], str] = {}


def show_queue_server(namespace: str, name: str, state: str, rollout_pending: bool) -> None:
    """Bring the metrics of one QueueServer up to date; an empty state takes them away."""
    before = _shown.pop((namespace, name), "")
    if before and before != state:
        ENVIRONMENT_STATE.remove(namespace, name, before)
    if state:
        _shown[namespace, name] = state
        ENVIRONMENT_STATE.labels(namespace, name, state).set(1)
        ROLLOUT_PENDING.labels(namespace, name).set(rollout_pending)
    elif before:
        ROLLOUT_PENDING.remove(namespace, name)


def exposition() -> bytes:
    """All metrics as text."""
    return generate_latest(REGISTRY)
