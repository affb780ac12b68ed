"""Ports of this machine that lead into the cluster."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from cluster_of_tests import Kubectl


@contextmanager
def forwarded(cluster: Kubectl, service: str, *ports: int) -> Iterator[dict[int, int]]:
    """Ports of this machine that lead to ports of a Service while the block lasts, by the latter."""
    words = cluster.command("port-forward", f"service/{service}", *(f":{port}" for port in ports))
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    try:
        found: dict[int, int] = {}
        while len(found) < len(ports):
            line = process.stdout.readline()
            assert line, f"kubectl port-forward ended with {process.wait()}"
            if match := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)", line):
                found[int(match[2])] = int(match[1])
        yield found
    finally:
        process.kill()
        process.communicate()
