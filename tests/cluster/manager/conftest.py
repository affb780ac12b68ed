"""The manager against a real API server; the test plays the operator and the kubelet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api_server import CRDS, ApiServer, running_api_server
from cluster_world import Road, World
from launcher_bench import Bench


@pytest.fixture(scope="session")
def server_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api-server")


@pytest.fixture(scope="session")
def api_server(server_directory: Path) -> Iterator[ApiServer]:
    with running_api_server(server_directory) as server:
        server.install(CRDS)
        yield server


@pytest.fixture
def world(api_server: ApiServer, server_directory: Path, tmp_path: Path) -> World:
    return World(api_server, server_directory / "certificates", tmp_path / "token")


@pytest.fixture
def road(api_server: ApiServer) -> Iterator[Road]:
    address = urlsplit(api_server.url)
    assert address.hostname is not None
    assert address.port is not None
    road = Road(address.hostname, address.port)
    yield road
    road.close()


@pytest.fixture
def bench(world: World, road: Road) -> Bench:
    return Bench(world, road)
