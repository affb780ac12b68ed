from __future__ import annotations

import time
from typing import Any

import pytest

from queueserver_manager.link.silence import SilenceWatch

AFTER = 0.2


@pytest.fixture
def calls() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def watch(loop_thread: Any, calls: list[tuple[str, str]]) -> Any:
    watch = loop_thread.call(
        SilenceWatch,
        lambda peer: calls.append(("silent", peer)),
        lambda peer: calls.append(("heard", peer)),
        AFTER,
    )
    yield watch
    loop_thread.call(watch.close)


def test_a_peer_that_says_nothing_is_silent_after_the_time(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any], wait_until: Any
) -> None:
    started = time.monotonic()
    loop_thread.call(watch.heard, "a")
    assert not watch.is_silent("a")
    wait_until(lambda: calls)
    assert time.monotonic() - started >= AFTER
    assert calls == [("silent", "a")]
    assert watch.is_silent("a")


def test_a_silent_peer_that_speaks_is_heard_once_and_may_fall_silent_again(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any], wait_until: Any
) -> None:
    loop_thread.call(watch.heard, "a")
    wait_until(lambda: calls)
    loop_thread.call(watch.heard, "a")
    loop_thread.call(watch.heard, "a")
    assert calls == [("silent", "a"), ("heard", "a")]
    wait_until(lambda: len(calls) == 3)
    assert calls[-1] == ("silent", "a")


def test_a_peer_that_keeps_speaking_is_never_silent_and_needs_one_timer(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any], wait_until: Any
) -> None:
    timers = []
    call_at = watch._wait

    def counting(*arguments: Any) -> None:
        timers.append(arguments)
        call_at(*arguments)

    watch._wait = counting  # type: ignore[method-assign]
    started = time.monotonic()
    messages = 0

    def speak() -> bool:
        nonlocal messages
        loop_thread.call(watch.heard, "a")
        messages += 1
        return time.monotonic() - started > 5 * AFTER

    wait_until(speak)
    assert calls == []
    assert messages > 50
    assert len(timers) <= 7


def test_peers_are_watched_apart_and_forgotten(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any], wait_until: Any
) -> None:
    for peer in ("a", "b", "c"):
        loop_thread.call(watch.heard, peer)
    loop_thread.call(watch.forget, "b")
    loop_thread.call(watch.forget, "unknown")
    wait_until(lambda: len(calls) == 2)
    assert sorted(calls) == [("silent", "a"), ("silent", "c")]
    assert not watch.is_silent("b")


def test_peers_are_not_silent_because_the_manager_itself_stood_still(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any]
) -> None:
    def stand_still() -> None:
        watch.heard("a")
        time.sleep(AFTER + 0.4)

    loop_thread.call(stand_still)
    loop_thread.call(lambda: None)
    loop_thread.call(watch.heard, "a")  # what had arrived meanwhile
    assert calls == []


def test_a_peer_that_stays_silent_after_the_manager_stood_still_is_noticed(
    loop_thread: Any, watch: SilenceWatch, calls: list[Any], wait_until: Any
) -> None:
    def stand_still() -> None:
        watch.heard("a")
        time.sleep(AFTER + 0.4)

    loop_thread.call(stand_still)
    wait_until(lambda: calls)
    assert calls == [("silent", "a")]
