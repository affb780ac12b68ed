"""What encryption of the control socket costs; ours only."""

from __future__ import annotations

from benchmarks import wire
from benchmarks.bench import Bench
from benchmarks.samples import Side
from benchmarks.servers import Setup

CLIENTS = (1, 8)


def measure(bench: Bench) -> None:
    """Requests for the status, in clear and encrypted in turns."""
    seconds = 0.5 if bench.quick else 1.0
    request = wire.encode("status")
    with (
        bench.servers(sides=[Side.OURS]) as (clear,),
        bench.servers(Setup(encrypted=True), [Side.OURS]) as (encrypted,),
    ):
        for server in (clear, encrypted):
            server.settle()
        for _ in bench.rounds(10):
            for clients in CLIENTS:
                plain = wire.rate(clear.address, request, clients, seconds)
                secret = wire.rate(encrypted.address, request, clients, seconds, encrypted.public_key)
                bench.samples.add(f"curve.{clients}", Side.OURS, secret / plain)
