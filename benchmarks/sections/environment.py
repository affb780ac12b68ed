"""Opening and closing the worker environment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.bench import BARE, Bench
from benchmarks.samples import Side
from benchmarks.servers import STARTUP, Server, Setup
from benchmarks.wire import Client, idle
from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_worker.warm_modules import SAFE_WARM_MODULES, SIMULATED_PROFILE_WARM_MODULES

_SIMULATED = simulated_profile_dir()


def measure(bench: Bench) -> None:
    """The default, a profile of one's own, and without an interpreter that is kept ready."""
    _openings(bench, "environment.open", Setup(), _SIMULATED, SIMULATED_PROFILE_WARM_MODULES, with_upstream=True)
    _openings(bench, "environment.open_other", Setup(own_profile=True), STARTUP, SAFE_WARM_MODULES, with_upstream=True)
    _openings(bench, "environment.open_cold", Setup(warm=False), _SIMULATED, None, with_upstream=False)


def _openings(
    bench: Bench, figure: str, setup: Setup, profile: Path, preload: tuple[str, ...] | None, *, with_upstream: bool
) -> None:
    with bench.servers(setup, tuple(Side) if with_upstream else [Side.OURS]) as servers:
        for _ in bench.rounds(7, quick=2):
            for server in servers:
                opened, closed = _open_and_close(server)
                bench.samples.add(figure, server.side, opened)
                bench.samples.add("environment.close", server.side, closed)
            bench.samples.add(
                figure, Side.FLOOR, _cold_load(profile) if preload is None else _warm_load(profile, preload)
            )


def _open_and_close(server: Server) -> tuple[float, float]:
    server.settle()
    with Client(server.address) as client:
        start = time.perf_counter()
        client("environment_open")
        client.wait(lambda status: bool(status["worker_environment_exists"]) and idle(status), 60, period=0.01)
        opened = time.perf_counter()
        # What the server does after an opening is no part of the closing.
        server.settle()
        closing = time.perf_counter()
        client("environment_close")
        client.wait(lambda status: not status["worker_environment_exists"] and idle(status), 60, period=0.002)
        return opened - start, time.perf_counter() - closing


def _cold_load(profile: Path) -> float:
    """Seconds from the start of a fresh interpreter to the end of the profile's load."""
    command = [sys.executable, str(BARE / "load_profile.py"), str(profile)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - start


def _warm_load(profile: Path, preload: tuple[str, ...]) -> float:
    """Seconds of the load in an interpreter that has imported what ours imports ahead of time."""
    command = [sys.executable, str(BARE / "load_profile.py"), "--wait", str(profile), "--preload", *preload]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(b"\n")
        process.stdin.flush()
        return float(json.loads(process.stdout.readline()))
