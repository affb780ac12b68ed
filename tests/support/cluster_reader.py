"""Reads objects of a cluster over one connection, through `kubectl proxy`.

A test looks at the same object again and again until it is as it should be: a kubectl for each look would keep the
machine busier than the cluster does.
"""

from __future__ import annotations

import atexit
import re
import subprocess
from collections.abc import Sequence
from typing import Any

import httpx

from queueserver_common.cluster import API_VERSION

READ = 30.0
"""Seconds that an answer may take."""

_KINDS = {
    "/api/v1": ("pod", "secret", "configmap", "service", "event"),
    f"/apis/{API_VERSION}": ("queueserver", "workerenvironment"),
    "/apis/apps/v1": ("deployment", "statefulset"),
    "/apis/coordination.k8s.io/v1": ("lease",),
    "/apis/policy/v1": ("poddisruptionbudget",),
}
_GROUPS = {
    f"{kind}{end}": (group, f"{kind}s") for group, kinds in _KINDS.items() for kind in kinds for end in ("", "s")
}
"""Group and plural by the names that kubectl understands; kinds with namespaces only."""


class Reader:
    """The API server of one cluster."""

    def __init__(self, kubectl: Sequence[str]) -> None:
        """`kubectl`: its command line for the cluster, without a command."""
        self._proxy = subprocess.Popen([*kubectl, "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
        atexit.register(self._stop)
        assert self._proxy.stdout is not None
        found = re.search(r"127\.0\.0\.1:\d+", self._proxy.stdout.readline())
        assert found, "kubectl proxy does not say where it serves"
        self._http = httpx.Client(base_url=f"http://{found[0]}", timeout=READ, trust_env=False)
        atexit.register(self._http.close)

    def _stop(self) -> None:
        self._proxy.kill()
        self._proxy.communicate()

    def get(self, namespace: str, kind: str, name: str) -> dict[str, Any] | None:
        """Read one object; None when there is none of that name."""
        group, plural = _GROUPS[kind]
        answer = self._http.get(f"{group}/namespaces/{namespace}/{plural}/{name}")
        return None if answer.status_code == httpx.codes.NOT_FOUND else _object(answer)

    def find(self, namespace: str, kind: str, selector: str) -> list[dict[str, Any]]:
        """Read all objects of a kind in a namespace, or those with some labels."""
        group, plural = _GROUPS[kind]
        answer = self._http.get(f"{group}/namespaces/{namespace}/{plural}", params={"labelSelector": selector})
        items: list[dict[str, Any]] = _object(answer)["items"]
        return items


def reads(kind: str) -> bool:
    """Whether objects of this kind can be read so."""
    return kind in _GROUPS


def _object(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found
