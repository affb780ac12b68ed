"""Connections are watched by a second descriptor, and nothing else of the process is."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from queueserver_manager.api.frame_limit import FrameLimit

ACCEPTED = struct.Struct("=Hi")


@pytest.fixture
def limit(loop_thread: Any, zmq_context: zmq.Context[Any]) -> Iterator[tuple[FrameLimit, str]]:
    router = zmq_context.socket(zmq.ROUTER)
    limit = loop_thread.call(lambda: FrameLimit(router, 1024, "test socket", loop_thread.loop.time))
    router.bind("tcp://127.0.0.1:*")
    address = router.getsockopt_string(zmq.LAST_ENDPOINT)
    loop_thread.call(limit.listen, [address])
    yield limit, address
    loop_thread.call(limit.close)
    router.close(0)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["a file", "a connection to somebody else", "an event", "nothing"])
def other_descriptor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """What may have the number of a connection when the report about it is read."""
    if request.param == "a connection to somebody else":
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
            yield client.fileno()
        return
    descriptor = os.eventfd(0) if request.param == "an event" else os.open(tmp_path, os.O_RDONLY)
    if request.param == "nothing":
        os.close(descriptor)
        yield descriptor
        return
    yield descriptor
    os.close(descriptor)


def test_a_number_that_means_something_else_by_now_is_let_go(
    limit: tuple[FrameLimit, str], loop_thread: Any, other_descriptor: int
) -> None:
    before = descriptors()
    event = ACCEPTED.pack(zmq.EVENT_ACCEPTED, other_descriptor)
    loop_thread.call(limit[0]._on_event, [event, b""])
    assert descriptors() == before


def test_a_connection_to_the_socket_is_kept_until_it_ends(
    limit: tuple[FrameLimit, str], wait_until: Callable[..., None]
) -> None:
    before = descriptors()
    port = int(limit[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        wait_until(lambda: descriptors() == before + 3)  # this end, 0MQ's and the second one
    wait_until(lambda: descriptors() == before)


def test_many_clients_that_come_and_go_at_once_leave_nothing(
    limit: tuple[FrameLimit, str], wait_until: Callable[..., None]
) -> None:
    before = descriptors()
    port = int(limit[1].rpartition(":")[2])

    def come_and_go() -> None:
        for _ in range(200):
            socket.create_connection(("127.0.0.1", port)).close()

    visitors = [threading.Thread(target=come_and_go) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    wait_until(lambda: descriptors() == before)
