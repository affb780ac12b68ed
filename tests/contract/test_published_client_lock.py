"""The published client locks a manager and works with a locked one (zmq-api 5.9)."""

from __future__ import annotations

from pathlib import Path

import pytest
from bluesky_queueserver_api import BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

from contract_manager import EMERGENCY_KEY, ContractManager
from published_client import Client


@pytest.fixture
def locker(client: Client, tmp_path: Path) -> Client:
    """A client that keeps its default key in a directory of its own."""
    client.api.default_lock_key_path = tmp_path / "default_lock_key.txt"
    return client


@pytest.mark.parametrize(
    ("method", "locked"),
    [
        ("lock_environment", {"environment": True, "queue": False}),
        ("lock_queue", {"environment": False, "queue": True}),
        ("lock_all", {"environment": True, "queue": True}),
    ],
)
def test_what_is_locked(locker: Client, manager: ContractManager, method: str, locked: dict[str, bool]) -> None:
    info = locker.do(method, "a key", note="back at noon")["lock_info"]
    assert (info["note"], {name: info[name] for name in locked}) == ("back at noon", locked)
    assert manager.status()["lock"] == locked
    assert locker.do("lock_info", "a key", reload=True)["lock_info"] == info
    with pytest.raises(REManagerAPI.RequestFailedError, match="Invalid lock key"):
        locker.do("unlock", "another key")
    assert locker.do("unlock", "a key")["lock_info"]["time"] is None


def test_a_locked_manager_obeys_a_client_with_the_key(locker: Client, manager: ContractManager) -> None:
    locker.do("lock", "a key", environment=True, queue=True, user="Maria")
    with pytest.raises(REManagerAPI.RequestFailedError, match="Invalid lock key"):
        locker.do("item_add", BPlan("null"))
    locker.api.lock_key = "a key"
    locker.api.enable_locked_api = True
    assert locker.do("item_add", BPlan("null"))["success"]
    assert locker.do("queue_start")["success"]
    locker.do("wait_for_idle", timeout=30)
    assert len(manager.history) == 1
    assert locker.do("unlock", EMERGENCY_KEY)["success"]


def test_the_default_key_of_a_client(locker: Client) -> None:
    locker.api.set_default_lock_key("my own key")
    key = locker.api.get_default_lock_key()
    assert key == "my own key"
    locker.do("lock_queue", key)
    assert locker.do("lock_info", reload=True)["lock_info"]["queue"] is True
    assert locker.do("unlock", key)["success"]


def test_a_user_with_the_name_of_the_login(locker: Client, manager: ContractManager) -> None:
    locker.api.set_user_name_to_login_name()
    locker.do("item_add", BPlan("null"))
    assert [item["user"] for item in manager.queue] == [locker.api.user]
