"""`PlanQueue` against a plain list, its ranks, and what its writes make of a store."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from queueserver_manager.core.queue import RANK_GAP, PlanQueue, QueuedItem
from queueserver_manager.core.writes import ClearQueue, MoveItems, PutItems, RemoveItems, Write

_numbers = itertools.count()


def new_item() -> QueuedItem:
    number = next(_numbers)
    return QueuedItem(f"uid-{number}", f"text {number}".encode())


class Replica:
    """The store: it knows the queue by the writes alone."""

    def __init__(self) -> None:
        self.items: dict[str, tuple[int, bytes]] = {}

    def apply(self, writes: list[Write]) -> None:
        for write in writes:
            match write:
                case PutItems(items):
                    self.items |= {uid: (rank, text) for uid, rank, text in items}
                case RemoveItems(uids):
                    for uid in uids:
                        del self.items[uid]
                case MoveItems(ranks):
                    for uid, rank in ranks:
                        self.items[uid] = rank, self.items[uid][1]
                case ClearQueue():
                    self.items.clear()
                case _:
                    raise AssertionError(f"not a write of the queue: {write}")

    @property
    def order(self) -> list[str]:
        return sorted(self.items, key=lambda uid: self.items[uid][0])

    def load(self) -> PlanQueue:
        return PlanQueue((uid, *self.items[uid]) for uid in self.order)


def uids(queue: PlanQueue) -> list[str]:
    return [item.uid for item in queue]


def check(queue: PlanQueue, expected: list[str], replica: Replica) -> None:
    """Queue, model and store agree, and every way to find an item gives the same."""
    assert uids(queue) == expected
    assert replica.order == expected
    assert len(queue) == len(expected)
    ranks = [item.rank for item in queue]
    assert all(before < after for before, after in itertools.pairwise(ranks)), "ranks do not increase"
    assert all(abs(rank) < 2**53 for rank in ranks), "a double cannot hold the rank"
    for item in queue:
        assert replica.items[item.uid] == (item.rank, item.text)


def check_lookups(queue: PlanQueue, expected: list[str]) -> None:
    for index, uid in enumerate(expected):
        item = queue.at(index)
        assert item.uid == uid
        assert uid in queue
        assert queue.get(uid) is item
        assert queue.position(item) == index
        assert item in item.block
        assert len(item.block) <= 512


class QueueMachine(RuleBasedStateMachine):
    """Random edits of a queue, a list and a store."""

    @initialize(size=st.sampled_from([0, 1, 3, 255, 256, 257, 511, 512, 513, 1100]))
    def fill(self, size: int) -> None:
        self.queue = PlanQueue()
        self.replica = Replica()
        items = [new_item() for _ in range(size)]
        self.replica.apply(self.queue.insert(0, items))
        self.model = [item.uid for item in items]

    @rule(data=st.data(), count=st.integers(0, 600))
    def insert(self, data: st.DataObject, count: int) -> None:
        index = data.draw(st.integers(0, len(self.model)))
        items = [new_item() for _ in range(count)]
        self.replica.apply(self.queue.insert(index, items))
        self.model[index:index] = [item.uid for item in items]

    @rule(data=st.data(), times=st.integers(1, 40))
    def insert_at_one_place(self, data: st.DataObject, times: int) -> None:
        index = data.draw(st.integers(0, len(self.model)))
        for _ in range(times):
            item = new_item()
            self.replica.apply(self.queue.insert(index, [item]))
            self.model.insert(index, item.uid)

    @rule(seed=st.randoms(use_true_random=False), share=st.floats(0, 1))
    def remove(self, seed: random.Random, share: float) -> None:
        batch = seed.sample(self.model, round(share * len(self.model)))
        self.replica.apply(self.queue.remove([self.item(uid) for uid in batch]))
        gone = set(batch)
        self.model = [uid for uid in self.model if uid not in gone]

    @rule(seed=st.randoms(use_true_random=False), count=st.integers(1, 300), to_the_end=st.booleans())
    def move(self, seed: random.Random, count: int, to_the_end: bool) -> None:
        batch = seed.sample(self.model, min(count, len(self.model)))
        moved = set(batch)
        others = [uid for uid in self.model if uid not in moved]
        before = None if to_the_end or not others else seed.choice(others)
        target = None if before is None else self.item(before)
        self.replica.apply(self.queue.move([self.item(uid) for uid in batch], target))
        index = len(others) if before is None else others.index(before)
        others[index:index] = batch
        self.model = others

    @rule(data=st.data(), new_uid=st.booleans())
    def replace(self, data: st.DataObject, new_uid: bool) -> None:
        if not self.model:
            return
        index = data.draw(st.integers(0, len(self.model) - 1))
        old = self.item(self.model[index])
        new = new_item() if new_uid else QueuedItem(old.uid, b"another text")
        self.replica.apply(self.queue.replace(old, new))
        self.model[index] = new.uid

    @rule()
    def clear(self) -> None:
        self.replica.apply(self.queue.clear())
        self.model = []

    @rule()
    def load_from_the_store(self) -> None:
        self.queue = self.replica.load()

    @invariant()
    def agree(self) -> None:
        check(self.queue, self.model, self.replica)

    @invariant()
    def find(self) -> None:
        check_lookups(self.queue, self.model)

    def item(self, uid: str) -> QueuedItem:
        item = self.queue.get(uid)
        assert item is not None
        return item


TestRandomEdits = QueueMachine.TestCase
TestRandomEdits.settings = settings(
    max_examples=60,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("place", ["front", "behind the first", "middle", "before the last", "back"])
def test_a_hundred_insertions_at_one_place_renumber_few_items(place: str) -> None:
    queue, replica = PlanQueue(), Replica()
    items = [new_item() for _ in range(2000)]
    replica.apply(queue.insert(0, items))
    model = [item.uid for item in items]
    moved = 0
    for _ in range(100):
        index = {"front": 0, "behind the first": 1, "middle": 1000, "before the last": len(model) - 1}.get(
            place, len(model)
        )
        item = new_item()
        writes = queue.insert(index, [item])
        moved += sum(len(write.ranks) for write in writes if isinstance(write, MoveItems))
        replica.apply(writes)
        model.insert(index, item.uid)
    check(queue, model, replica)
    assert moved < 400


def test_ten_thousand_insertions_at_one_place_keep_their_order() -> None:
    queue, replica = PlanQueue(), Replica()
    first, last = new_item(), new_item()
    replica.apply(queue.insert(0, [first, last]))
    inserted = []
    for _ in range(10_000):
        item = new_item()
        replica.apply(queue.insert(1, [item]))
        inserted.append(item.uid)
    check(queue, [first.uid, *reversed(inserted), last.uid], replica)


def test_one_insertion_writes_one_item() -> None:
    queue = PlanQueue()
    queue.insert(0, [new_item() for _ in range(5000)])
    for index in (0, 2500, len(queue)):
        item = new_item()
        assert queue.insert(index, [item]) == [PutItems(((item.uid, item.rank, item.text),))]


def test_one_move_writes_one_rank() -> None:
    queue = PlanQueue()
    queue.insert(0, [new_item() for _ in range(5000)])
    item = queue.at(4000)
    (write,) = queue.move([item], queue.at(10))
    assert write == MoveItems(((item.uid, item.rank),))
    assert queue.position(item) == 10


@settings(max_examples=200, deadline=None, derandomize=True)
@given(size=st.integers(1, 40), seed=st.randoms(use_true_random=False))
def test_a_batch_stands_in_its_order_before_the_target(size: int, seed: random.Random) -> None:
    queue, replica = PlanQueue(), Replica()
    items = [new_item() for _ in range(size)]
    replica.apply(queue.insert(0, items))
    batch = seed.sample(items, seed.randint(1, size))
    others = [item for item in items if item not in batch]
    target = seed.choice([*others, None])
    replica.apply(queue.move(batch, target))
    index = len(others) if target is None else others.index(target)
    others[index:index] = batch
    check(queue, [item.uid for item in others], replica)


def test_an_edit_of_nothing_writes_nothing() -> None:
    queue = PlanQueue()
    queue.insert(0, [new_item()])
    assert queue.insert(0, []) == []
    assert queue.remove([]) == []
    assert queue.move([], None) == []
    assert len(queue) == 1


def test_positions_outside_of_the_queue_are_errors() -> None:
    queue = PlanQueue()
    for index in (-1, 0, 1):
        with pytest.raises(IndexError):
            queue.at(index)
    queue.insert(0, [new_item() for _ in range(3)])
    for index in (-1, 3):
        with pytest.raises(IndexError):
            queue.at(index)


def test_neighbours_at_the_ends_have_the_full_gap() -> None:
    queue = PlanQueue()
    for index in (0, 1, 0, 3):
        queue.insert(index, [new_item()])
    ranks = [item.rank for item in queue]
    assert [after - before for before, after in itertools.pairwise(ranks)] == [RANK_GAP] * 3
