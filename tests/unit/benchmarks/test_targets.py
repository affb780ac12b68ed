"""What a figure is to reach, and how the verdict is worded."""

from __future__ import annotations

import pytest
from benchmarks.samples import Side
from benchmarks.targets import Target, at_least, at_most, over_floor, times_upstream


@pytest.mark.parametrize(
    ("target", "values", "verdict"),
    [
        (at_least(150), {Side.OURS: 150.0}, "reached"),
        (at_least(150), {Side.OURS: 120.0}, "**missed** by 20%"),
        (at_most(8), {Side.OURS: 8.0}, "reached"),
        (at_most(8), {Side.OURS: 12.0}, "**missed** by 50%"),
        (times_upstream(1.5), {Side.OURS: 15.0, Side.UPSTREAM: 10.0}, "reached"),
        (times_upstream(1.5), {Side.OURS: 14.0, Side.UPSTREAM: 10.0}, "**missed** by 7%"),
        (over_floor(5), {Side.OURS: 110.0, Side.FLOOR: 105.0}, "reached"),
        (over_floor(5), {Side.OURS: 121.0, Side.FLOOR: 105.0}, "**missed** by 10%"),
        (over_floor(0.2, limit=0.8), {Side.OURS: 0.7, Side.FLOOR: 0.4}, "**missed** by 17%"),
        (over_floor(0.2, limit=0.8), {Side.OURS: 0.9, Side.FLOOR: 2.0}, "**missed** by 12%"),
        (over_floor(0.2, limit=0.8), {Side.OURS: 0.7}, "reached"),
    ],
)
def test_a_value_reaches_its_bound_or_misses_it_by_a_share_of_the_bound(target: Target, values, verdict: str):
    assert target.verdict(values) == verdict


@pytest.mark.parametrize("target", [times_upstream(1.2), over_floor(5)])
def test_there_is_no_verdict_without_the_measurement_that_the_bound_follows_from(target: Target):
    assert target.verdict({Side.OURS: 1.0}) == ""


def test_there_is_no_verdict_without_a_value_of_ours():
    assert at_least(1).verdict({Side.UPSTREAM: 2.0}) == ""


def test_the_texts_name_the_bound():
    assert [t.text for t in (at_least(60_000), at_most(0.15), times_upstream(1.2), over_floor(0.2, limit=0.8))] == [
        "≥ 60,000",
        "≤ 0.15",
        "≥ 1.2 × upstream",
        "≤ floor + 0.2, ≤ 0.8",
    ]
