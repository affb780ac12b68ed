"""One number for many samples."""

from __future__ import annotations

import pytest
from benchmarks.samples import Samples, Side, percentile, summary


def test_a_percentile_is_one_of_the_values():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0, 50, 99, 100)] == [1.0, 3.0, 5.0, 5.0]


def test_there_is_no_percentile_of_nothing():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_a_summary_names_the_middle_and_the_ends():
    assert summary([1.0, 2.0, 9.0]) == {"n": 3, "p50": 2.0, "p99": 9.0, "min": 1.0, "max": 9.0, "mean": 4.0}
    assert summary([]) == {"n": 0}


def test_samples_are_reduced_for_each_side_that_was_measured():
    samples = Samples()
    samples.add("x", Side.OURS, 3.0, 1.0)
    samples.add("x", Side.OURS, 8.0)
    samples.add("x", Side.FLOOR, 2.0)
    assert samples.reduced("x") == {Side.OURS: 3.0, Side.FLOOR: 2.0}
    assert samples.reduced("x", min) == {Side.OURS: 1.0, Side.FLOOR: 2.0}
    assert samples.reduced("y") == {}
    assert samples.of("x", Side.OURS) == [3.0, 1.0, 8.0]
    assert samples.as_mapping()["x"]["floor"]["n"] == 1
