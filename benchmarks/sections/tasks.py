"""Scripts and functions, from the request to the result."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.servers import Server
from benchmarks.wire import USER, Client, idle

_FUNCTION = {"item_type": "function", "name": "function_sleep", "args": [0]}
_POLL = 0.0005
"""Seconds between two questions whether a task has ended."""


def measure(bench: Bench) -> None:
    """A function that does nothing, a script that adds a plan and one that changes nothing; the simulated profile."""
    with bench.servers() as servers:
        clients = []
        for server in servers:
            server.settle()
            client = Client(server.address)
            clients.append((server, client))
            client("environment_open")
            client.wait(lambda status: idle(status) and bool(status["worker_environment_exists"]), 60)
        for number in bench.rounds(30, quick=3):
            for server, client in clients:
                _measure(bench, server, client, number)
        for _, client in clients:
            client.__exit__(None, None, None)


def _measure(bench: Bench, server: Server, client: Client, number: int) -> None:
    script = f"def added_{number}(n: int = 1):\n    yield from []\n"
    requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("task.function", "function_execute", {"item": _FUNCTION, **USER}),
        ("task.script", "script_upload", {"script": script}),
        ("task.quiet_script", "script_upload", {"script": "a = 1"}),
    )
    for figure, method, params in requests:
        client.wait(idle, 10)
        bench.samples.add(figure, server.side, 1000 * _until_result(client, method, params))


def _until_result(client: Client, method: str, params: dict[str, Any]) -> float:
    start = time.perf_counter()
    uid = client(method, **params)["task_uid"]
    while client("task_result", task_uid=uid)["status"] != "completed":
        time.sleep(_POLL)
    return time.perf_counter() - start
