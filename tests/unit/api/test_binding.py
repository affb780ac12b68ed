from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from queueserver_manager.api.binding import BindError, bind
from queueserver_manager.api.control_socket import ControlSocket
from queueserver_manager.api.info_socket import InfoSocket
from queueserver_manager.api.wire import Encoding


@pytest.fixture
def router(zmq_context: zmq.Context[Any]) -> Iterator[zmq.Socket[bytes]]:
    with zmq_context.socket(zmq.ROUTER) as router:
        router.linger = 0
        yield router


def reason(router: zmq.Socket[bytes], address: str) -> str:
    with pytest.raises(BindError) as caught:
        bind(router, address, "control socket")
    beginning = f"The control socket cannot listen on {address!r}: "
    assert str(caught.value).startswith(beginning)
    return str(caught.value).removeprefix(beginning)


def test_the_effective_address_is_returned(router: zmq.Socket[bytes]) -> None:
    address = bind(router, "tcp://127.0.0.1:0", "control socket")
    assert int(address.removeprefix("tcp://127.0.0.1:")) > 0


def test_a_port_in_use_names_the_process_that_holds_it(router: zmq.Socket[bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        text = reason(router, f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    assert text.startswith(f"the address is in use by process {os.getpid()} (")
    assert "choose another address" in text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("60615", "this is not an address to listen on; write tcp://INTERFACE:PORT"),
        ("tcp://127.0.0.1", "this is not an address to listen on"),
        ("tcp://*:123456", "this is not an address to listen on"),
        ("http://*:60615", "this protocol is not supported"),
        ("tcp://no-such-interface:60615", "no network interface has this name or address"),
        ("tcp://192.0.2.1:60615", "no network interface of this machine has this address"),
        ("ipc:///nonexistent/directory/socket", "the directory of this path does not exist"),
        ("ipc:///" + "x" * 200, "the path is longer than 107 characters"),
        ("ipc:///proc/version", "a file that is not a socket is in the way"),
    ],
)
def test_an_address_that_cannot_be_bound_is_explained(router: zmq.Socket[bytes], address: str, text: str) -> None:
    assert reason(router, address).startswith(text)


@pytest.mark.row("zmq-api", "ipc addresses")
def test_the_socket_file_of_a_process_that_has_gone_is_replaced(router: zmq.Socket[bytes], tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
        left.listen()
    assert path.is_socket()
    assert bind(router, f"ipc://{path}", "control socket") == f"ipc://{path}"


@pytest.mark.parametrize("backlog_full", [False, True])
def test_a_socket_file_where_somebody_answers_is_left_alone(
    router: zmq.Socket[bytes], tmp_path: Path, backlog_full: bool
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        if backlog_full:
            waiting.connect(str(path))
        text = reason(router, f"ipc://{path}")
        holder = "another process" if backlog_full else f"process {os.getpid()}"
        assert text.startswith(f"the address is in use by {holder}")
        listener.accept()[0].close()
        with socket.socket(socket.AF_UNIX) as later:  # the file still leads to the listener
            later.connect(str(path))


def test_a_file_that_is_not_a_socket_is_left_alone(router: zmq.Socket[bytes], tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("precious")
    assert "not a socket" in reason(router, f"ipc://{path}")
    assert path.read_text() == "precious"


def test_sockets_that_cannot_be_bound_leave_nothing_open(loop_thread: Any, zmq_context: zmq.Context[Any]) -> None:
    descriptors = Path("/proc/self/fd")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        def fail() -> None:
            with pytest.raises(BindError):
                ControlSocket(["tcp://127.0.0.1:*", taken], Encoding.JSON, print, context=zmq_context)
            with pytest.raises(BindError):
                InfoSocket(taken, Encoding.JSON, context=zmq_context)

        loop_thread.call(fail)
        before = len(list(descriptors.iterdir()))
        for _ in range(20):
            loop_thread.call(fail)
        assert len(list(descriptors.iterdir())) < before + 20
