"""Measured values by figure and side, and what one number stands for many."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum


class Side(StrEnum):
    """Who did the work."""

    OURS = "ours"
    UPSTREAM = "upstream"
    FLOOR = "floor"
    """The same work with no server around it."""


Statistic = Callable[[Sequence[float]], float]
"""One number for many samples."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` percent of the values do not exceed; ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share / 100 * (len(ordered) - 1)))]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Number, median, 99th percentile, extremes and mean; only the number when there is nothing."""
    if not values:
        return {"n": 0}
    return {
        "n": len(values),
        "p50": statistics.median(values),
        "p99": percentile(values, 99),
        "min": min(values),
        "max": max(values),
        "mean": statistics.fmean(values),
    }


class Samples:
    """Collects what was measured."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, Side], list[float]] = {}

    def add(self, figure: str, side: Side, *values: float) -> None:
        """Add samples of a figure."""
        self._values.setdefault((figure, side), []).extend(values)

    def of(self, figure: str, side: Side) -> list[float]:
        """All samples of a figure; empty when it was not measured."""
        return list(self._values.get((figure, side), ()))

    def reduced(self, figure: str, statistic: Statistic = statistics.median) -> dict[Side, float]:
        """One number for each side that was measured."""
        return {side: statistic(values) for side in Side if (values := self._values.get((figure, side)))}

    def as_mapping(self) -> Mapping[str, Mapping[str, dict[str, float]]]:
        """Summaries of everything, for the JSON file."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for (figure, side), values in self._values.items():
            found.setdefault(figure, {})[side.value] = summary(values)
        return found
