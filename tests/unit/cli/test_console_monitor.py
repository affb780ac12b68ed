from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import pytest
import zmq

from queueserver_cli.console_monitor import console_text, main

DEADLINE_S = 20.0


def published(text: object) -> list[bytes]:
    return [b"QS_Console", json.dumps({"time": 1.0, "msg": text}).encode()]


class Publisher:
    """A PUB socket that knows when somebody has subscribed."""

    def __init__(self, port: int = 0, private_key: bytes = b"") -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        if private_key:
            self._socket.curve_secretkey = private_key
            self._socket.curve_server = True
        self._socket.setsockopt(zmq.LINGER, 1000)
        self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.address = self._socket.get_string(zmq.LAST_ENDPOINT)
        self.port = int(self.address.rpartition(":")[2])

    def wait_for_subscriber(self) -> bytes:
        assert self._socket.poll(DEADLINE_S * 1000), "nobody subscribed"
        return self._socket.recv()

    def send(self, frames: list[bytes]) -> None:
        self._socket.send_multipart(frames)

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    yield publisher
    publisher.close()


@contextmanager
def monitor(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    program = subprocess.Popen(
        [sys.executable, "-m", "queueserver_cli.console_monitor", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    try:
        yield program
    finally:
        program.kill()
        program.communicate(timeout=DEADLINE_S)


def read(program: subprocess.Popen[bytes], wanted: int) -> bytes:
    """The next `wanted` bytes of stdout."""
    assert program.stdout is not None
    deadline = time.monotonic() + DEADLINE_S
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(program.stdout, selectors.EVENT_READ)
        while len(data) < wanted:
            assert selector.select(deadline - time.monotonic()), f"only {data!r} arrived"
            data += os.read(program.stdout.fileno(), wanted - len(data))
    return data


@pytest.mark.row("cli", "qserver-console-monitor")
def test_text_is_written_unchanged_and_at_once(publisher: Publisher) -> None:
    with monitor("--zmq-info-addr", publisher.address) as program:
        assert publisher.wait_for_subscriber() == b"\x01QS_Console"
        for text in ("par", "tial line\n", "", "two\nlines\n", "ä\r", "\x1b[1m"):
            publisher.send(published(text))
            assert read(program, len(text.encode())) == text.encode()


@pytest.mark.parametrize(("options", "variable"), [(("--zmq-info-encrypted",), ""), ((), "ON")])
def test_an_encrypted_info_socket_is_read_with_the_managers_public_key(
    options: tuple[str, ...], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = zmq.curve_keypair()
    publisher = Publisher(private_key=private)
    monkeypatch.setenv("QSERVER_ZMQ_PUBLIC_KEY", public.decode())
    monkeypatch.setenv("QSERVER_ZMQ_INFO_ENCRYPTED", variable)
    with monitor("--zmq-info-addr", publisher.address, *options) as program:
        publisher.wait_for_subscriber()
        publisher.send(published("a secret"))
        assert read(program, 8) == b"a secret"
    publisher.close()


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [("ON", "needs the manager's public key in QSERVER_ZMQ_PUBLIC_KEY"), ("perhaps", "must be ON or OFF")],
)
def test_without_the_key_an_encrypted_info_socket_is_refused(
    variable: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("QSERVER_ZMQ_PUBLIC_KEY", raising=False)
    monkeypatch.setenv("QSERVER_ZMQ_INFO_ENCRYPTED", variable)
    assert main([]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.row("cli", "qserver-console-monitor: exit code")
def test_ctrl_c_ends_it_with_exit_code_1_and_no_traceback(publisher: Publisher) -> None:
    with monitor("--zmq-info-addr", publisher.address) as program:
        publisher.wait_for_subscriber()
        publisher.send(published("x"))
        read(program, 1)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=DEADLINE_S)
    assert (program.returncode, out) == (1, b"")
    assert b"Stopped by Ctrl-C." in err
    assert b"Traceback" not in err


def test_it_waits_for_a_manager_and_finds_it_again_after_a_restart() -> None:
    first = Publisher()
    with monitor("--zmq-info-addr", first.address) as program:
        first.wait_for_subscriber()
        first.send(published("before"))
        assert read(program, 6) == b"before"
        first.close()
        second = Publisher(first.port)
        second.wait_for_subscriber()
        second.send(published("after"))
        assert read(program, 5) == b"after"
        second.close()


def test_messages_that_are_no_console_output_are_left_out(publisher: Publisher) -> None:
    with monitor("--zmq-info-addr", publisher.address) as program:
        publisher.wait_for_subscriber()
        publisher.send([b"QS_Console", b"{"])
        publisher.send([b"QS_Console"])
        publisher.send([b"QS_Info", json.dumps({"time": 1, "msg": "status"}).encode()])
        publisher.send(published(5))
        publisher.send(published("good"))
        assert read(program, 4) == b"good"


def test_a_terminal_without_utf8_still_shows_every_line(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with monitor("--zmq-info-addr", publisher.address) as program:
        publisher.wait_for_subscriber()
        publisher.send(published("ä\n"))
        assert read(program, 5) == b"\\xe4\n"


@pytest.mark.row("cli", "qserver-console-monitor: address and encoding")
def test_the_address_and_encoding_come_from_the_environment(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QSERVER_ZMQ_INFO_ADDRESS", publisher.address)
    monkeypatch.setenv("QSERVER_ZMQ_ENCODING", "MSGPACK")
    with monitor() as program:
        publisher.wait_for_subscriber()
        publisher.send([b"QS_Console", msgpack.packb({"time": 1.0, "msg": "packed"})])
        assert read(program, 6) == b"packed"


def test_a_reader_that_leaves_ends_it_without_a_traceback(publisher: Publisher) -> None:
    with monitor("--zmq-info-addr", publisher.address) as program:
        publisher.wait_for_subscriber()
        assert program.stdout is not None
        program.stdout.close()
        publisher.send(published("x\n"))
        assert program.wait(DEADLINE_S) == 1
        assert program.stderr is not None
        assert b"Traceback" not in program.stderr.read()


def test_a_bad_address_or_encoding_is_told_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--zmq-info-addr", "foo"]) == 1
    assert "foo" in capsys.readouterr().err
    assert main(["--zmq-encoding", "pickle"]) == 1
    assert "'json', 'msgpack'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "frames",
    [[], [b"QS_Console"], [b"QS_Console", b"[]"], [b"QS_Console", b"{}"], [b"QS_ConsoleX", *published("x")[1:]]],
)
def test_only_a_text_of_the_console_topic_is_console_output(frames: list[bytes]) -> None:
    assert console_text(frames, "json") is None
