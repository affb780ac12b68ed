"""Pages of a history of 100,000 entries, and the memory that it takes; ours only, upstream has no pages."""

from __future__ import annotations

import asyncio
import json
import uuid

from benchmarks import processes
from benchmarks.bench import Bench
from benchmarks.samples import Side
from benchmarks.servers import Setup
from benchmarks.wire import Client
from queueserver_manager.core.writes import AppendHistory
from queueserver_manager.store.holder import this_process
from queueserver_manager.store.redis_store import RedisStore

LENGTH = 100_000
_PREFIX = "qs_default"
_IN_COMMIT = 1000
_SECONDS_OF_AN_ENTRY = 10.0
_FIRST_END = 1_700_000_000.0
_PAGE = 100


def measure(bench: Bench) -> None:
    """Page of 100: the newest, of a time, of an item; and the memory of the manager after all of that."""
    with (
        bench.servers(Setup(fill=_nothing), [Side.OURS]) as (empty,),
        bench.servers(Setup(fill=_fill), [Side.OURS]) as (server,),
        Client(server.address) as client,
    ):
        total = client("history_get", limit=0)["total"]
        if total != LENGTH:
            raise RuntimeError(f"the history has {total} entries")
        samples = bench.samples
        for number in bench.rounds(50, quick=5):
            middle = _FIRST_END + _SECONDS_OF_AN_ENTRY * (LENGTH // 3 + 571 * number)
            pages = {
                "history.page": {"newest_first": True},
                "history.offset": {"offset": LENGTH // 2 + number},
                "history.time": {"time_from": middle},
            }
            for figure, params in pages.items():
                samples.add(figure, Side.OURS, 1e3 * client.timed("history_get", limit=_PAGE, **params))
            uid = _uid(977 * number)
            samples.add("history.uid", Side.OURS, 1e3 * client.timed("history_get", item_uid=uid))
        for one in (empty, server):
            one.settle()
        more = processes.resident_mb(server.manager) - processes.resident_mb(empty.manager)
        samples.add("history.memory", Side.OURS, more)


def _nothing(port: int) -> None:
    """The store stays as it is."""


def _fill(port: int) -> None:
    """Write the entries into the store, in which no manager works yet."""
    asyncio.run(_append(f"localhost:{port}"))


async def _append(address: str) -> None:
    store = await RedisStore.connect(address, _PREFIX, this_process(), wait_seconds=10)
    try:
        await store.take_epoch()
        for first in range(0, LENGTH, _IN_COMMIT):
            entries = [_entry(number) for number in range(first, first + _IN_COMMIT)]
            await store.commit(str(uuid.uuid4()), entries)
    finally:
        await store.close()


def _entry(number: int) -> AppendHistory:
    end = _FIRST_END + _SECONDS_OF_AN_ENTRY * number
    result = {
        "exit_status": "completed",
        "run_uids": [_uid(number + LENGTH)],
        "scan_ids": [number],
        "time_start": end - 1,
        "time_stop": end,
        "msg": "",
        "traceback": "",
    }
    item = {
        "item_type": "plan",
        "name": "count",
        "args": [["det1", "det2"]],
        "kwargs": {"num": 10, "delay": 0.1},
        "user": "benchmark",
        "user_group": "primary",
        "item_uid": _uid(number),
        "result": result,
    }
    return AppendHistory(number, _uid(number), end, json.dumps(item, separators=(",", ":")).encode())


def _uid(number: int) -> str:
    return str(uuid.UUID(int=(number << 64) | 0x8000000000000000, version=4))
