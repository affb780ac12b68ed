"""What the supervisor decides when a manager has ended."""

from __future__ import annotations

import signal

import pytest

from queueserver_manager import exit_codes
from queueserver_manager.restart_policy import (
    HELD_UP_AFTER,
    MAX_RESTARTS,
    RESTART_WINDOW,
    RETRY_DELAY,
    Leave,
    Restart,
    RestartPolicy,
    hangs,
)


def decide(
    policy: RestartPolicy, code: int, *, up: bool = True, hung: bool = False, stopped_by: int = 0, now: float = 0.0
) -> Restart | Leave:
    return policy.decide(code, up=up, hung=hung, stopped_by=stopped_by, now=now)


@pytest.mark.parametrize("code", [exit_codes.STOPPED, exit_codes.USAGE, exit_codes.REFUSED, exit_codes.FENCED], ids=str)
@pytest.mark.parametrize("up", [True, False])
def test_some_ends_are_final_whenever_they_come(code: int, up: bool) -> None:
    for restarts in (0, 1):
        policy = RestartPolicy()
        for _ in range(restarts):
            assert isinstance(decide(policy, -signal.SIGKILL), Restart)
        answer = decide(policy, code, up=up)
        assert isinstance(answer, Leave)
        assert (answer.code, answer.sentence) == (code, "")


@pytest.mark.parametrize("code", [exit_codes.SETTINGS, exit_codes.CRASHED, 99])
def test_a_manager_that_cannot_start_at_all_is_not_started_again(code: int) -> None:
    answer = decide(RestartPolicy(), code, up=False)
    assert isinstance(answer, Leave)
    assert (answer.code, answer.sentence) == (code, "")


@pytest.mark.parametrize(
    ("code", "how"), [(70, "ended with exit code 70"), (1, "ended with exit code 1"), (-11, "was killed by SIGSEGV")]
)
def test_a_crash_is_followed_by_a_restart_at_once(code: int, how: str) -> None:
    policy = RestartPolicy()
    answer = decide(policy, code)
    assert isinstance(answer, Restart)
    assert answer.delay == 0.0
    assert answer.sentence == f"The manager {how}; it is started again."
    assert policy.restarts == 1


def test_a_kill_before_the_first_beat_is_a_crash_too() -> None:
    answer = decide(RestartPolicy(), -signal.SIGKILL, up=False)
    assert isinstance(answer, Restart)
    assert answer.delay == RETRY_DELAY


def test_a_restarted_manager_that_does_not_come_up_is_tried_again_later() -> None:
    policy = RestartPolicy()
    decide(policy, -signal.SIGKILL, up=True)
    answer = decide(policy, exit_codes.SETTINGS, up=False)
    assert isinstance(answer, Restart)
    assert answer.delay == RETRY_DELAY


def test_a_hung_manager_is_called_so() -> None:
    answer = decide(RestartPolicy(), -signal.SIGKILL, hung=True)
    assert isinstance(answer, Restart)
    assert answer.sentence == "The manager did not react any more and was killed; it is started again."


def test_the_crash_after_too_many_restarts_within_a_minute_is_the_last() -> None:
    policy = RestartPolicy()
    for second in range(MAX_RESTARTS):
        assert isinstance(decide(policy, 70, now=float(second)), Restart)
    answer = decide(policy, 70, now=RESTART_WINDOW - 1)
    assert isinstance(answer, Leave)
    assert answer.code == exit_codes.GAVE_UP
    assert f"started again {MAX_RESTARTS} times within a minute" in answer.sentence


def test_restarts_of_long_ago_do_not_count() -> None:
    policy = RestartPolicy()
    for crash in range(4 * MAX_RESTARTS):
        assert isinstance(decide(policy, 70, now=crash * RESTART_WINDOW / MAX_RESTARTS), Restart)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, exit_codes.TERMINATED), (signal.SIGHUP, 1)]
)
@pytest.mark.parametrize("end", [0, 70, -signal.SIGKILL])
def test_after_a_signal_the_supervisor_leaves_with_the_code_of_the_contract(number: int, code: int, end: int) -> None:
    answer = decide(RestartPolicy(), end, stopped_by=number)
    assert isinstance(answer, Leave)
    assert (answer.code, answer.sentence) == (code, "")


def test_a_supervisor_that_was_itself_held_up_does_not_blame_the_manager() -> None:
    assert not hangs(100.0, 99.9)
    assert hangs(100.0, 100.001)
    assert not hangs(100.0, 100.0 + HELD_UP_AFTER)
