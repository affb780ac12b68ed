"""Edits and reads of queues of different lengths; also the memory that they take."""

from __future__ import annotations

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


def measure(bench: Bench) -> None:
    """Add at three lengths; read, move and remove at 10,000."""
    with bench.servers() as servers:
        clients = [(server, Client(server.address)) for server in servers]
        for server in servers:
            server.settle()
            bench.samples.add("memory.empty", server.side, processes.resident_mb(server.manager))
        _add_rounds(bench, clients, 0)
        for _, client in clients:
            fill(client, LENGTH)
        _add_rounds(bench, clients, LENGTH)
        log("  reads and edits at 10,000")
        for _, client in clients:
            fill(client, LENGTH)
        for _ in bench.rounds(5):
            for server, client in clients:
                _edit(bench, server, client)
        server, client = clients[0]
        if server.side is Side.OURS:
            log("  100,000 items")
            fill(client, LONG)
            _add_rounds(bench, clients[:1], LONG)
            bench.samples.add("memory.100000", server.side, processes.resident_mb(server.manager))
        for _, client in clients:
            client("queue_clear")
            client.socket.close(0)
    _note_evenness(bench)


def fill(client: Client, length: int) -> None:
    """Bring the queue to a length."""
    present = client("status")["items_in_queue"]
    if present > length:
        client("queue_clear")
        present = 0
    while present < length:
        count = min(_BATCH, length - present)
        client("queue_item_add_batch", items=[_ITEM] * count, **USER)
        present += count


def _add_rounds(bench: Bench, clients: list[tuple[Server, Client]], length: int) -> None:
    log(f"  queue_item_add at {length:,}")
    for _ in bench.rounds(5):
        for server, client in clients:
            count = 500 if server.side is Side.OURS else 60
            seconds = sum(client.timed("queue_item_add", item=_ITEM, **USER) for _ in range(count))
            bench.samples.add(f"add.{length}", server.side, count / seconds)
            if length == 0:
                client("queue_clear")


def _edit(bench: Bench, server: Server, client: Client) -> None:
    samples, side = bench.samples, server.side
    items = client("queue_get")["items"]
    uids = [item["item_uid"] for item in items]
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
    rates = [bench.samples.reduced(f"add.{length}").get(Side.OURS) for length in (0, LENGTH, LONG)]
    known = [rate for rate in rates if rate is not None]
    if len(known) == len(rates):
        bench.samples.add("add.even", Side.OURS, min(known) / max(known))
