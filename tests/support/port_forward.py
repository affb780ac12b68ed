"""Ports of this machine that lead into the cluster."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_of_tests import Kubectl
from deadline import wait_until

_LINE = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


class PortForward:
    """`kubectl port-forward` to ports of a Service or a pod, until `end`."""

    def __init__(self, cluster: Kubectl, target: str, ports: dict[int, int]) -> None:
        """`target`: kind/name. `ports`: port of this machine by port of the target; 0 lets kubectl choose."""
        self.ports = dict(ports)
        """Ports of this machine by those of the target."""
        self._cluster = cluster
        self._target = target
        # A pipe that nobody reads would fill up.
        self._output = tempfile.NamedTemporaryFile("w")  # noqa: SIM115 - closed by `end`
        self._process: subprocess.Popen[str] | None = None
        self.keep()
        assert self._forwarded(), f"kubectl port-forward:\n{self._said()}"

    def keep(self) -> None:
        """Start it (again) when it does not run. The ports stay the same.

        It ends when nobody listens in the pod, perhaps at once: ask again when there is no answer.
        """
        if self._process is not None and self._process.poll() is None:
            return
        self._output.seek(0)
        self._output.truncate()
        words = (f"{here or ''}:{there}" for there, here in self.ports.items())
        process = subprocess.Popen(
            self._cluster.command("port-forward", self._target, *words),
            stdout=self._output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._process = process
        wait_until(lambda: process.poll() is not None or self._forwarded(), "the ports are forwarded")
        self.ports = self._forwarded() or self.ports

    def end(self) -> None:
        """Forward no more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _said(self) -> str:
        return Path(self._output.name).read_text()

    def _forwarded(self) -> dict[int, int]:
        """All ports, once they are forwarded; nothing before."""
        found = {int(there): int(here) for here, there in _LINE.findall(self._said())}
        return found if found.keys() == self.ports.keys() else {}


@contextmanager
def forwarded(cluster: Kubectl, service: str, *ports: int) -> Iterator[dict[int, int]]:
    """Ports of this machine that lead to ports of a Service while the block lasts, by the latter."""
    forward = PortForward(cluster, f"service/{service}", dict.fromkeys(ports, 0))
    try:
        yield forward.ports
    finally:
        forward.end()
