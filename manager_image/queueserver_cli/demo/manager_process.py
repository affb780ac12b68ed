"""A manager of its own for the demonstration, with its data in a temporary directory."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from queueserver_cli.client import CommunicationError, ManagerClient
from queueserver_cli.demo.errors import DemoError

USUAL_PORTS = (60615, 60625)
STOP_TIMEOUT_S = 20.0
TERMINATE_TIMEOUT_S = 5.0

_LOG_LINES_IN_ERROR = 5


class ManagerProcess:
    """`start-re-manager` as a child process; `start` and `stop` may be called once each."""

    def __init__(self, program: Path | None = None) -> None:
        self._program = program or Path(sys.executable).with_name("start-re-manager")
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path(tempfile.mkdtemp(prefix="queueserver-demo-"))
        self.log = self.directory / "manager.log"
        self.usual_ports = _are_free(USUAL_PORTS)
        self.control_address, self.info_address = self._addresses()

    def _addresses(self) -> tuple[str, str]:
        """The usual ones if their ports are free, so that other programs find it; else sockets beside the data."""
        if self.usual_ports:
            control, info = USUAL_PORTS
            return f"tcp://127.0.0.1:{control}", f"tcp://127.0.0.1:{info}"
        return f"ipc://{self.directory}/control", f"ipc://{self.directory}/info"

    def start(self) -> None:
        """Start the program; it is ready when its sockets answer."""
        command = [
            str(self._program),
            f"--zmq-control-addr={self.control_address}",
            f"--zmq-info-addr={self.info_address}",
            "--zmq-publish-console=ON",
        ]
        with self.log.open("wb") as log, _uninterrupted():
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_clean_environment(self.directory),
                    start_new_session=True,  # Ctrl-C is for the demonstration, which then stops the manager in order
                )
            except OSError as error:
                raise DemoError(
                    f"The manager cannot be started: {error}. 'make demo' installs the program into .venv/bin."
                ) from None

    def check(self) -> None:
        """Raise `DemoError` if the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise DemoError(
                f"The manager ended with exit code {self._process.returncode}. Its log ({self.log}) ends with:\n"
                + _last_lines(self.log)
            )

    def stop(self) -> None:
        """End the manager and all that it started: by a request, then by signals."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with suppress(CommunicationError), ManagerClient(self.control_address) as client:
                client.request("manager_stop", {"option": "safe_off"})
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_TIMEOUT_S)
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(TERMINATE_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
            process.wait()
        _kill_descendants(self.directory)

    def remove_data(self) -> None:
        """Delete the directory with the data and the log."""
        shutil.rmtree(self.directory, ignore_errors=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals that end the demonstration wait: one in the middle of a start would leave a process that nobody knows."""
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [(number, signal.signal(number, lambda number, _: waiting.append(number))) for number in numbers]
    try:
        yield
    finally:
        for number, handler in handlers:
            signal.signal(number, handler)
        for late in waiting:
            signal.raise_signal(late)


def _are_free(ports: Sequence[int]) -> bool:
    with ExitStack() as probes:
        try:
            for port in ports:
                probe = probes.enter_context(socket.socket())
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that just ended do not count
                probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _clean_environment(directory: Path) -> dict[str, str]:
    """The user's environment without settings for other managers, and with every file below the directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")}
    environment["QSERVER_DATA_DIR"] = str(directory / "data")
    environment["QSERVER_RUNTIME_DIR"] = str(directory / "run")
    environment["TMPDIR"] = str(directory)
    return environment


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES_IN_ERROR:])


def _kill_descendants(directory: Path) -> None:
    """Kill what the manager left behind, found by the data directory in its environment (where /proc tells it)."""
    mark = f"QSERVER_DATA_DIR={directory / 'data'}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)
