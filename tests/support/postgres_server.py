"""A real PostgreSQL for tests, which can go away and come back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

from deadline import wait_until
from kind.servers import POSTGRESQL, find
from ports import free_ports
from server_process import end, wait_for_port

_NOBODY = "nobody"


class PostgresServer:
    """A server with data of its own; as root it runs as somebody else, as it demands."""

    def __init__(self, encoding: str = "UTF8") -> None:
        self._encoding = encoding
        self._found = find(POSTGRESQL)
        self._user = {"user": _NOBODY} if os.getuid() == 0 else {}
        self._directory = Path(tempfile.mkdtemp(prefix="qst-pg-", dir="/tmp"))
        [self._port] = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"postgresql://tester:a%20password@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        try:
            self._make_data()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._directory)

    def start(self) -> None:
        """Start it (again), with its data as they were."""
        options = ["-D", "data", "-p", str(self._port), "-k", str(self._directory), "-F"]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(  # type: ignore[call-overload]
                [str(self._found.program), *options],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=self._found.environment,
                **self._user,
            )
        wait_for_port(self._port, self._process)
        wait_until(self._takes_connections, "PostgreSQL takes connections")  # it listens before it has its data

    def stop(self) -> None:
        """End it; whoever is connected is told so."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            end(self._process)
            self._process = None

    def freeze(self) -> None:
        """Let it answer nothing, as a machine without power."""
        assert self._process is not None
        for process in self._family():
            os.kill(process, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        for process in self._family():
            os.kill(process, signal.SIGCONT)

    def _takes_connections(self) -> bool:
        try:
            psycopg.connect(self.uri).close()
        except psycopg.OperationalError:
            return False
        return True

    def _family(self) -> list[int]:
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [self._process.pid, *map(int, children.split())]

    def _make_data(self) -> None:
        if self._user:
            shutil.chown(self._directory, _NOBODY)
        word = self._directory / "password"
        word.write_text("a password")
        word.chmod(0o644)
        subprocess.run(
            [
                self._found.program.with_name("initdb"),
                *("-D", "data", "-U", "tester", "--auth=scram-sha-256", f"--pwfile={word}", "-N"),
                *(f"--encoding={self._encoding}", "--locale=C"),
            ],
            check=True,
            capture_output=True,
            cwd=self._directory,
            env=self._found.environment,
            **self._user,  # type: ignore[call-overload]
        )
