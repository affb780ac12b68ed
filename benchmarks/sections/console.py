"""A plan that prints as fast as it can."""

from __future__ import annotations

import json
import re
import time

import zmq

from benchmarks.bench import Bench
from benchmarks.servers import Server, Setup
from benchmarks.wire import USER, Client, idle, plan

LINES = 20_000
_QUIET = 2.0
"""Seconds without text after which nothing more is expected."""
_LONGEST = 60.0
_LINE = re.compile(r"LINE (\d+)(?: (\d+\.\d+))?")


def measure(bench: Bench) -> None:
    """Lines from their printing to a subscriber, and how many of them arrive."""
    with bench.servers(Setup(own_profile=True)) as servers:
        for server in servers:
            with Client(server.address) as client:
                client("environment_open")
                client.wait(lambda status: bool(status["worker_environment_exists"]) and idle(status), 60)
        for _ in bench.rounds(5):
            for server in servers:
                seconds, received = _burst(server)
                bench.samples.add("console.rate", server.side, received / seconds)
                bench.samples.add("console.received", server.side, received)


def _burst(server: Server) -> tuple[float, int]:
    """Seconds from the printing of the first line to the arrival of the last, and the number of different lines."""
    subscriber: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    subscriber.setsockopt(zmq.RCVHWM, 0)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"QS_Console")
    subscriber.connect(server.info_address)
    try:
        with Client(server.address) as client:
            _await_subscription(subscriber, client)
            client("queue_item_add", item=plan("print_lines", LINES), **USER)
            client("queue_start")
        arrivals = _receive(subscriber)
    finally:
        subscriber.close(0)
    with Client(server.address) as client:
        client.wait(idle, 30)
    text, first, last = "", 0.0, 0.0
    seen = set()
    for arrived, part in arrivals:
        *lines, text = (text + part).split("\n")
        for line in lines:
            # Not from the beginning to the end: other processes may print into the line.
            if match := _LINE.search(line):
                seen.add(int(match[1]))
                first = float(match[2]) if match[2] else first
                last = arrived
    return last - first, len(seen)


def _await_subscription(subscriber: zmq.Socket[bytes], client: Client) -> None:
    """Status is published whenever it changes: that it arrives shows that the subscription does too."""
    subscriber.setsockopt(zmq.SUBSCRIBE, b"")
    deadline = time.monotonic() + 5
    while not subscriber.poll(100) and time.monotonic() < deadline:
        client("queue_clear")
    subscriber.setsockopt(zmq.UNSUBSCRIBE, b"")


def _receive(subscriber: zmq.Socket[bytes]) -> list[tuple[float, str]]:
    """Messages with the time of their arrival (epoch seconds); decoded later, so that reading holds nobody up."""
    raw: list[tuple[float, bytes]] = []
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline and subscriber.poll(int(1000 * _QUIET)):
        topic, payload = subscriber.recv_multipart()
        if topic == b"QS_Console":
            raw.append((time.time(), payload))
    return [(arrived, json.loads(payload).get("msg", "")) for arrived, payload in raw]
