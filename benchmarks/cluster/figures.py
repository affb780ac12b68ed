"""The rows of the table, in its order."""

from __future__ import annotations

from benchmarks.figures import MB, Figure, S
from benchmarks.targets import at_most, over_floor

OPEN, CLOSE = "cluster.open", "cluster.close"
MEMORY = "cluster.memory."
"""Followed by the name of a container."""

FIGURES = (
    Figure(OPEN, "`environment_open` to idle, image on the node", S, over_floor(2.5)),
    Figure(CLOSE, "`environment_close` to the pod gone", S, at_most(3)),
    Figure(f"{MEMORY}manager", "Container of the manager with its supervisor", MB, at_most(80)),
    Figure(f"{MEMORY}redis", "Container of Redis", MB, at_most(20)),
    Figure(f"{MEMORY}worker", "Container of the worker, simulated profile", MB, at_most(140)),
    Figure(f"{MEMORY}operator", "Container of the operator", MB, at_most(150)),
)
