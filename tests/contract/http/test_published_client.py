"""The published client `bluesky-queueserver-api` in HTTP mode, blocking and asyncio, drives every operation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bluesky_queueserver_api import BFunc, BInst, BPlan
from bluesky_queueserver_api.http import REManagerAPI
from bluesky_queueserver_api.http.aio import REManagerAPI as AsyncREManagerAPI

from contract_manager import ContractManager
from running_http_server import KEY, RunningHttpServer


class Blocking:
    def __init__(self, server: RunningHttpServer) -> None:
        self.api = REManagerAPI(http_server_uri=server.url, console_monitor_poll_period=0.05)
        self.api.set_authorization_key(api_key=KEY)

    def do(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.api, method)(*args, **kwargs)

    def monitor(self, method: str, **kwargs: Any) -> Any:
        return getattr(self.api.console_monitor, method)(**kwargs)

    def close(self) -> None:
        self.api.close()


class Asyncio:
    def __init__(self, server: RunningHttpServer) -> None:
        self.loop = asyncio.new_event_loop()

        async def connect() -> AsyncREManagerAPI:
            return AsyncREManagerAPI(http_server_uri=server.url, console_monitor_poll_period=0.05)

        self.api = self.loop.run_until_complete(connect())
        self.api.set_authorization_key(api_key=KEY)

    def do(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.loop.run_until_complete(getattr(self.api, method)(*args, **kwargs))

    def monitor(self, method: str, **kwargs: Any) -> Any:
        async def call() -> Any:
            result = getattr(self.api.console_monitor, method)(**kwargs)
            return await result if asyncio.iscoroutine(result) else result

        return self.loop.run_until_complete(call())

    def close(self) -> None:
        self.do("close")
        others = asyncio.all_tasks(self.loop)
        for task in others:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*others, return_exceptions=True))
        self.loop.close()


Client = Blocking | Asyncio


@pytest.fixture(params=[Blocking, Asyncio], ids=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, server: RunningHttpServer) -> Iterator[Client]:
    connected: Client = request.param(server)
    yield connected
    connected.close()


COUNT = BPlan("count", ["det"])


def test_status_and_lists(client: Client) -> None:
    assert client.do("status")["manager_state"] == "idle"
    assert client.do("ping")["manager_state"] == "idle"
    assert client.do("config_get")["success"] is True
    assert "count" in client.do("plans_allowed")["plans_allowed"]
    assert "count" in client.do("plans_existing")["plans_existing"]
    assert "det" in client.do("devices_allowed")["devices_allowed"]
    assert "det" in client.do("devices_existing")["devices_existing"]
    assert client.do("permissions_get")["success"] is True


def test_queue_is_edited(client: Client) -> None:
    first = client.do("item_add", COUNT)["item"]["item_uid"]
    batch = client.do("item_add_batch", [COUNT, BInst("queue_stop")])
    assert batch["qsize"] == 3
    second = batch["items"][0]["item_uid"]
    assert client.do("item_get", uid=first)["item"]["name"] == "count"
    assert client.do("item_get")["item"]["name"] == "queue_stop"
    changed = BPlan("count", ["det"], num=2)
    changed.item_uid = first
    assert client.do("item_update", changed)["item"]["kwargs"] == {"num": 2}
    assert client.do("item_move", uid=first, pos_dest="back")["success"] is True
    assert client.do("item_move_batch", uids=[second], pos_dest="back")["success"] is True
    assert client.do("item_remove", uid=first)["qsize"] == 2
    assert client.do("item_remove_batch", uids=[second])["qsize"] == 1
    assert len(client.do("queue_get")["items"]) == 1
    assert client.do("queue_mode_set", mode={"loop": True})["success"] is True
    assert client.do("queue_mode_set", mode="default")["success"] is True
    assert client.do("queue_clear")["success"] is True


def test_plans_are_run_and_end_in_history(client: Client) -> None:
    client.do("item_add", COUNT)
    client.do("queue_start")
    client.do("wait_for_idle", timeout=20)
    assert client.do("history_get")["items"][0]["result"]["exit_status"] == "completed"
    assert client.do("item_execute", COUNT)["success"] is True
    client.do("wait_for_idle", timeout=20)
    assert client.do("history_clear")["success"] is True
    assert client.do("queue_autostart", True)["success"] is True
    assert client.do("queue_autostart", False)["success"] is True
    assert client.do("queue_stop_cancel")["success"] is True


@pytest.mark.parametrize("end", ["re_resume", "re_stop", "re_abort", "re_halt"])
def test_a_plan_is_paused_and_ended(end: str, client: Client, manager: ContractManager) -> None:
    held = manager.start_holding()
    assert client.do("re_runs")["success"] is True
    assert client.do("queue_stop")["success"] is True
    client.do("re_pause", option="immediate")
    client.do("wait_for_idle_or_paused", timeout=20)
    assert client.do("re_runs", option="open")["success"] is True
    held.release()
    client.do(end)
    client.do("wait_for_idle", timeout=20)


@pytest.mark.row("http-api", "POST /environment/open", "POST /environment/close")
def test_the_environment_is_closed_and_opened(client: Client) -> None:
    client.do("environment_close")
    client.do("wait_for_idle", timeout=20)
    assert client.do("status", reload=True)["worker_environment_exists"] is False
    client.do("environment_open")
    client.do("wait_for_idle", timeout=20)
    assert client.do("status", reload=True)["worker_environment_exists"] is True


def test_a_refusal_is_an_error_of_the_library(client: Client) -> None:
    with pytest.raises(client.api.RequestFailedError, match="Failed to add an item"):
        client.do("item_add", BPlan("no_such_plan"))
    with pytest.raises(client.api.HTTPClientError, match="no accounts"):
        client.do("apikey_new", expires_in=10)
    client.api.set_authorization_key(api_key="WRONG")
    with pytest.raises(client.api.HTTPClientError, match="Invalid API key"):
        client.do("status", reload=True)


def reaches(row: str, method: str, **arguments: Any) -> Any:
    return pytest.param(method, arguments, marks=pytest.mark.row("http-api", row))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        reaches("POST /environment/update", "environment_update"),
        reaches("POST /permissions/reload", "permissions_reload"),
        reaches("POST /permissions/set", "permissions_set", user_group_permissions={"user_groups": 1}),
        reaches("POST /script/upload", "script_upload", script="a = 1"),
        reaches("POST /function/execute", "function_execute", item=BFunc("nothing")),
        reaches("GET /task/status", "task_status", task_uid="x"),
        reaches("GET /task/result", "task_result", task_uid="x"),
        reaches("POST /kernel/interrupt", "kernel_interrupt"),
        reaches("POST /lock", "lock", lock_key="key", environment=True),
        reaches("GET /lock/info", "lock_info"),
        reaches("POST /unlock", "unlock", lock_key="key"),
    ],
)
def test_every_other_method_reaches_the_manager(method: str, arguments: dict[str, Any], client: Client) -> None:
    assert "keyword argument" not in outcome(client, method, **arguments)
    outcome(client, "unlock", lock_key="key")


def outcome(client: Client, method: str, **arguments: Any) -> str:
    """What the manager said against it, or nothing."""
    try:
        client.do(method, **arguments)
    except client.api.RequestFailedError as error:
        return str(error)
    return ""


def test_who_one_is_and_may_do(client: Client) -> None:
    assert client.do("whoami")["roles"] == ["unauthenticated_single_user"]
    assert "read:status" in client.do("api_scopes")["scopes"]
    assert client.do("apikey_info")["scopes"]
    assert client.do("logout") == {}


def test_the_console_is_followed(client: Client, manager: ContractManager) -> None:
    client.monitor("enable")
    client.do("item_add", COUNT)
    client.do("queue_start")
    client.do("wait_for_idle", timeout=20)
    deadline = time.monotonic() + 15
    text = ""
    while "completed" not in text:
        assert time.monotonic() < deadline, text
        text += client.monitor("next_msg", timeout=5)["msg"]
    client.monitor("disable_wait", timeout=5)


def test_tokens_of_accounts(
    start_server: Callable[..., RunningHttpServer], manager_with_environment: ContractManager
) -> None:
    configuration = {
        "authentication": {
            "providers": [
                {
                    "provider": "toy",
                    "authenticator": "bluesky_httpserver.authenticators:DictionaryAuthenticator",
                    "args": {"users_to_passwords": {"bob": "bob_password"}},
                }
            ],
        },
        "api_access": {
            "policy": "bluesky_httpserver.authorization:DictionaryAPIAccessControl",
            "args": {"users": {"bob": {"roles": ["admin", "expert"]}}},
        },
    }
    server = start_server(manager_with_environment, configuration=configuration)
    api = REManagerAPI(http_server_uri=server.url, http_auth_provider="/toy/token")
    try:
        api.login("bob", password="bob_password")
        assert api.whoami()["identities"][0]["id"] == "bob"
        api.session_refresh()
        key = api.apikey_new(expires_in=60)
        assert api.apikey_info(api_key=key["secret"])["first_eight"] == key["first_eight"]
        assert api.apikey_delete(first_eight=key["first_eight"])["success"] is True
        uuid = api.whoami()["uuid"]
        assert api.principal_info(principal_uid=uuid)["uuid"] == uuid
        session = api.whoami()["sessions"][0]["uuid"]
        assert api.session_revoke(session_uid=session)["success"] is True
    finally:
        api.close()
