"""An API server alone, with our resources: it decides what is refused, what is the default and what is pruned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api_server import CRDS, ApiServer, running_api_server


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server")) as server:
        server.install(CRDS)
        yield server
