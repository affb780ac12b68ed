"""What a figure is to reach, and whether it did. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.samples import Side

Values = Mapping[Side, float]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for our value; it may follow from what others needed in the same run."""

    text: str
    bound: Callable[[Values], float | None]
    """None when what it follows from was not measured."""
    is_least: bool
    """Our value is to be at least the bound, otherwise at most."""

    def verdict(self, values: Values) -> str:
        """`reached`, or by how much it was missed; empty when that cannot be told."""
        ours, bound = values.get(Side.OURS), self.bound(values)
        if ours is None or bound is None:
            return ""
        if ours >= bound if self.is_least else ours <= bound:
            return "reached"
        return f"**missed** by {abs(ours - bound) / bound:.0%}" if bound else "**missed**"


def at_least(value: float) -> Target:
    """A number to reach."""
    return Target(f"≥ {_number(value)}", lambda _: value, is_least=True)


def at_most(value: float) -> Target:
    """A number not to exceed."""
    return Target(f"≤ {_number(value)}", lambda _: value, is_least=False)


def times_upstream(factor: float) -> Target:
    """So many times upstream's value of the same run."""
    return Target(f"≥ {factor:g} × upstream", lambda values: _times(factor, values.get(Side.UPSTREAM)), is_least=True)


def over_floor(more: float, limit: float | None = None) -> Target:
    """The floor of the same run and so much more; never more than `limit`."""

    def bound(values: Values) -> float | None:
        floor = values.get(Side.FLOOR)
        if floor is None:
            return limit
        return floor + more if limit is None else min(limit, floor + more)

    text = f"≤ floor + {_number(more)}"
    return Target(text if limit is None else f"{text}, ≤ {_number(limit)}", bound, is_least=False)


def _times(factor: float, value: float | None) -> float | None:
    return None if value is None else factor * value


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"
