"""Paths of the first version, which are served on request (http-api 7)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from contract_manager import ContractManager
from running_http_server import RunningHttpServer

COUNT = {"name": "count", "args": [["det"]]}


@pytest.fixture(scope="module")
def old_server(manager_with_environment: ContractManager) -> Iterator[RunningHttpServer]:
    configuration = {"server_configuration": {"legacy_endpoints": True}}
    with RunningHttpServer(manager_with_environment, configuration=configuration) as server:
        yield server


@pytest.fixture
def old(old_server: RunningHttpServer, manager: ContractManager) -> Iterator[httpx.Client]:
    """A client of the first version: without credentials."""
    with old_server.client() as client:
        yield client


def post(client: httpx.Client, path: str, **body: object) -> bool:
    """Whether the manager accepted it."""
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    success: bool = response.json()["success"]
    return success


@pytest.mark.row(
    "http-api",
    "legacy GET /",
    "legacy POST /queue/plan/add",
    "legacy position -1",
    "legacy GET /queue/get",
    "legacy POST /queue/plan/get",
    "legacy POST /queue/plan/remove",
)
def test_paths_of_the_first_version_are_served_on_request_only(
    start_server: Callable[..., RunningHttpServer], manager: ContractManager, server: RunningHttpServer
) -> None:
    assert httpx.get(f"{server.url}/status").status_code == 404
    old = start_server(manager, configuration={"server_configuration": {"legacy_endpoints": True}})
    with old.client() as client:
        assert client.get("/").json()["manager_state"] == "idle"
        plan = {"name": "count", "args": [["det"]]}
        added = [client.post("/queue/plan/add", json={"plan": plan}).json() for _ in range(2)]
        assert added[0]["plan"]["item_uid"] == added[0]["item"]["item_uid"]
        before_last = client.post("/queue/plan/add", json={"plan": plan, "pos": -1}).json()["plan"]["item_uid"]
        assert [item["item_uid"] for item in client.get("/queue/get").json()["items"]][1] == before_last
        assert client.post("/queue/plan/get", json={}).json()["plan"]["item_uid"] == added[1]["plan"]["item_uid"]
        assert client.post("/queue/plan/remove", json={}).json()["qsize"] == 2
        assert client.post("/queue/clear", content=b"").json()["success"] is True
        assert client.get("/api/status").status_code == 401


@pytest.mark.row(
    "http-api", *("legacy GET /status", "legacy lists of plans and devices", "legacy queue", "legacy history")
)
def test_queue_and_history(old: httpx.Client, manager: ContractManager) -> None:
    assert old.get("/status").json()["manager_state"] == "idle"
    assert "count" in old.get("/plans/allowed").json()["plans_allowed"]
    assert "det" in old.get("/devices/allowed").json()["devices_allowed"]
    assert post(old, "/queue/plan/add", plan=COUNT)
    assert post(old, "/queue/start")
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 1)
    assert len(old.get("/history/get").json()["items"]) == 1
    assert post(old, "/history/clear")
    assert old.get("/history/get").json()["items"] == []
    assert not post(old, "/queue/stop")
    assert post(old, "/queue/stop/cancel")
    assert post(old, "/queue/plan/add", plan=COUNT)
    assert post(old, "/queue/clear")
    assert old.get("/queue/get").json()["items"] == []


@pytest.mark.row("http-api", "legacy POST /re/pause", "legacy POST /re/resume, stop, abort, halt")
@pytest.mark.parametrize("path", ["/re/resume", "/re/stop", "/re/abort", "/re/halt", "/re_halt"])
def test_a_plan_is_paused_and_ended(path: str, old: httpx.Client, manager: ContractManager) -> None:
    held = manager.start_holding()
    assert post(old, "/re/pause", option="immediate")
    manager.wait_status(lambda s: s["manager_state"] == "paused")
    assert post(old, path)
    held.end()


@pytest.mark.row("http-api", "legacy environment")
def test_the_environment_is_closed_opened_and_destroyed(old: httpx.Client, manager: ContractManager) -> None:
    assert post(old, "/environment/close")
    manager.wait_status(lambda s: not s["worker_environment_exists"] and s["manager_state"] == "idle")
    assert post(old, "/environment/open")
    manager.wait_status(lambda s: s["worker_environment_exists"] and s["manager_state"] == "idle")
    assert post(old, "/environment/destroy")
    manager.wait_status(lambda s: not s["worker_environment_exists"] and s["manager_state"] == "idle")


@pytest.mark.row("http-api", "legacy POST /manager/stop", "legacy POST /test/manager/kill")
def test_the_manager_is_killed_and_stopped(
    start_server: Callable[..., RunningHttpServer], start_manager: Callable[..., ContractManager]
) -> None:
    manager = start_manager()
    configuration = {
        "server_configuration": {"legacy_endpoints": True},
        "qserver_zmq_configuration": {"reply_timeout": 3.0, "connect_timeout": 20.0},
    }
    with start_server(manager, configuration=configuration).client() as client:
        assert client.get("/").status_code == 200
        assert client.post("/test/manager/kill").status_code == 408
        deadline = time.monotonic() + 45
        while client.get("/status").status_code != 200:  # it is started again
            assert time.monotonic() < deadline
        assert post(client, "/manager/stop", option="safe_off")
    manager.wait_end()
