"""A Kubernetes API server alone: etcd and kube-apiserver as two processes, no nodes and no controllers.

Enough for everything that the API server itself decides: schemas, defaults, CEL rules, server-side apply.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from kind.images import ROOT
from kind.servers import PROGRAMS

CRDS = sorted((ROOT / "crds").glob("*.yaml"))

_TOKEN = "administrator-of-a-test"
_START = 60.0
"""Seconds until both processes have to answer."""


@dataclass(frozen=True)
class ApiServer:
    """A running API server and how to speak to it as its administrator."""

    url: str
    token: str
    http: httpx.Client

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> httpx.Response:
        """One request; unknown and repeated fields are errors, as with kubectl."""
        query = {"fieldValidation": "Strict", **query} if body is not None else query
        content_type = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        return self.http.request(
            method,
            path,
            params=query,
            json=None if body is None else dict(body),
            headers={"Content-Type": content_type},
        )

    def create(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        return self.request("POST", path, body)

    def apply(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Server-side apply."""
        return self.request("PATCH", path, body, fieldManager="test", force="true")

    def install(self, crds: list[Path]) -> None:
        """Apply CRDs and wait until they are served."""
        for path in crds:
            crd = yaml.safe_load(path.read_text())
            url = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
            answer = self.apply(url, crd)
            assert answer.is_success, answer.text
            _wait(lambda url=url: _established(self.http.get(url).json()), f"{path.name} is established")


@contextmanager
def running_api_server(directory: Path) -> Iterator[ApiServer]:
    """Start both processes with their data in `directory`; they are killed at the end."""
    if missing := [name for name in ("etcd", "kube-apiserver") if not (PROGRAMS / name).exists()]:
        pytest.fail(f"{PROGRAMS} has no {' and no '.join(missing)}: run `make servers`.", pytrace=False)
    key, tokens = directory / "service-accounts.key", directory / "tokens.csv"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens.write_text(f'{_TOKEN},admin,1,"system:masters"\n')
    etcd_port, peer_port, port = _free_ports(3)
    etcd = [
        *(str(PROGRAMS / "etcd"), "--data-dir", str(directory / "etcd"), "--unsafe-no-fsync", "--log-level", "error"),
        *("--listen-client-urls", f"http://127.0.0.1:{etcd_port}"),
        *("--advertise-client-urls", f"http://127.0.0.1:{etcd_port}"),
        *("--listen-peer-urls", f"http://127.0.0.1:{peer_port}"),
    ]
    server = [
        *(str(PROGRAMS / "kube-apiserver"), "--etcd-servers", f"http://127.0.0.1:{etcd_port}"),
        *("--secure-port", str(port), "--bind-address", "127.0.0.1", "--cert-dir", str(directory / "certificates")),
        *("--token-auth-file", str(tokens), "--authorization-mode", "RBAC"),
        *("--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", str(key)),
        *("--service-account-signing-key-file", str(key), "--service-cluster-ip-range", "10.96.0.0/16"),
        *("--disable-admission-plugins", "ServiceAccount"),
    ]
    with (directory / "log").open("wb") as log:
        processes = [subprocess.Popen(command, stdout=log, stderr=log) for command in (etcd, server)]
        try:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            url = f"https://127.0.0.1:{port}"
            headers = {"Authorization": f"Bearer {_TOKEN}"}
            with httpx.Client(base_url=url, headers=headers, verify=context, timeout=30) as http:
                _wait(lambda: _ready(http, processes, directory / "log"), "the API server is ready")
                yield ApiServer(url, _TOKEN, http)
        finally:
            for process in processes:
                process.kill()
                process.wait()


def _ready(http: httpx.Client, processes: list[subprocess.Popen[bytes]], log: Path) -> bool:
    assert all(process.poll() is None for process in processes), log.read_text()[-3000:]
    try:
        return http.get("/readyz").is_success and http.get("/api/v1/namespaces/default").is_success
    except httpx.TransportError:
        return False


def _established(crd: Mapping[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _wait(condition: Any, what: str) -> None:
    deadline = time.monotonic() + _START
    while not condition():
        assert time.monotonic() < deadline, f"not within {_START:.0f} s: {what}"
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
