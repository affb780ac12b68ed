"""Every operation of the core (http-api 2.1), against a real manager."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from contract_manager import COUNT, QUICK, STOP_INSTRUCTION, ContractManager, plan
from queueserver_http.access.scopes import SCOPES
from queueserver_http.routes.table import HTTP_ROUTES, MANAGER_ROUTES, PUBLIC, SERVER_ROUTES, WEBSOCKET_ROUTES, Route

CONTRACT = """
GET / | GET /ping | GET /status | GET /config/get | POST /queue/autostart | POST /queue/mode/set | GET /queue/get |
POST /queue/clear | POST /queue/start | POST /queue/stop | POST /queue/stop/cancel | POST /queue/item/add |
POST /queue/item/execute | POST /queue/item/add/batch | POST /queue/upload/spreadsheet | POST /queue/item/update |
POST /queue/item/remove | POST /queue/item/remove/batch | POST /queue/item/move | POST /queue/item/move/batch |
GET /queue/item/get | GET /history/get | POST /history/clear | POST /environment/open | POST /environment/close |
POST /environment/destroy | POST /environment/update | POST /re/pause | POST /re/resume | POST /re/stop |
POST /re/abort | POST /re/halt | POST /re/runs | GET /re/runs/active | GET /re/runs/open | GET /re/runs/closed |
GET /re/metadata | GET /plans/allowed | GET /devices/allowed | GET /plans/existing | GET /devices/existing |
POST /permissions/reload | GET /permissions/get | POST /permissions/set | POST /function/execute | POST /script/upload |
GET /task/status | GET /task/result | POST /kernel/interrupt | POST /lock | POST /unlock | GET /lock/info |
POST /manager/stop | POST /test/manager/kill | GET /test/server/sleep | GET /stream_console_output |
GET /console_output | GET /console_output/uid | GET /console_output_update |
POST /auth/provider/{provider}/token | GET /auth/provider/{provider}/code | POST /auth/provider/{provider}/code |
POST /auth/session/refresh | DELETE /auth/session/revoke/{session_id} | POST /auth/apikey | GET /auth/apikey |
DELETE /auth/apikey | GET /auth/principal | GET /auth/principal/{uuid} | POST /auth/principal/{uuid}/apikey |
GET /auth/whoami | GET /auth/scopes | POST /auth/logout
"""
"""The operations of the contract (http-api 2 and the appendix)."""

BODY_REQUIRED = {
    "/queue/autostart",
    "/queue/mode/set",
    "/queue/item/add/batch",
    "/queue/item/update",
    "/queue/item/remove",
    "/queue/item/remove/batch",
    "/queue/item/move",
    "/queue/item/move/batch",
    "/queue/item/execute",
    "/permissions/set",
    "/function/execute",
    "/script/upload",
    "/task/status",
    "/task/result",
    "/lock",
    "/unlock",
    "/lock/info",
    "/test/server/sleep",
    "/console_output_update",
}


def _ok(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    reply: dict[str, object] = response.json()
    return reply


def test_every_operation_of_the_contract_has_a_route() -> None:
    wanted = {tuple(one.split()) for one in CONTRACT.replace("\n", " ").split("|")}
    routes = {(route.verb, route.path.removeprefix("/api")) for route in HTTP_ROUTES}
    assert wanted - routes == set()


@pytest.mark.row("http-api", "the scope of each operation", "plans/existing needs credentials")
def test_every_route_has_a_scope_that_exists_or_is_open_on_purpose() -> None:
    open_paths = {route.path for route in HTTP_ROUTES if route.scope == PUBLIC}
    assert open_paths == {
        *("/openapi.json", "/docs", "/healthz", "/startupz", "/readyz", "/api/auth/logout"),
        "/api/auth/session/refresh",
        *("/api/auth/provider/{provider}/token", "/api/auth/provider/{provider}/code"),
    }
    for route in (*HTTP_ROUTES, *WEBSOCKET_ROUTES):
        assert route.scope in SCOPES | {PUBLIC, "authenticated"}


STRICT_ROUTES = [route for route in MANAGER_ROUTES if route.form == "json" and route.strict]


@pytest.mark.parametrize("route", STRICT_ROUTES, ids=lambda route: f"{route.verb} {route.path}")
@pytest.mark.row("http-api", "an unknown key is 400")
def test_an_unknown_key_is_400_and_names_it(route: Route, http: httpx.Client) -> None:
    response = http.request(route.verb, route.path, json={"nonsense": 1})
    assert response.status_code == 400
    assert "got an unexpected keyword argument 'nonsense'" in response.json()["detail"]


@pytest.mark.parametrize("route", [*MANAGER_ROUTES, *SERVER_ROUTES], ids=lambda route: f"{route.verb} {route.path}")
@pytest.mark.row("http-api", "a missing or wrong body is 422")
def test_a_body_that_is_required_is_422_when_it_is_missing(route: Route, http: httpx.Client) -> None:
    assert route.body_required == (route.path.removeprefix("/api") in BODY_REQUIRED)
    if route.body_required:
        response = http.request(route.verb, route.path)
        assert response.status_code == 422
        assert "needs a body" in response.json()["detail"]


@pytest.mark.parametrize("body", [b"[1]", b'"a"', b"1", b"{", b"\xff", b"[" * 100_000, b'{"a": 1'])
def test_a_body_that_is_no_mapping_is_422(body: bytes, http: httpx.Client) -> None:
    response = http.post("/api/queue/item/add", content=body)
    assert response.status_code == 422
    assert "body" in response.json()["detail"]


@pytest.mark.parametrize("key", ["user", "user_group"])
@pytest.mark.row("http-api", "user and group are the server's")
def test_the_caller_cannot_name_another_user_or_group(key: str, http: httpx.Client) -> None:
    response = http.post("/api/queue/item/add", json={"item": COUNT, key: "root"})
    assert response.status_code == 400


@pytest.mark.row("http-api", "a refusal by the manager is 200", "a missing body is an empty one")
def test_a_refusal_by_the_manager_is_200(http: httpx.Client) -> None:
    reply = _ok(http.post("/api/queue/item/add", json={}))
    assert reply["success"] is False
    assert reply["msg"]


@pytest.mark.row("http-api", "GET /", "GET /ping", "GET /status", "reload reads anew")
def test_status_ping_and_root_are_the_status(http: httpx.Client, manager: ContractManager) -> None:
    for path in ("/api/", "/api/ping", "/api/status"):
        assert _ok(http.get(path)).keys() == manager.status().keys()
    assert _ok(http.request("GET", "/api/status", json={"reload": True}))["manager_state"] == "idle"


@pytest.mark.row("http-api", "/api is redirected to /api/")
def test_api_without_a_slash_is_redirected(http: httpx.Client) -> None:
    response = http.get("/api")
    assert (response.status_code, response.headers["location"]) == (307, "/api/")


def test_status_is_never_older_than_what_the_same_client_did(http: httpx.Client) -> None:
    for number in range(1, 30):
        _ok(http.post("/api/queue/item/add", json={"item": QUICK}))
        assert _ok(http.get("/api/status"))["items_in_queue"] == number


@pytest.mark.row("http-api", "resource policy", "single user")
def test_items_carry_the_name_of_the_principal_and_the_group_of_the_policy(http: httpx.Client) -> None:
    item = _ok(http.post("/api/queue/item/add", json={"item": COUNT}))["item"]
    assert isinstance(item, dict)
    assert (item["user"], item["user_group"]) == ("UNAUTHENTICATED_SINGLE_USER", "primary")


@pytest.mark.row(
    "http-api",
    "GET /queue/get",
    "POST /queue/clear",
    "POST /queue/item/add",
    "POST /queue/item/add/batch",
    "POST /queue/item/update",
    "GET /queue/item/get",
    "POST /queue/item/remove",
    "POST /queue/item/remove/batch",
    "POST /queue/item/move",
    "POST /queue/item/move/batch",
    "parameters of GET in a JSON body",
    "parameters of GET in the query",
)
def test_items_are_added_read_updated_moved_and_removed(http: httpx.Client) -> None:
    def uids() -> list[str]:
        items = _ok(http.get("/api/queue/get"))["items"]
        assert isinstance(items, list)
        return [item["item_uid"] for item in items]

    batch = _ok(http.post("/api/queue/item/add/batch", json={"items": [COUNT, QUICK, COUNT]}))
    assert (batch["success"], batch["qsize"]) == (True, 3)
    a, b, c = uids()
    front = _ok(http.post("/api/queue/item/add", json={"item": QUICK, "pos": "front"}))["item"]["item_uid"]  # type: ignore[index]
    assert uids() == [front, a, b, c]
    assert _ok(http.post("/api/queue/item/move", json={"uid": front, "pos_dest": "back"}))["success"] is True
    assert uids() == [a, b, c, front]
    moved = _ok(http.post("/api/queue/item/move/batch", json={"uids": [a, b], "pos_dest": "back"}))
    assert moved["success"] is True
    assert uids() == [c, front, a, b]
    changed = {**plan("count", ["det1"]), "item_uid": c}
    assert _ok(http.post("/api/queue/item/update", json={"item": changed}))["item"]["args"] == [["det1"]]  # type: ignore[index]
    assert _ok(http.get("/api/queue/item/get", params={"uid": c}))["item"]["args"] == [["det1"]]  # type: ignore[index]
    assert _ok(http.get("/api/queue/item/get", params={"pos": "1"}))["item"]["item_uid"] == front  # type: ignore[index]
    assert _ok(http.request("GET", "/api/queue/item/get", json={"pos": "back"}))["item"]["item_uid"] == b  # type: ignore[index]
    assert _ok(http.post("/api/queue/item/remove", json={}))["item"]["item_uid"] == b  # type: ignore[index]
    removed = _ok(http.post("/api/queue/item/remove/batch", json={"uids": [a, front]}))
    assert removed["success"] is True
    assert uids() == [c]
    assert _ok(http.post("/api/queue/clear"))["success"] is True
    assert uids() == []


def test_numbers_that_are_not_in_json_pass_unchanged(http: httpx.Client) -> None:
    body = b'{"item": {"item_type": "plan", "name": "count", "args": [["det"]], "kwargs": {"md": {"n": %s}}}}'
    for number in (b"NaN", b"123456789012345678901234567890"):
        text = http.post("/api/queue/item/add", content=body % number).content
        assert b'"n":' + number in text


@pytest.mark.row("http-api", "POST /queue/mode/set")
def test_modes_are_set_by_mode_or_flat(http: httpx.Client) -> None:
    for body in ({"mode": {"loop": True}}, {"loop": True}):
        assert _ok(http.post("/api/queue/mode/set", json=body))["success"] is True
        assert _ok(http.get("/api/status"))["plan_queue_mode"]["loop"] is True  # type: ignore[index]
        assert _ok(http.post("/api/queue/mode/set", json={"mode": "default"}))["success"] is True
    assert http.post("/api/queue/mode/set", json={"loop": True, "mode": {}}).status_code == 400


@pytest.mark.row(
    "http-api",
    "POST /queue/start",
    "POST /queue/stop",
    "POST /queue/stop/cancel",
    "POST /queue/autostart",
    "GET /history/get",
    "POST /history/clear",
)
def test_the_queue_is_started_stopped_and_its_history_read(http: httpx.Client, manager: ContractManager) -> None:
    _ok(http.post("/api/queue/item/add/batch", json={"items": [COUNT, STOP_INSTRUCTION]}))
    assert _ok(http.post("/api/queue/start"))["success"] is True
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 1)
    history = _ok(http.get("/api/history/get"))["items"]
    assert history[0]["result"]["exit_status"] == "completed"  # type: ignore[index]
    assert _ok(http.post("/api/history/clear", json={}))["success"] is True
    assert _ok(http.get("/api/history/get"))["items"] == []
    assert _ok(http.post("/api/queue/autostart", json={"enable": True}))["success"] is True
    assert _ok(http.post("/api/queue/autostart", json={"enable": False}))["success"] is True
    assert _ok(http.post("/api/queue/stop"))["success"] is False
    assert _ok(http.post("/api/queue/stop/cancel"))["success"] is True


@pytest.mark.row(
    "http-api",
    "POST /re/pause",
    "POST /re/resume",
    "POST /re/stop",
    "POST /re/abort",
    "POST /re/halt",
    "POST /re/runs",
    "GET /re/runs/active",
    "GET /re/runs/open",
    "GET /re/runs/closed",
)
def test_the_run_engine_is_paused_resumed_stopped_aborted_and_halted(
    http: httpx.Client, manager: ContractManager
) -> None:
    for verb in ("resume", "stop", "abort", "halt"):
        manager.reset(environment=True)
        held = manager.start_holding()
        assert _ok(http.post("/api/re/pause", json={"option": "immediate"}))["success"] is True
        manager.wait_status(lambda s: s["manager_state"] == "paused")
        assert _ok(http.get("/api/re/runs/active"))["success"] is True
        assert _ok(http.get("/api/re/runs/open"))["success"] is True
        assert _ok(http.get("/api/re/runs/closed"))["run_list"] == []
        assert _ok(http.post("/api/re/runs", json={"option": "active"}))["success"] is True
        assert _ok(http.post(f"/api/re/{verb}"))["success"] is True
        held.end()


@pytest.mark.row("http-api", "POST /environment/destroy", "GET /re/metadata")
def test_the_environment_is_destroyed_and_has_no_metadata_then(http: httpx.Client, manager: ContractManager) -> None:
    assert _ok(http.get("/api/re/metadata"))["success"] is True
    assert _ok(http.post("/api/environment/destroy"))["success"] is True
    manager.wait_status(lambda s: not s["worker_environment_exists"] and s["manager_state"] == "idle")
    assert _ok(http.get("/api/re/metadata"))["success"] is False


@pytest.mark.row("http-api", "POST /queue/item/execute")
def test_an_item_is_executed_outside_of_the_queue(http: httpx.Client, manager: ContractManager) -> None:
    assert _ok(http.post("/api/queue/item/execute", json={"item": COUNT}))["success"] is True
    manager.wait_status(lambda s: s["items_in_history"] == 1 and s["manager_state"] == "idle")


@pytest.mark.row(
    "http-api",
    "GET /plans/allowed",
    "GET /plans/existing",
    "GET /devices/allowed",
    "GET /devices/existing",
    "GET /permissions/get",
    "GET /config/get",
)
def test_lists_of_plans_and_devices(http: httpx.Client) -> None:
    for name in ("plans_allowed", "plans_existing", "devices_allowed", "devices_existing"):
        reply = _ok(http.get(f"/api/{name.replace('_', '/')}"))
        assert reply["success"] is True
        assert reply[name]
        assert isinstance(reply[f"{name}_uid"], str)
    assert _ok(http.get("/api/permissions/get"))["user_group_permissions"]
    assert "config" in _ok(http.get("/api/config/get"))


@pytest.mark.row("http-api", "reduced plans")
def test_reduced_plans_hold_what_a_form_needs(http: httpx.Client) -> None:
    for body in ({"params": {"reduced": "true"}}, {"json": {"reduced": True}}):
        count = _ok(http.request("GET", "/api/plans/existing", **body))["plans_existing"]["count"]  # type: ignore[arg-type, index]
        assert count.keys() == {"name", "description", "parameters"}
        assert {"is_list", "is_optional", "kind", "name"} <= count["parameters"][1].keys()
        assert count["parameters"][1]["default"] == 1


def test_query_parameters_are_ignored_where_they_are_not_known(http: httpx.Client) -> None:
    assert http.get("/api/queue/get", params={"nonsense": "1"}).status_code == 200
    assert _ok(http.post("/api/queue/item/remove?pos=front", json={}))["success"] is False


@pytest.mark.parametrize("body", [{"time": "long"}, {"time": -1}, {"time": 1e9}, {"time": True}, {}])
def test_the_server_sleeps_a_sensible_time_only(body: dict[str, object], http: httpx.Client) -> None:
    assert http.request("GET", "/api/test/server/sleep", json=body).status_code == 400


@pytest.mark.row("http-api", "GET /test/server/sleep")
def test_the_server_sleeps(http: httpx.Client) -> None:
    before = time.monotonic()
    assert _ok(http.get("/api/test/server/sleep", params={"time": "0.2"})) == {"success": True, "msg": ""}
    assert time.monotonic() - before >= 0.2


@pytest.mark.row("http-api", "an unknown path is 404")
def test_paths_and_verbs_that_do_not_exist(http: httpx.Client) -> None:
    assert http.get("/api/nope").json() == {"detail": "Not Found"}
    for path in (
        "/api/../etc/passwd",
        "/api/%2e%2e/status",
        "/api//status",
        "/api/status/",
        "/%00",
        "/api/auth/principal/",
    ):
        assert http.get(path).status_code == 404
    response = http.post("/api/status", json={})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    response = http.put("/api/auth/apikey")
    assert (response.status_code, response.headers["allow"]) == (405, "DELETE, GET, HEAD, POST")
    assert response.json()["detail"].startswith("Method Not Allowed. Use DELETE, GET, HEAD, POST")


def test_head_is_get_without_the_body(http: httpx.Client) -> None:
    response = http.head("/api/config/get")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == http.get("/api/config/get").headers["content-length"]


@pytest.mark.row("http-api", "Server-Timing")
def test_every_reply_has_its_timing_and_headers_of_security(http: httpx.Client) -> None:
    for path in ("/api/status", "/api/nope", "/docs"):
        headers = http.get(path).headers
        assert headers["server-timing"].startswith("app;dur=")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.row("http-api", "the OpenAPI document and its page")
def test_the_document_names_every_operation_with_its_body_and_scope(http: httpx.Client) -> None:
    document = json.loads(http.get("/openapi.json").content)
    for route in HTTP_ROUTES:
        operation = document["paths"][route.path][route.verb.lower()]
        assert operation["summary"], route
        assert (operation["security"] == []) == (route.scope == PUBLIC)
    page = http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/api/queue/item/add" in page.text
    assert "http://" not in page.text.replace("http://localhost:60610", "")
