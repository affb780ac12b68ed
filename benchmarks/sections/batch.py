"""A large batch, and how long others wait for an answer meanwhile."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.wire import USER, Client, encode, plan

_SIZE = 1000


def measure(bench: Bench) -> None:
    """Submit 1,000 items in one request while another client asks for the status again and again."""
    request = encode("queue_item_add_batch", items=[plan("count", ["det"], num=1)] * _SIZE, **USER)
    status = encode("status")
    with bench.servers() as servers:
        for server in servers:
            server.settle()
        for _ in bench.rounds(5):
            for server in servers:
                with Client(server.address) as client, Client(server.address) as watcher:
                    watcher.raw(status)
                    bench.samples.add("batch.add", server.side, client.timed_raw(request))
                    client("queue_clear")
                    slowest = 0.0
                    client.socket.send(request)
                    while not client.socket.poll(0):
                        start = time.perf_counter()
                        watcher.raw(status)
                        slowest = max(slowest, time.perf_counter() - start)
                    client.socket.recv()
                    bench.samples.add("batch.status", server.side, 1e3 * slowest)
                    client("queue_clear")
