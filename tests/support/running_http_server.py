"""A real `start-bluesky-httpserver` for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml
from websockets.sync.client import ClientConnection, connect

from ports import free_ports
from running_manager import RunningManager

KEY = "APIKEYFORTESTS"
_DEADLINE = 45.0


class RunningHttpServer:
    """One server of one manager; `configuration` is written to a file, `environment` added to the process."""

    def __init__(
        self,
        manager: RunningManager | None,
        *,
        configuration: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        directory: Path | None = None,
        key: str | None = KEY,
        port: int | None = None,
    ) -> None:
        self._own = tempfile.TemporaryDirectory() if directory is None else None
        self.directory = directory or Path(self._own.name if self._own else "")
        self.port = port or free_ports(1)[0]
        self.address = f"localhost:{self.port}"
        self.url = f"http://{self.address}"
        self.options = list(options)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")}
        if manager is not None:
            self._environment["QSERVER_ZMQ_CONTROL_ADDRESS"] = manager.control_address
            self._environment["QSERVER_ZMQ_INFO_ADDRESS"] = manager.info_address
            self._environment["QSERVER_ZMQ_ENCODING"] = manager.encoding
        if key is not None:
            self._environment["QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY"] = key
        self._environment.update(environment or {})
        if configuration is not None:
            path = self.directory / f"http-{self.port}.yml"
            path.write_text(yaml.safe_dump(dict(configuration)))
            self.options.append(f"--config_path={path}")
        self.log_file = self.directory / f"http-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        program = str(Path(sys.executable).with_name("start-bluesky-httpserver"))
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [program, f"--port={self.port}", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._environment,
            )
        deadline = time.monotonic() + _DEADLINE
        while wait:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            try:
                httpx.get(f"{self.url}/healthz")
                break
            except httpx.TransportError:
                time.sleep(0.02)
        return self

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def stop(self) -> int:
        """End it in order; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_DEADLINE)

    def wait_end(self) -> int:
        assert self.process is not None
        return self.process.wait(_DEADLINE)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._own is not None:
            self._own.cleanup()

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)

    def websocket(self, path: str, headers: Mapping[str, str], **options: Any) -> ClientConnection:
        """A connection to a stream; `path` follows /api."""
        return connect(f"ws://{self.address}/api{path}", additional_headers=headers, proxy=None, **options)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                assert self.stop() == 0, self.log
                assert "Traceback" not in self.log, self.log
        finally:
            self.close()
