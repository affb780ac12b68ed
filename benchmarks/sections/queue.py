"""Edits and reads of queues of different lengths; also the memory that they take."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import processes
from benchmarks.bench import Bench, log
from benchmarks.samples import Side
from benchmarks.servers import Server
from benchmarks.wire import USER, Client, plan

LENGTH = 10_000
LONG = 100_000
"""Only ours: upstream needs about 1 ms for each item."""

_ITEM = plan("count", ["det"], num=1)
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class _Filled:
    """A server whose queue has about `length` items."""

    server: Server
    client: Client
    length: int


def measure(bench: Bench) -> None:
    """Add to queues of three lengths in turns; read, move and remove at 10,000."""
    with ExitStack() as stack:
        filled = []
        for length in (0, LENGTH, LONG):
            for server in stack.enter_context(bench.servers(sides=[Side.OURS] if length == LONG else tuple(Side))):
                client = stack.enter_context(Client(server.address))
                if length == 0:
                    server.settle()
                    bench.samples.add("memory.empty", server.side, processes.resident_mb(server.manager))
                log(f"  {server.side}: {length:,} items")
                _fill(client, length)
                filled.append(_Filled(server, client, length))
        for one in filled:
            one.server.settle()
            if one.length == LONG:
                bench.samples.add("memory.100000", one.server.side, processes.resident_mb(one.server.manager))
        log("  queue_item_add")
        for _ in bench.rounds(10, quick=2):
            for one in filled:
                _add(bench, one)
        log("  reads and edits")
        for _ in bench.rounds(5):
            for one in filled:
                if one.length == LENGTH:
                    _edit(bench, one.server, one.client)
    _note_evenness(bench)


def _fill(client: Client, length: int) -> None:
    """Add so many items."""
    for first in range(0, length, _BATCH):
        client("queue_item_add_batch", items=[_ITEM] * min(_BATCH, length - first), **USER)


def _add(bench: Bench, one: _Filled) -> None:
    count = 300 if one.server.side is Side.OURS else 60
    seconds = sum(one.client.timed("queue_item_add", item=_ITEM, **USER) for _ in range(count))
    bench.samples.add(f"add.{one.length}", one.server.side, count / seconds)
    if one.length == 0:
        one.client("queue_clear")


def _edit(bench: Bench, server: Server, client: Client) -> None:
    samples, side = bench.samples, server.side
    uids = [item["item_uid"] for item in client("queue_get")["items"]]
    last = len(uids) - 1
    for i in range(4):
        samples.add("get.10000", side, 1e3 * client.timed("queue_get"))
        middle, far = uids[last // 2 + i], uids[last - 10 - i]
        samples.add("edit.move", side, 1e3 * client.timed("queue_item_move", uid=far, pos_dest="front"))
        samples.add("edit.move", side, 1e3 * client.timed("queue_item_move", uid=middle, after_uid=uids[last // 3]))
        samples.add("edit.remove", side, 1e3 * client.timed("queue_item_remove", uid=uids[last // 4 + i]))
    batch = uids[last // 5 : last // 5 + 100]
    samples.add("edit.move_batch", side, 1e3 * client.timed("queue_item_move_batch", uids=batch, pos_dest="front"))


def _note_evenness(bench: Bench) -> None:
    """Ratios of rates that were measured right after each other, so that the machine counts out."""
    rates = [bench.samples.of(f"add.{length}", Side.OURS) for length in (0, LENGTH, LONG)]
    medians = [statistics.median(ratios) for ratios in _relative_to_first(rates)]
    bench.samples.add("add.even", Side.OURS, min(medians) / max(medians))


def _relative_to_first(rates: list[list[float]]) -> list[list[float]]:
    return [[rate / first for rate, first in zip(row, rates[0], strict=True)] for row in rates]
