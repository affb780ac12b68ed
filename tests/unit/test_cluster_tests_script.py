"""The script that runs the tests of the cluster fails when one of its parts does."""

from __future__ import annotations

import pytest

from script_modules import script_module

PASSED, FAILED, NOTHING_CHOSEN, KILLED = 0, 1, 5, -9


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([PASSED, PASSED, PASSED], PASSED),
        ([PASSED, FAILED, PASSED], FAILED),
        ([PASSED, KILLED, PASSED], KILLED),
        ([PASSED, NOTHING_CHOSEN, PASSED], PASSED),
        ([NOTHING_CHOSEN, NOTHING_CHOSEN, KILLED], KILLED),
        ([NOTHING_CHOSEN, NOTHING_CHOSEN], NOTHING_CHOSEN),
    ],
)
def test_it_passes_only_when_all_that_ran_have_passed(codes: list[int], code: int) -> None:
    assert script_module("cluster_tests").exit_code(codes) == code
