"""The rows of the table, in its order."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import MB, Figure, S
from benchmarks.samples import percentile
from benchmarks.targets import at_most, over_floor

OPEN, CLOSE = "cluster.open", "cluster.close"
MEMORY = "cluster.memory."
"""Followed by the name of a container."""
END_IN_STATUS, END_IN_CONDITION = "cluster.end.status", "cluster.end.condition"
ANOTHER_MANAGER, MANAGER_ANSWERS = "cluster.manager.another", "cluster.manager.answers"
MANY_RECONCILED, MANY_WRITES, MANY_MEMORY = "cluster.many.reconciled", "cluster.many.writes", "cluster.many.memory"


def _p99(values: Sequence[float]) -> float:
    return percentile(values, 99)


FIGURES = (
    Figure(OPEN, "`environment_open` to idle, image on the node", S, over_floor(2.5)),
    Figure(CLOSE, "`environment_close` to the pod gone", S, at_most(3)),
    Figure(END_IN_STATUS, "Worker killed in a plan: until `status` tells it", S, at_most(3)),
    Figure(END_IN_CONDITION, "Worker killed in a plan: until the condition `Ready` tells it", S, at_most(3)),
    Figure(ANOTHER_MANAGER, "Manager's pod deleted in a plan: until another answers", S, at_most(15)),
    Figure(MANAGER_ANSWERS, "From the start of that manager's container to its answer", S, at_most(3)),
    Figure(f"{MEMORY}manager", "Container of the manager with its supervisor", MB, at_most(80)),
    Figure(f"{MEMORY}redis", "Container of Redis", MB, at_most(20)),
    Figure(f"{MEMORY}worker", "Container of the worker, simulated profile", MB, at_most(140)),
    Figure(f"{MEMORY}operator", "Container of the operator", MB, at_most(150)),
    Figure(MANY_RECONCILED, "200 suspended QueueServers: created to reconciled, p99", S, at_most(60), _p99),
    Figure(MANY_WRITES, "Writes of the operator in 5 minutes with these", "", at_most(0), max),
    Figure(MANY_MEMORY, "Container of the operator with these", MB, at_most(150)),
)
