"""How fast one plan follows another."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.samples import Side
from benchmarks.servers import STARTUP, Server, Setup
from benchmarks.wire import USER, Client, idle, plan
from queueserver_common.simulated_profile import simulated_profile_dir


def measure(bench: Bench) -> None:
    """No-op plans in a profile without callbacks, `count` in the simulated one."""
    _follow(bench, Setup(own_profile=True), STARTUP, "noop", plan("noop"), ours=300)
    _follow(bench, Setup(), simulated_profile_dir(), "count", plan("count", ["det"], num=1), ours=20)


def _follow(bench: Bench, setup: Setup, profile: Path, name: str, item: dict[str, object], ours: int) -> None:
    with bench.servers(setup) as servers:
        for server in servers:
            with Client(server.address) as client:
                client("environment_open")
                client.wait(lambda status: status["worker_environment_exists"] and idle(status), 60)
        for _ in bench.rounds(5):
            for server in servers:
                starts = starts_of(server, item, ours if server.side is Side.OURS else 8)
                _note(bench, name, server.side, [later - earlier for earlier, later in pairwise(starts)])
            _note(bench, name, Side.FLOOR, bench.bare("run_engine", str(profile), name, str(ours)))


def _note(bench: Bench, name: str, side: Side, periods: list[float]) -> None:
    mean = sum(periods) / len(periods)
    bench.samples.add(f"plans.{name}", side, 1 / mean if name == "noop" else 1e3 * mean)


def starts_of(server: Server, item: dict[str, object], count: int) -> list[float]:
    """Run so many items; returns the times at which they started, as the history has them."""
    with Client(server.address) as client:
        client("queue_clear")
        client("history_clear")
        client("queue_item_add_batch", items=[item] * count, **USER)
        client("queue_start")
        client.wait(lambda status: idle(status) and status["items_in_history"] == count, 120, period=0.05)
        history = client("history_get")["items"]
    ends = {entry["result"]["exit_status"] for entry in history}
    if ends != {"completed"}:
        raise RuntimeError(f"plans did not complete: {ends}")
    return [entry["result"]["time_start"] for entry in history]
