from __future__ import annotations

import os
import socket
import time
from typing import Any

import msgpack
import pytest

from queueserver_common.link.codec import encode
from queueserver_common.link.messages import (
    Command,
    EnvironmentPhase,
    EnvironmentReady,
    EventsStored,
    ExitStatus,
    Finish,
    Heartbeat,
    Introduce,
    ItemEnded,
    ItemStage,
    ItemStarted,
    Pause,
    RunItem,
)

Bench = Any


def test_the_first_message_says_who_the_worker_is(bench: Bench) -> None:
    manager, worker = bench.open()
    hello = manager.hellos[0]
    assert (hello.opening_id, hello.token, hello.epoch_seen) == ("opening-1", "secret", 0)
    assert (hello.pid, hello.host) == (worker.process.pid, socket.gethostname())
    assert manager.peer == b"opening-1"
    assert hello.phase is EnvironmentPhase.LOADING


def test_a_manager_that_does_not_know_the_worker_can_ask_for_its_name(bench: Bench) -> None:
    manager, _ = bench.open()
    count = len(manager.hellos)
    manager.send(Introduce())
    manager.wait(lambda: len(manager.hellos) > count)
    hello = manager.hellos[-1]
    assert (hello.phase, hello.epoch_seen, hello.next_seq, hello.acked_seq) == (EnvironmentPhase.READY, 1, 2, 1)
    assert hello.snapshot == manager.snapshots[-1]


def test_the_link_is_alive_while_nothing_happens(bench: Bench) -> None:
    manager, _ = bench.open()
    manager.wait(lambda: manager.heartbeats >= 2, timeout=4.0)


def test_a_plan_goes_on_without_a_manager_and_the_next_one_hears_what_happened(bench: Bench) -> None:
    go_on = bench.directory / "go_on"
    manager, _ = bench.open(
        f"""
def waits():
    yield from bps.open_run()
    while not os.path.exists({str(go_on)!r}):
        yield from bps.sleep(0.02)
    yield from bps.close_run()
    open({str(bench.directory / "ended")!r}, "w").close()
"""
    )
    item = bench.item("waits")
    manager.tell(RunItem(item), "the-command")
    manager.wait_event(ItemStarted)
    stored = manager.stored
    bench.drop(manager)
    go_on.touch()
    successor = bench.manager(epoch=2, stored=stored)
    end = successor.wait_end(bench.uid_of(item))
    assert end.exit_status is ExitStatus.COMPLETED
    assert len(end.run_uids) == 1
    (entry,) = successor.hellos[0].ledger
    assert (entry.item_uid, entry.command_id, entry.item) == (bench.uid_of(item), "the-command", item)
    assert entry.stage in (ItemStage.STARTED, ItemStage.ENDED)
    assert not any(isinstance(event.body, EnvironmentReady) for event in successor.events)
    successor.send(Introduce())
    successor.wait(lambda: len(successor.hellos) == 2)
    assert successor.hellos[-1].ledger[0].stage is ItemStage.ENDED
    assert successor.hellos[-1].ledger[0].end == end


def test_events_that_were_not_stored_come_again_and_stored_ones_do_not(bench: Bench) -> None:
    manager, _ = bench.open()
    manager.acknowledge = False
    first, second = bench.item("noop"), bench.item("noop")
    for item in (first, second):
        manager.tell(RunItem(item))
        manager.wait_end(bench.uid_of(item))
    numbers = {type(e.body).__name__ + getattr(e.body, "item_uid", ""): e.seq for e in manager.events}
    stored = numbers["ItemEnded" + bench.uid_of(first)]
    bench.drop(manager)
    successor = bench.manager(epoch=2, stored=stored)
    successor.wait_end(bench.uid_of(second))
    assert [event.seq for event in successor.events] == [stored + 1, stored + 2]
    assert not successor.ends(bench.uid_of(first))


def test_a_manager_whose_store_lost_writes_gets_them_again(bench: Bench) -> None:
    manager, _ = bench.open()
    item = bench.item("one_run")
    manager.tell(RunItem(item))
    manager.wait_end(bench.uid_of(item))
    acked = manager.stored
    manager.wait(lambda: not manager.step(0.1))
    bench.drop(manager)
    successor = bench.manager(epoch=2, stored=0)
    successor.wait_end(bench.uid_of(item))
    assert successor.hellos[0].acked_seq == acked
    assert isinstance(successor.events[0].body, EnvironmentReady)


def test_a_manager_of_a_lower_epoch_is_not_obeyed(bench: Bench) -> None:
    manager, worker = bench.open()
    bench.drop(manager)
    successor = bench.manager(epoch=5, stored=1)
    successor.wait(lambda: successor.hellos)
    successor.tell(RunItem(bench.item("points")))
    successor.wait_state("running")
    successor.send(Command("old", 4, Pause(deferred=False)))
    result = successor.wait(lambda: successor.results.get("old"))
    assert not result.ok
    assert "epoch 5" in result.msg
    assert successor.hellos[-1].epoch_seen == 1
    bench.drop(successor)
    predecessor = bench.manager(epoch=4, stored=1)
    predecessor.wait(lambda: predecessor.hellos)
    assert predecessor.hellos[0].epoch_seen == 5
    predecessor.listen(0.5)
    assert not predecessor.events
    assert worker.alive


def test_a_command_that_comes_again_is_answered_and_not_repeated(bench: Bench) -> None:
    manager, _ = bench.open()
    item = bench.item("one_run")
    first = manager.tell(RunItem(item), "same")
    manager.wait_end(bench.uid_of(item))
    count = manager.result_count
    manager.send(Command("same", 1, RunItem(item)))
    manager.wait(lambda: manager.result_count > count)
    assert manager.results["same"] == first
    again = manager.tell(RunItem(item), "another")
    assert not again.ok
    assert "no item runs twice" in again.msg
    other = bench.item("one_run")
    manager.tell(RunItem(other))
    assert manager.wait_end(bench.uid_of(other)).scan_ids == (2,)
    assert len([e for e in manager.events if isinstance(e.body, ItemEnded)]) == 2


@pytest.mark.parametrize(
    "frames",
    [
        (b"",),
        (b"\xc1garbage",),
        (os.urandom(10_000),),
        (msgpack.packb([99, "Welcome", [1, 0]]),),
        (msgpack.packb([1, "Command", ["id", 1, ["NoSuchThing", []]]]),),
        (msgpack.packb([1, "EventsStored", ["many"]]),),
        (encode(Heartbeat()),),
        (encode(EventsStored(10**6)), b""),
    ],
    ids=["empty", "no-msgpack", "random", "version", "unknown-command", "wrong-type", "not-for-workers", "more-frames"],
)
def test_nonsense_from_the_manager_changes_nothing(bench: Bench, frames: tuple[bytes, ...]) -> None:
    manager, worker = bench.open()
    manager.send_raw(*frames)
    item = bench.item("noop")
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    assert worker.alive


def test_a_paused_plan_waits_for_the_next_manager(bench: Bench) -> None:
    manager, _ = bench.open()
    item = bench.item("points")
    manager.tell(RunItem(item))
    manager.wait_state("running")
    manager.tell(Pause(deferred=False))
    manager.wait_state("paused")
    bench.drop(manager)
    successor = bench.manager(epoch=2, stored=1)
    assert successor.wait_state("paused").runs[0].is_open
    assert successor.tell(Finish("stop")).ok
    assert successor.wait_end(bench.uid_of(item)).exit_status is ExitStatus.STOPPED


def test_the_link_is_back_soon_after_the_manager(bench: Bench) -> None:
    manager, _ = bench.open()
    for epoch in range(2, 6):
        bench.drop(manager)
        manager = bench.manager(epoch=epoch, stored=1)
        begin = time.monotonic()
        while not manager.hellos:
            assert manager.step(1.0)
        assert time.monotonic() - begin < 10  # no pause that grows with each loss
