"""The parts of the operator that touch the world, against a real API server (without nodes and controllers)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_server import CRDS, ApiServer, running_api_server
from queueserver_operator.kubernetes_api import KubernetesApi, connected
from queueserver_operator.model import FIELD_MANAGER

_numbers = itertools.count(1)


def _kubeconfig(server: ApiServer, directory: Path) -> Path:
    path = directory / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": server.url, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": server.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One for all tests, with our definitions."""
    with running_api_server(tmp_path_factory.mktemp("api-server")) as server:
        server.install(CRDS)
        yield server


@pytest.fixture(scope="session")
def kubeconfig(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _kubeconfig(api_server, tmp_path_factory.mktemp("kubeconfig"))


@pytest.fixture
def fresh_api_server(tmp_path: Path) -> Iterator[ApiServer]:
    """One for a single test, without our definitions."""
    with running_api_server(tmp_path) as server:
        yield server


@pytest.fixture
def fresh_kubeconfig(fresh_api_server: ApiServer, tmp_path: Path) -> Path:
    return _kubeconfig(fresh_api_server, tmp_path)


@pytest.fixture
def namespace(api_server: ApiServer) -> str:
    """A fresh namespace; there is no controller that could delete it again."""
    name = f"test-{next(_numbers)}"
    answer = api_server.create("/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.is_success, answer.text
    return name


@pytest.fixture
def ask(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[KubernetesApi], Awaitable[Any]]], Any]:
    """Call a coroutine function with a connection of the operator's own kind."""
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def run(use: Callable[[KubernetesApi], Awaitable[Any]]) -> Any:
        async def body() -> Any:
            async with connected(FIELD_MANAGER) as api:
                return await use(api)

        return asyncio.run(body())

    return run
