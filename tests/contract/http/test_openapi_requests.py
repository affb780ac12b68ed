"""Requests that follow from the OpenAPI document, sensible and not, are never an error of the server (http-api 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema

from contract_manager import ContractManager
from http_accounts import CONFIGURATION, log_in
from queueserver_http.routes.table import HTTP_ROUTES, Route
from running_http_server import RunningHttpServer

EXAMPLES = 20
"""Of each operation; all operations together take some 40 seconds."""
END_THE_MANAGER = ("/api/manager/stop", "/api/test/manager/kill")
ENDLESS = ("/api/stream_console_output", "/api/test/server/sleep")
ROUTES = [route for route in HTTP_ROUTES if route.path not in (*END_THE_MANAGER, *ENDLESS)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHttpServer]:
    """A server with accounts and a manager of its own."""
    with (
        ContractManager() as manager,
        RunningHttpServer(
            manager, configuration=CONFIGURATION, directory=tmp_path_factory.mktemp("openapi")
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def credentials(server: RunningHttpServer) -> dict[str, str]:
    """Of somebody who may do nearly everything; before the wrong passwords of the tests make the server refuse all."""
    return {"Authorization": f"Bearer {log_in(server, 'bob').json()['access_token']}"}


@pytest.fixture(scope="module")
def schema(server: RunningHttpServer) -> BaseSchema:
    """The document, with the tests' credentials instead of made up ones and the name of a provider that there is."""
    document = httpx.get(f"{server.url}/openapi.json").json()
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security")
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "provider":
                    parameter["schema"]["enum"] = ["toy"]
    return schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.path}")
def test_no_request_is_an_error_of_the_server(
    route: Route, schema: Any, server: RunningHttpServer, credentials: dict[str, str]
) -> None:
    operation = schema[route.path][route.verb]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=st.one_of(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))
    def send(case: Any) -> None:
        response = case.call(base_url=server.url, headers=credentials)
        sent = case.as_curl_command()
        assert response.status_code < 500, (sent, response.text)
        if response.status_code >= 400:
            assert isinstance(response.json()["detail"], str), (sent, response.text)

    send()
    assert httpx.get(f"{server.url}/readyz").status_code == 200
