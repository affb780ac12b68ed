"""Requests for the status: what a server costs whose answer is ready."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import wire
from benchmarks.bench import BARE, Bench
from benchmarks.samples import Side
from benchmarks.servers import free_port

CLIENTS = (1, 8)


def measure(bench: Bench) -> None:
    """Closed loops of 1 and 8 clients."""
    seconds = 0.5 if bench.quick else 1.0
    request = wire.encode("status")
    with bench.servers() as servers:
        with wire.Client(servers[0].address) as client:
            size = len(client.raw(request))
        for server in servers:
            server.settle()
        floor = f"tcp://127.0.0.1:{free_port()}"
        command = [sys.executable, str(BARE / "echo.py"), floor, str(size), "300"]
        echo = subprocess.Popen(command)
        try:
            for _ in bench.rounds(10):
                for clients in CLIENTS:
                    for server in servers:
                        rate = wire.rate(server.address, request, clients, seconds)
                        bench.samples.add(f"status.{clients}", server.side, rate)
                    bench.samples.add(f"status.{clients}", Side.FLOOR, wire.rate(floor, request, clients, seconds))
                time.sleep(0.2)
        finally:
            echo.kill()
            echo.wait()
