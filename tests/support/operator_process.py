"""The operator as a process of its own, as a test starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


def until(condition: Callable[[], Any], timeout: float = 30.0, what: str = "the condition") -> Any:
    """The first true value of a condition."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout:.0f} s"
        time.sleep(0.05)
    return value


@dataclass
class Process:
    """A running operator."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path)

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024 / 1e6


@contextmanager
def running_operator(kubeconfig: Path, directory: Path, **variables: str) -> Iterator[Process]:
    """Start the operator; at the end it has to end in order."""
    log = directory / f"operator-{time.monotonic_ns()}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "KUBECONFIG": str(kubeconfig),
        "QUEUESERVER_OPERATOR_MANAGER_IMAGE": "manager:1",
        "QUEUESERVER_OPERATOR_WORKER_IMAGE": "worker:1",
        "QUEUESERVER_OPERATOR_LOCK_NAMESPACE": "default",
        "QUEUESERVER_OPERATOR_HEALTH_PORT": "0",
        **{f"QUEUESERVER_OPERATOR_{name}": value for name, value in variables.items()},
    }
    with log.open("wb") as output:
        command = [sys.executable, "-P", "-m", "queueserver_operator"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            pattern = re.compile(r"health and metrics on port (\d+)")
            found = until(lambda: pattern.search(log.read_text()), what="the first line of the log")
            yield Process(process, f"http://127.0.0.1:{found[1]}", log)
            assert process.poll() is None, log.read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
