from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from queueserver_operator.work_queue import WorkQueue


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.002)


class Work:
    """Counts the calls for each key; each call waits until `gate` is set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.under_way: list[str] = []
        self.overlaps = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answers: dict[str, float | None] = {}
        self.failing: set[str] = set()

    async def __call__(self, key: str) -> float | None:
        self.calls.append(key)
        self.overlaps += key in self.under_way
        self.under_way.append(key)
        try:
            await self.gate.wait()
        finally:
            self.under_way.remove(key)
        if key in self.failing:
            raise RuntimeError("it failed")
        return self.answers.get(key)


def run(scenario: Callable[[Work, WorkQueue[str]], Awaitable[None]], *, opened: bool = True) -> Work:
    async def body() -> Work:
        work = Work()
        queue: WorkQueue[str] = WorkQueue(work, concurrency=4)
        if opened:
            queue.open()
        try:
            await scenario(work, queue)
        finally:
            await queue.close()
        return work

    return asyncio.run(body())


def test_a_wake_up_is_answered_by_one_call() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        queue.wake("a")
        await until(lambda: work.calls == ["a"])

    run(scenario)


def test_nothing_is_called_before_the_queue_is_opened_and_no_wake_up_is_lost() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        for key in ("a", "b", "a"):
            queue.wake(key)
        for _ in range(20):
            await asyncio.sleep(0)
        assert work.calls == []
        queue.open()
        await until(lambda: sorted(work.calls) == ["a", "b"])

    run(scenario, opened=False)


def test_wake_ups_during_a_call_are_answered_by_one_more_call() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.gate.clear()
        queue.wake("a")
        await until(lambda: work.under_way == ["a"])
        for _ in range(5):
            queue.wake("a")
        work.gate.set()
        await until(lambda: len(work.calls) == 2 and not work.under_way)
        await until(lambda: len(queue) == 0)
        assert work.calls == ["a", "a"]

    assert run(scenario).overlaps == 0


def test_different_keys_are_worked_on_at_the_same_time() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.gate.clear()
        queue.wake("a")
        queue.wake("b")
        await until(lambda: sorted(work.under_way) == ["a", "b"])
        work.gate.set()

    run(scenario)


def test_no_more_keys_than_allowed_are_worked_on_at_the_same_time() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.gate.clear()
        for key in "abcdefg":
            queue.wake(key)
        await until(lambda: len(work.under_way) == 4)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(work.under_way) == 4
        work.gate.set()
        await until(lambda: sorted(work.calls) == list("abcdefg"))

    run(scenario)


def test_a_key_is_called_again_after_the_time_it_asked_for() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.answers["a"] = 0.01
        queue.wake("a")
        await until(lambda: len(work.calls) >= 3)

    run(scenario)


def test_a_key_that_asks_for_nothing_is_forgotten() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        queue.wake("a")
        await until(lambda: work.calls and len(queue) == 0)

    run(scenario)


def test_a_failing_key_is_tried_again_with_growing_pauses_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("queueserver_operator.work_queue._FIRST_BACK_OFF", 0.02)

    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.failing.add("bad")
        queue.wake("bad")
        await until(lambda: work.calls.count("bad") == 3)
        queue.wake("good")
        await until(lambda: "good" in work.calls)
        work.failing.clear()
        await until(lambda: len(queue) == 0)

    run(scenario)
    assert "bad: it failed; trying again in" in caplog.text


def test_a_wake_up_ends_the_pause_of_a_quiet_key() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.answers["a"] = 1000.0
        queue.wake("a")
        await until(lambda: work.calls == ["a"] and not work.under_way)
        queue.wake("a")
        await until(lambda: work.calls == ["a", "a"])

    run(scenario)


def test_after_closing_nothing_is_called() -> None:
    async def scenario(work: Work, queue: WorkQueue[str]) -> None:
        work.gate.clear()
        queue.wake("a")
        await until(lambda: work.under_way == ["a"])
        await queue.close()
        assert work.under_way == []
        queue.wake("b")
        for _ in range(20):
            await asyncio.sleep(0)
        assert work.calls == ["a"]

    run(scenario)
