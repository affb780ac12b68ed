"""The published client: permissions, waits that are cancelled, monitors; and nothing of its surface is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bluesky_queueserver_api import BPlan, WaitMonitor
from bluesky_queueserver_api.zmq import REManagerAPI

from contract_manager import ContractManager
from published_client import Client

TIMEOUT = 20

NOT_METHODS = {"AuthorizationMethods", "Protocols", "protocol", "text_max_lines"}
"""Constants and settings of the library."""
OF_HTTP_ALONE = {"HTTPClientError", "HTTPRequestError", "HTTPServerError", "RequestParameterError"}
"""Exceptions that no 0MQ request raises."""


@pytest.fixture
def permissions(manager: ContractManager) -> Iterator[dict[str, Any]]:
    """Those of the file; they hold again after the test."""
    found: dict[str, Any] = manager.accepted("permissions_get")["user_group_permissions"]
    yield found
    manager.accepted("permissions_reload")


def test_permissions_set_and_reload(client: Client, permissions: dict[str, Any]) -> None:
    groups = permissions["user_groups"]
    narrow = {"user_groups": groups | {"primary": groups["primary"] | {"allowed_plans": ["count"]}}}
    client.do("permissions_set", narrow)
    assert client.do("permissions_get")["user_group_permissions"] == narrow
    assert set(client.do("plans_allowed", reload=True)["plans_allowed"]) == {"count"}
    client.do("permissions_reload")
    assert client.do("permissions_get")["user_group_permissions"] == permissions
    assert "scan" in client.do("plans_allowed", reload=True)["plans_allowed"]
    with pytest.raises(REManagerAPI.RequestFailedError, match="Missing required user group: 'root'"):
        client.do("permissions_set", {"user_groups": {}})


def test_a_wait_can_be_cancelled(client: Client, manager: ContractManager) -> None:
    held = manager.start_holding()
    monitor = WaitMonitor()
    monitor.cancel()
    with pytest.raises(REManagerAPI.WaitCancelError):
        client.do("wait_for_idle", timeout=TIMEOUT, monitor=monitor)
    held.end()


def test_the_monitors_are_cleared_and_told_apart(client: Client, manager: ContractManager) -> None:
    monitor = client.api.console_monitor
    client.monitor("console_monitor", "enable")
    assert (monitor.enabled, client.api.system_info_monitor.enabled) == (True, False)
    deadline, before = time.monotonic() + TIMEOUT, monitor.text_uid
    while monitor.text_uid == before:  # 0MQ tells nobody that a subscription has arrived
        assert time.monotonic() < deadline
        client.do("item_execute", BPlan("say", "text for the monitor\n"))
        client.do("wait_for_idle", timeout=TIMEOUT)
        assert isinstance(client.monitor("console_monitor", "text"), str)
    client.monitor("console_monitor", "disable_wait", timeout=TIMEOUT)
    client.monitor("console_monitor", "clear")
    assert (monitor.enabled, client.monitor("console_monitor", "text")) == (False, "")
    client.monitor("system_info_monitor", "enable")
    client.monitor("system_info_monitor", "disable_wait", timeout=TIMEOUT)
    client.monitor("system_info_monitor", "clear")


@pytest.mark.row("zmq-api", "every method by the published client")
def test_nothing_of_the_library_is_left_out(client: Client) -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_published_client_*.py"))
    parts = (client.api, client.api.console_monitor, client.api.system_info_monitor)
    names = {name for part in parts for name in dir(part) if not name.startswith("_")}
    assert "item_add" in names
    left_out = {name for name in names if f'"{name}"' not in tests and f".{name}" not in tests}
    assert left_out - NOT_METHODS - OF_HTTP_ALONE == set()
