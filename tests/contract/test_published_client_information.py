"""The published client asks and listens: every method, blocking and asyncio; and it stops and kills managers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from bluesky_queueserver_api import BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from contract_manager import ContractManager
from published_client import AsyncClient, BlockingClient, Client

TIMEOUT = 20


@pytest.mark.parametrize("method", ["status", "ping"])
def test_status_and_ping(client: Client, manager: ContractManager, method: str) -> None:
    assert client.do(method, reload=True) == manager.status()


@pytest.mark.row("zmq-api", "config_get")
def test_config_get(client: Client) -> None:
    assert client.do("config_get")["config"] == {"ip_connect_info": {}}


def test_lists_of_plans_and_devices(client: Client) -> None:
    plans, devices = client.do("plans_existing")["plans_existing"], client.do("devices_existing")["devices_existing"]
    assert {"count", "scan", "hold"} <= set(plans)
    assert {"det1", "motor", "sim_bundle_A"} <= set(devices)
    for group in ("root", "primary", "test_user"):
        allowed = client.do("plans_allowed", user_group=group, reload=True)["plans_allowed"]
        assert set(allowed) <= set(plans)
        assert "scan" in allowed
        assert ("hold" in allowed) is (group != "test_user")
        allowed = client.do("devices_allowed", user_group=group, reload=True)["devices_allowed"]
        assert set(allowed) <= set(devices)


def test_permissions_get(client: Client) -> None:
    permissions = client.do("permissions_get")["user_group_permissions"]
    assert {"root", "primary", "test_user"} <= set(permissions["user_groups"])


def test_send_request_reaches_methods_by_their_names(client: Client) -> None:
    assert client.do("send_request", method="queue_get", params={})["success"] is True
    with pytest.raises(REManagerAPI.RequestFailedError, match="Unknown method 'nope'"):
        client.do("send_request", method="nope")


def test_the_console_monitor_shows_what_plans_print(client: Client) -> None:
    client.monitor("console_monitor", "enable")
    try:
        deadline, text = time.monotonic() + TIMEOUT, ""
        while "counting the rings" not in text:  # 0MQ tells nobody that a subscription has arrived
            assert time.monotonic() < deadline, text
            client.do("item_execute", BPlan("say", "counting the rings of the tree\n"))
            client.do("wait_for_idle", timeout=TIMEOUT)
            text = client.monitor("console_monitor", "text")
    finally:
        client.monitor("console_monitor", "disable")


def test_the_system_info_monitor_shows_the_status(client: Client, manager: ContractManager) -> None:
    client.monitor("system_info_monitor", "enable")
    try:
        message = client.monitor("system_info_monitor", "next_msg", timeout=TIMEOUT)
        assert message["msg"]["status"].keys() == manager.status().keys()
    finally:
        client.monitor("system_info_monitor", "disable")


def test_asyncio_clients_may_ask_at_the_same_time(manager: ContractManager) -> None:
    clients = [AsyncClient(manager)]

    async def ask() -> list[dict[str, object]]:
        api = clients[0].api
        work = [api.status(reload=True) if n % 2 else api.item_add(BPlan("null")) for n in range(40)]
        return await asyncio.gather(*work)

    replies = clients[0].run(ask())
    assert sum(reply.get("success") is True for reply in replies) == 20
    assert len(manager.queue) == 20
    clients[0].close()


@pytest.mark.parametrize("kind", [BlockingClient, AsyncClient])
def test_a_client_survives_the_death_and_the_end_of_its_manager(
    start_manager: Callable[..., ContractManager], kind: type[Client]
) -> None:
    manager = start_manager()
    client = kind(manager)
    with pytest.raises(REManagerAPI.RequestTimeoutError, match="timeout occurred"):
        client.do("send_request", method="manager_kill")
    manager.wait_answer()
    assert client.do("status", reload=True)["manager_state"] == "idle"
    assert client.do("send_request", method="manager_stop", params={"option": "safe_on"})["success"] is True
    assert manager.wait_end() == 0
    with pytest.raises(REManagerAPI.RequestTimeoutError, match="timeout occurred"):
        client.do("status", reload=True)
    client.close()
    manager.assert_no_process_left()


@pytest.mark.row("zmq-api", "json and msgpack")
@pytest.mark.parametrize("kind", [BlockingClient, AsyncClient])
def test_a_client_may_speak_msgpack(start_manager: Callable[..., ContractManager], kind: type[Client]) -> None:
    manager = start_manager(encoding="msgpack")
    manager.open_environment()
    client = kind(manager)
    client.do("item_add", BPlan("count", ["det"], num=2, delay=0.001))
    client.do("queue_start")
    client.do("wait_for_idle", timeout=TIMEOUT)
    (item,) = client.do("history_get")["items"]
    assert item["kwargs"] == {"num": 2, "delay": 0.001}
    assert item["result"]["exit_status"] == "completed"
    client.close()
    manager.stop()
