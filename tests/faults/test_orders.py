"""Manager, worker and Redis are killed in several orders at several steps of an item's life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract_manager import Held
from faulty_manager import FaultyManager, wait_until
from redis_of_manager import PackagedRedis, options_for

Make = Callable[..., FaultyManager]


def opened(make_manager: Make) -> FaultyManager:
    manager = make_manager(options=options_for(None)).start()
    manager.open_environment()
    return manager


def kill(manager: FaultyManager, what: str) -> None:
    match what:
        case "manager":
            manager.kill_manager_and_supervisor()
        case "worker":
            for pid in manager.worker_pids:
                manager.kill(pid)
        case "redis":
            PackagedRedis(manager).kill()


def assert_nothing_lost(manager: FaultyManager, accepted: list[str]) -> None:
    """Each accepted item is in the queue, in hand or in the history, and nothing is there twice."""
    queue, history, running = manager.queue_uids, [item["item_uid"] for item in manager.history], manager.running_uid
    places = [*queue, *history, *([running] if running else [])]
    assert len(places) == len(set(places))
    assert set(accepted) <= set(places)


def reach(manager: FaultyManager, step: str) -> Held:
    """An item in hand at a step of its life; the next one is queued behind it."""
    held = manager.start_holding()
    if step == "paused":
        held.pause()
    return held


RUNNING_OR_PAUSED = [
    ("running", ("manager", "redis")),
    ("running", ("redis", "manager")),
    ("running", ("redis", "worker", "manager")),
    ("running", ("worker", "manager", "redis")),
    ("running", ("manager", "redis", "worker")),
    ("paused", ("redis", "manager")),
    ("paused", ("manager", "worker", "redis")),
    ("paused", ("worker", "redis", "manager")),
]


@pytest.mark.parametrize(("step", "order"), RUNNING_OR_PAUSED)
def test_killed_with_an_item_in_hand(make_manager: Make, step: str, order: tuple[str, ...]) -> None:
    manager = opened(make_manager)
    item, count = manager.counting_item()
    following = manager.add(item)["item_uid"]
    held = reach(manager, step)
    for what in order:
        kill(manager, what)
    manager.start()
    assert_nothing_lost(manager, [held.uid, following])

    if "worker" in order:
        history = manager.wait_history(1)
        assert [(e["item_uid"], e["result"]["exit_status"]) for e in history] == [(held.uid, "failed")]
        assert manager.queue[0]["requeued_from"] == held.uid
        assert manager.queue_uids[1:] == [following]
        assert not count.exists()
    else:
        manager.wait_status(lambda s: s["manager_state"] == ("paused" if step == "paused" else "executing_queue"))
        assert manager.running_uid == held.uid
        if step == "paused":
            manager.accepted("re_resume")
        held.release()
        history = manager.wait_history(2)
        assert [(e["item_uid"], e["result"]["exit_status"]) for e in history] == [
            (held.uid, "completed"),
            (following, "completed"),
        ]
        assert count.read_text() == "started\n"
    manager.stop()


@pytest.mark.parametrize("order", [("manager", "redis"), ("redis", "manager"), ("manager", "worker", "redis")])
def test_killed_around_the_end_of_an_item(make_manager: Make, order: tuple[str, ...]) -> None:
    """The plan ends after the first of them was killed: its end stands in the worker's spool."""
    manager = opened(make_manager)
    item, count = manager.counting_item()
    following = manager.add(item)["item_uid"]
    held = manager.start_holding()
    kill(manager, order[0])
    held.release()
    if order[0] == "manager":
        wait_until(manager.spooled_ends, "report of the plan's end")
    for what in order[1:]:
        kill(manager, what)
    manager.start()
    if "worker" in order:
        history = manager.wait_history(1)
        assert [(e["item_uid"], e["result"]["exit_status"]) for e in history] == [(held.uid, "completed")]
        assert manager.queue_uids == [following]
        assert not manager.status()["worker_environment_exists"]
    else:
        history = manager.wait_history(2)
        assert [(e["item_uid"], e["result"]["exit_status"]) for e in history] == [
            (held.uid, "completed"),
            (following, "completed"),
        ]
        assert count.read_text() == "started\n"
    assert_nothing_lost(manager, [held.uid, following])
    manager.stop()


@pytest.mark.parametrize(
    "order", [("manager",), ("redis", "manager"), ("worker", "manager"), ("redis",), ("manager", "worker", "redis")]
)
def test_killed_at_the_moment_in_which_an_item_is_started(make_manager: Make, order: tuple[str, ...]) -> None:
    """Whether it had started nobody can tell beforehand; it runs once at most, and a person may run the rest."""
    manager = opened(make_manager)
    items = [manager.counting_item() for _ in range(3)]
    uids = [manager.add(item)["item_uid"] for item, _ in items]
    manager.start_queue()
    for what in order:
        kill(manager, what)
    if "manager" in order:
        manager.start()
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["store"] == "connected")
    assert_nothing_lost(manager, uids)

    completed = {e["item_uid"] for e in manager.history if e["result"]["exit_status"] == "completed"}
    failed = [e["item_uid"] for e in manager.history if e["result"]["exit_status"] != "completed"]
    assert len(failed) <= ("worker" in order), "only the loss of the worker may fail an item"
    for uid, (_, count) in zip(uids, items, strict=True):
        runs = count.read_text().count("started") if count.exists() else 0
        assert runs <= 1
        if uid in completed:
            assert runs == 1

    if not manager.status()["worker_environment_exists"]:
        manager.open_environment()
    if manager.queue:
        manager.start_queue()
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_queue"] == 0)
    assert sum(e["result"]["exit_status"] == "completed" for e in manager.history) == 3
    for _, count in items:
        assert count.read_text().count("started") <= 1 + len(failed)
    manager.stop()
