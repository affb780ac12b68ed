"""What it costs that nothing is lost when the machine fails: every write is on disk before it is answered."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.samples import Side
from benchmarks.sections.plans import starts_of
from benchmarks.servers import Setup
from benchmarks.wire import USER, Client, idle, plan


def measure(bench: Bench) -> None:
    """Additions and no-op plans, ours only."""
    item = plan("noop")
    with (
        bench.servers(Setup(own_profile=True, durable=True), [Side.OURS]) as (server,),
        Client(server.address) as client,
    ):
        client("environment_open")
        client.wait(lambda status: bool(status["worker_environment_exists"]) and idle(status), 60)
        for _ in bench.rounds(5):
            count = 100
            seconds = sum(client.timed("queue_item_add", item=item, **USER) for _ in range(count))
            bench.samples.add("durable.add", server.side, count / seconds)
            starts = starts_of(server, item, count)
            bench.samples.add("durable.noop", server.side, (count - 1) / (starts[-1] - starts[0]))
