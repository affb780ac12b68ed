"""Requests over HTTP, with the key of a single user."""

from __future__ import annotations

import time
from contextlib import ExitStack

from benchmarks.bench import Bench
from benchmarks.http_server import LOG_IN, Connection, HttpServer, rate, request, serving
from benchmarks.samples import Side
from benchmarks.wire import USER, Client, plan

LENGTH = 10_000
CONNECTIONS = (1, 8)

_ITEM = plan("count", ["det"], num=1)
_BATCH = 1000


def measure(bench: Bench) -> None:
    """Status and added items with 1 and 8 connections, a long queue, and memory."""
    with ExitStack() as stack:
        sides = []
        for server in stack.enter_context(bench.servers()):
            http = stack.enter_context(serving(server, bench.programs[server.side]))
            server.settle()
            bench.samples.add("http.memory", server.side, http.resident_mb)
            if server.side is Side.OURS:
                with serving(server, bench.programs[server.side], accounts=True) as with_accounts:
                    server.settle()
                    bench.samples.add("http.memory.accounts", server.side, with_accounts.resident_mb)
                    with Connection(with_accounts.port) as client:
                        client.ask(LOG_IN)
                    bench.samples.add("http.memory.log_in", server.side, with_accounts.resident_mb)
            sides.append((http, stack.enter_context(Client(server.address))))
        for _ in bench.rounds(8):
            for http, manager in sides:
                _rates(bench, http)
                manager("queue_clear")
        for _, manager in sides:
            for _ in range(LENGTH // _BATCH):
                manager("queue_item_add_batch", items=[_ITEM] * _BATCH, **USER)
        for _ in bench.rounds(10, quick=2):
            for http, manager in sides:
                manager("queue_item_add", item=_ITEM, **USER)  # nobody has the queue ready
                _read(bench, http)


def _rates(bench: Bench, http: HttpServer) -> None:
    seconds = 0.5 if bench.quick else 1.0
    status, add = request("GET", "/api/status"), request("POST", "/api/queue/item/add", {"item": _ITEM})
    for connections in CONNECTIONS:
        bench.samples.add(f"http.status.{connections}", http.side, rate(http.port, status, connections, seconds))
        bench.samples.add(f"http.add.{connections}", http.side, rate(http.port, add, connections, seconds))


def _read(bench: Bench, http: HttpServer) -> None:
    with Connection(http.port) as client:
        client.ask(request("GET", "/api/status"))
        start = time.perf_counter()
        client.ask(request("GET", "/api/queue/get"))
        bench.samples.add("http.get.10000", http.side, 1e3 * (time.perf_counter() - start))
