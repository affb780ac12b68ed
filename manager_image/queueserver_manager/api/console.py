"""The manager's own console: what it prints and logs goes to the terminal and to the info socket (zmq-api 1.4)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from queueserver_common import loggers
from queueserver_manager.api.terminal import STDERR, STDOUT, TerminalWriter

_OUR_LOGGERS = (loggers.PREFIX, "queueserver_common")

OnText = Callable[[str, float], None]
"""Takes text and the time of its writing (epoch seconds), in the thread of the event loop."""


class LogFormatter(logging.Formatter):
    """`[I 2022-02-17 06:54:18,077 bluesky_queueserver.manager.manager] text`."""

    def __init__(self) -> None:
        super().__init__("[%(levelname).1s %(asctime)s %(name)s] %(message)s")


def configure_logging(level: int) -> None:
    """Log to standard output, whatever it is at the time of writing; other packages' loggers from WARNING on.

    `level` is one of the standard library, for example `logging.INFO`; calling again changes it.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, _StandardOutputHandler) for handler in root.handlers):
        root.addHandler(_StandardOutputHandler())
    root.setLevel(max(level, logging.WARNING))
    for name in _OUR_LOGGERS:
        logging.getLogger(name).setLevel(level)


class _StandardOutputHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LogFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


class Console:
    """Stands in for `sys.stdout` and `sys.stderr` from `start` to `stop`.

    `terminal` is None when nothing is to be printed (`--console-output OFF`); text is still handed on.
    """

    def __init__(self, terminal: TerminalWriter | None) -> None:
        self._terminal = terminal
        self._replaced: tuple[TextIO | None, TextIO | None] | None = None
        self._on_text: OnText | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._handing_on = False

    def start(self) -> None:
        """Take over standard output and standard error of Python code."""
        if self._replaced is None:
            self._replaced = (sys.stdout, sys.stderr)
            for stream in self._replaced:
                if stream is not None:
                    with contextlib.suppress(OSError, ValueError):
                        stream.flush()
            sys.stdout = _Stream(self, STDOUT, self._replaced[0])
            sys.stderr = _Stream(self, STDERR, self._replaced[1])

    def connect(self, on_text: OnText) -> None:
        """Hand text on from now on; to be called in the running loop, in whose thread `on_text` is called."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._on_text = on_text

    def disconnect(self) -> None:
        """Hand text on no more."""
        self._on_text = None

    def show_worker_text(self, text: str) -> None:
        """Print text of a worker; publishing it is the caller's part."""
        self._print(STDOUT, text)

    def stop(self) -> None:
        """Write what waits and give the standard streams back."""
        self.disconnect()
        if self._replaced is not None:
            sys.stdout, sys.stderr = self._replaced
            self._replaced = None
        if self._terminal is not None:
            self._terminal.close()

    def take(self, descriptor: int, text: str) -> None:
        """Text that Python code of the manager has written, in any thread."""
        self._print(descriptor, text)
        if self._on_text is None or self._loop is None:
            return
        now = time.time()
        if threading.get_ident() == self._loop_thread:
            self._hand_on(text, now)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._hand_on, text, now)

    def _print(self, descriptor: int, text: str) -> None:
        if self._terminal is None or self._replaced is None:
            return
        # A stream that was closed when the interpreter started is None, and its descriptor is somebody else's by now.
        if self._replaced[0 if descriptor == STDOUT else 1] is not None:
            self._terminal.write(descriptor, text)

    def _hand_on(self, text: str, now: float) -> None:
        if self._on_text is None or self._handing_on:  # what `on_text` itself prints would come back here for ever
            return
        self._handing_on = True
        try:
            self._on_text(text, now)
        except Exception as error:  # whoever prints cannot help it, and a log line would end up here again
            self._print(STDERR, f"Console text could not be published: {error!r}\n")
        finally:
            self._handing_on = False


class _Stream(io.TextIOBase):
    """A text stream that never raises on writing, whatever happened to the terminal."""

    def __init__(self, console: Console, descriptor: int, replaced: TextIO | None) -> None:
        super().__init__()
        self._console = console
        self._descriptor = descriptor
        self._replaced = replaced

    def write(self, text: str, /) -> int:
        if text:
            self._console.take(self._descriptor, text)
        return len(text)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._replaced is not None and self._replaced.isatty()

    def fileno(self) -> int:
        return super().fileno() if self._replaced is None else self._replaced.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"
