"""Pausing, resuming and aborting a plan, as far as the status shows it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from benchmarks.bench import Bench
from benchmarks.samples import Side
from benchmarks.wire import USER, Client, Status, idle, plan
from queueserver_common.simulated_profile import simulated_profile_dir

_POLL = 0.001


def measure(bench: Bench) -> None:
    """A counting plan of the simulated profile; the pauses between the steps are random, to meet no server's period."""
    repeats = len(bench.rounds(8, quick=2))
    with bench.servers() as servers:
        clients = [(server.side, Client(server.address)) for server in servers]
        for _, client in clients:
            client("environment_open")
            client.wait(lambda status: bool(status["worker_environment_exists"]) and idle(status), 60)
        for _ in range(repeats):
            for side, client in clients:
                _interrupt(bench, side, client)
        for _, client in clients:
            client.socket.close(0)
    for key, seconds in bench.bare("run_engine", str(simulated_profile_dir()), "control", str(repeats)).items():
        bench.samples.add(f"control.{key}", Side.FLOOR, *(1e3 * value for value in seconds))


def _interrupt(bench: Bench, side: Side, client: Client) -> None:
    client("queue_clear")
    client("queue_item_add", item=plan("count", ["det"], num=3000, delay=0.02), **USER)
    client("queue_start")
    client.wait(_running, 20)

    def act(key: str, method: str, condition: Callable[[Status], bool], **params: Any) -> None:
        time.sleep(0.2 + 0.5 * random.random())
        start = time.perf_counter()
        client(method, **params)
        client.wait(condition, 30, period=_POLL)
        bench.samples.add(f"control.{key}", side, 1e3 * (time.perf_counter() - start))

    act("pause", "re_pause", _paused, option="immediate")
    act("resume", "re_resume", _running)
    act("pause", "re_pause", _paused, option="immediate")
    act("abort", "re_abort", idle)


def _running(status: Status) -> bool:
    return bool(status["manager_state"] == "executing_queue" and status["re_state"] == "running")


def _paused(status: Status) -> bool:
    return bool(status["manager_state"] == "paused" and status["re_state"] == "paused")
