"""helm for the tests of the charts, and an API server that checks what it renders."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api_server import CRDS, ApiServer, running_api_server
from helm_charts import Helm, find_helm


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    program = find_helm()
    if program is None:
        pytest.fail("The tests of the charts need helm 4: install it, name it in HELM, or run `make cluster-up`.")
    return Helm(program, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running_api_server(tmp_path_factory.mktemp("api-server")) as server:
        server.install(CRDS)
        yield server
