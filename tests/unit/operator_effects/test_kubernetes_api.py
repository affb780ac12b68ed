"""Against a web server that answers what the test says; the real API server is in tests/cluster/operator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from queueserver_operator.api_error import ApiError
from queueserver_operator.kinds import CONFIG_MAP, POD
from queueserver_operator.kubernetes_api import KubernetesApi, connected

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ns"}}


class Server:
    """Gives the prepared answers one after the other, the last one for ever, and remembers the requests."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, dict[str, str], str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path, dict(request.query), await request.text()))
        status, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"Retry-After": str(body["retryAfter"])} if "retryAfter" in body else {}
        return web.json_response(body, status=status, headers=headers)


def failure(code: int, reason: str = "", message: str = "told by the server") -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


def ask(
    server: Server,
    request: Callable[[KubernetesApi], Awaitable[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    async def body() -> Any:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        kubeconfig(tmp_path, monkeypatch, runner.addresses[0][1])
        try:
            async with connected("tester") as api:
                return await request(api)
        finally:
            await runner.cleanup()

    monkeypatch.setattr("queueserver_operator.kubernetes_api._FIRST_PAUSE", 0.001)
    return asyncio.run(body())


def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    path = tmp_path / "kubeconfig"
    content = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "secret-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr("kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_a_request_that_may_pass_is_tried_again(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(failure(code), failure(code), (200, MAP))
    assert ask(server, lambda api: api.apply(MAP), tmp_path, monkeypatch) == MAP
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 403, 413, 422])
def test_a_request_that_is_refused_is_not_tried_again_and_the_server_s_words_are_kept(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(failure(code, "Invalid", "spec.size: must be positive"))
    with pytest.raises(ApiError) as refused:
        ask(server, lambda api: api.apply(MAP), tmp_path, monkeypatch)
    assert str(refused.value) == "apply ConfigMap ns/c: spec.size: must be positive"
    assert (refused.value.status, refused.value.reason, refused.value.passing) == (code, "Invalid", False)
    assert len(server.requests) == 1


def test_a_field_that_no_apply_takes_is_refused_and_not_a_fault_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = "failed to create typed patch object (ns/c; v1, Kind=ConfigMap): .dat: field not declared in schema"
    server = Server(failure(500, message=message))
    with pytest.raises(ApiError, match="dat: field not declared in schema") as refused:
        ask(server, lambda api: api.apply(MAP), tmp_path, monkeypatch)
    assert (refused.value.status, refused.value.passing) == (422, False)
    assert len(server.requests) == 1


def test_each_attempt_to_create_asks_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(failure(503), failure(503), (201, MAP))
    ask(server, lambda api: api.create(MAP), tmp_path, monkeypatch)
    assert [query for _, _, query, _ in server.requests] == [
        {"fieldValidation": "Strict", "fieldManager": "tester"}
    ] * 3


def test_after_four_attempts_it_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(failure(503))
    with pytest.raises(ApiError) as gave_up:
        ask(server, lambda api: api.get(POD, "ns", "p"), tmp_path, monkeypatch)
    assert gave_up.value.passing
    assert len(server.requests) == 4


def test_the_time_that_the_server_asks_for_is_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr("queueserver_operator.kubernetes_api.asyncio.sleep", note)
    code, body = failure(429)
    server = Server((code, body | {"retryAfter": 2}), (200, MAP))
    ask(server, lambda api: api.apply(MAP), tmp_path, monkeypatch)
    assert 2.0 in waits


def test_an_apply_says_who_applies_and_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server((200, MAP))
    ask(server, lambda api: api.apply(MAP, "status"), tmp_path, monkeypatch)
    ((method, path, query, _),) = server.requests
    assert (method, path) == ("PATCH", "/api/v1/namespaces/ns/configmaps/c/status")
    assert query == {"fieldManager": "tester", "force": "true"}


def test_two_writes_that_meet_inside_the_server_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conflict = failure(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
    assert ask(Server(conflict, (200, MAP)), lambda api: api.apply(MAP), tmp_path, monkeypatch) == MAP


def test_a_precondition_that_does_not_hold_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(failure(409, "Conflict", "Precondition failed: UID in precondition: 1"))
    with pytest.raises(ApiError) as refused:
        ask(server, lambda api: api.apply(MAP), tmp_path, monkeypatch)
    assert refused.value.conflict
    assert len(server.requests) == 1


def test_a_list_is_read_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server((200, {"items": [1], "metadata": {"continue": "more"}}), (200, {"items": [2], "metadata": {}}))

    async def listed(api: KubernetesApi) -> list[Any]:
        return [item async for item in api.list(CONFIG_MAP, labels="a=b")]

    assert ask(server, listed, tmp_path, monkeypatch) == [1, 2]
    assert [query.get("continue") for _, _, query, _ in server.requests] == [None, "more"]
    assert server.requests[0][2]["labelSelector"] == "a=b"


def test_no_answer_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queueserver_operator.kubernetes_api._FIRST_PAUSE", 0.001)
    kubeconfig(tmp_path, monkeypatch, 9)  # the port "discard": nobody listens

    async def body() -> None:
        async with connected("tester") as api:
            await api.get(POD, "ns", "p")

    with pytest.raises(ApiError, match="get Pod ns/p: the API server did not answer") as silent:
        asyncio.run(body())
    assert silent.value.passing
    assert "secret-token" not in str(silent.value)
