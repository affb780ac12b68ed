from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator

import pytest

from queueserver_manager.api.terminal import TerminalWriter


class Pipe:
    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()

    def read_all(self) -> str:
        os.close(self.writing)
        with os.fdopen(self.reading, "rb") as reader:
            return reader.read().decode()

    def close(self) -> None:
        for descriptor in (self.reading, self.writing):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def terminal() -> Iterator[TerminalWriter]:
    terminal = TerminalWriter()
    yield terminal
    terminal.close(0.2)


def test_text_is_written_in_the_order_of_the_calls(terminal: TerminalWriter, pipe: Pipe) -> None:
    for number in range(100):
        terminal.write(pipe.writing, f"é{number}\n")
    assert terminal.flush()
    assert pipe.read_all() == "".join(f"é{number}\n" for number in range(100))


def test_text_that_is_not_unicode_is_written_in_a_readable_form(terminal: TerminalWriter, pipe: Pipe) -> None:
    terminal.write(pipe.writing, "file \udcff\n")
    assert terminal.flush()
    assert pipe.read_all() == "file \\udcff\n"


def test_a_closed_terminal_is_not_written_to_and_raises_nothing(terminal: TerminalWriter, pipe: Pipe) -> None:
    os.close(pipe.reading)
    other = Pipe()
    terminal.write(pipe.writing, "nobody reads this\n")
    terminal.write(other.writing, "the other goes on\n")
    terminal.write(pipe.writing, "nor this\n")
    assert terminal.flush()
    assert other.read_all() == "the other goes on\n"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_terminal_that_stands_still_delays_nobody_and_later_says_what_was_left_out(
    pipe: Pipe, blocking: bool
) -> None:
    os.set_blocking(pipe.writing, blocking)
    terminal = TerminalWriter(most_waiting=300_000)
    started = time.monotonic()
    for number in range(2000):
        terminal.write(pipe.writing, f"{number:06d}{'x' * 993}\n")
    assert time.monotonic() - started < 10
    assert not terminal.flush(0.05)

    received: list[bytes] = []

    def read() -> None:
        while chunk := os.read(pipe.reading, 100_000):
            received.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    assert terminal.flush(patience=10)
    terminal.write(pipe.writing, "next\n")
    assert terminal.flush(patience=10)
    os.close(pipe.writing)
    reader.join(10)
    terminal.close()
    text = b"".join(received).decode()
    kept = text.count("x" * 993)
    assert 300 <= kept < 2000
    notes = re.findall(r"\n\[(\d+) characters were left out here: the terminal did not take them\]\n", text)
    assert sum(int(count) for count in notes) == (2000 - kept) * 1000
    assert text.endswith("]\nnext\n")


def test_closing_does_not_wait_for_a_terminal_that_stands_still(pipe: Pipe) -> None:
    terminal = TerminalWriter()
    terminal.write(pipe.writing, "x" * 1_000_000)
    started = time.monotonic()
    terminal.close(0.2)
    assert time.monotonic() - started < 10
    os.close(pipe.reading)  # releases the thread


def test_closing_waits_for_a_terminal_that_is_slow_but_moves(pipe: Pipe) -> None:
    terminal = TerminalWriter()
    terminal.write(pipe.writing, "x" * 1_000_000)
    received = 0

    def read() -> None:
        nonlocal received
        while chunk := os.read(pipe.reading, 65_536):
            received += len(chunk)
            time.sleep(0.05)

    reader = threading.Thread(target=read)
    reader.start()
    terminal.close(patience=0.5)
    assert not terminal._thread.is_alive()
    os.close(pipe.writing)
    reader.join(10)
    assert received == 1_000_000


def test_the_thread_ends_when_closed() -> None:
    terminal = TerminalWriter()
    terminal.close()
    assert not terminal._thread.is_alive()
