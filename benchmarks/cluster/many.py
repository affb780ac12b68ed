"""Two hundred suspended QueueServers: how soon the operator has seen to each of them, and what they cost it then."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from benchmarks.cluster.figures import MANY_MEMORY, MANY_RECONCILED, MANY_WRITES
from benchmarks.cluster.memory import resident
from benchmarks.samples import Samples, Side
from cluster_of_tests import Kubectl
from deadline import wait_until
from helm_release import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE

COUNT = 200
IDLE = 300.0
"""Seconds in which the operator is to write nothing."""
DEADLINE = 600.0
KIND = "queueservers.queueserver.blueskyproject.io"

_READ_METRICS = """
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8080/metrics").read().decode())
"""


def measure(cluster: Kubectl, samples: Samples, idle: float = IDLE) -> None:
    """Create them in a namespace that holds nothing else, and look on."""
    cluster.apply(*(_suspended(f"idle-{number}") for number in range(COUNT)))
    wait_until(lambda: all(map(_seconds_to_reconciled, cluster.find(KIND))), "all are suspended", DEADLINE)
    samples.add(MANY_RECONCILED, Side.OURS, *(_seconds_to_reconciled(one) or 0.0 for one in cluster.find(KIND)))
    before = _writes(cluster)
    # Nothing can be waited for: the figure is what happens in that time.
    time.sleep(idle)
    samples.add(MANY_WRITES, Side.OURS, _writes(cluster) - before)
    operator = cluster.within(OPERATOR_NAMESPACE)
    samples.add(MANY_MEMORY, Side.OURS, resident(operator, f"deployment/{OPERATOR_DEPLOYMENT}", "operator"))


def _suspended(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "queueserver.blueskyproject.io/v1alpha1",
        "kind": "QueueServer",
        "metadata": {"name": name},
        "spec": {"suspend": True, "environment": {"profile": {"simulated": {}}}},
    }


def _seconds_to_reconciled(queue_server: Mapping[str, Any]) -> float | None:
    """Whole seconds, as the API server tells times; one more than the difference, so never too few."""
    conditions = {one["type"]: one for one in queue_server.get("status", {}).get("conditions", ())}
    if queue_server.get("status", {}).get("phase") != "suspended" or "Ready" not in conditions:
        return None
    created, seen = queue_server["metadata"]["creationTimestamp"], conditions["Ready"]["lastTransitionTime"]
    return (datetime.fromisoformat(seen) - datetime.fromisoformat(created)).total_seconds() + 1


def _writes(cluster: Kubectl) -> float:
    """Writes of the operator by its own count, and all writes to QueueServers that the API server has counted."""
    operator = cluster.within(OPERATOR_NAMESPACE)
    own = operator.run_in(f"deployment/{OPERATOR_DEPLOYMENT}", "python", "-c", _READ_METRICS, container="operator")
    return _counted(own, "qs_operator_api_requests_total") + _counted(
        cluster("get", "--raw", "/metrics"), "apiserver_request_total", 'resource="queueservers"'
    )


def _counted(metrics: str, name: str, label: str = "") -> float:
    lines = re.findall(rf"^{name}\{{(.*)\}} (\S+)$", metrics, re.MULTILINE)
    reading = re.compile(r'verb="(?:get|list|watch)"', re.IGNORECASE)
    return sum(float(count) for labels, count in lines if label in labels and not reading.search(labels))
