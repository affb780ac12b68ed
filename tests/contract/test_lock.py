"""Who may do what while the manager is locked (zmq-api 2.1 and 5.9)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis

from contract_manager import CALLER, EMERGENCY_KEY, QUICK, ContractClient, ContractManager
from contract_methods import ENVIRONMENT_LOCK, ERROR, QUEUE_LOCK, SUPPORTED

KEY = "90g94"
HOLDER = {"user": "Maria", "lock_key": KEY}
UNLOCKED = {
    "environment": False,
    "queue": False,
    "user": None,
    "time": None,
    "time_str": "",
    "note": None,
    "emergency_lock_key_is_set": True,
}
NO_INFO = {"lock_info": {}, "lock_info_uid": None}


def lock(manager: ContractClient, **params: Any) -> dict[str, Any]:
    reply = manager.accepted("lock", HOLDER | params)
    assert reply["lock_info_uid"] == manager.status()["lock_info_uid"]
    info: dict[str, Any] = reply["lock_info"]
    return info


def description(info: dict[str, Any]) -> str:
    return (
        f"RE Manager is locked by {info['user']} at {info['time_str']}\n"
        f"Environment is locked: {info['environment']}\n"
        f"Queue is locked:       {info['queue']}\n"
        f"Emergency lock key:    {'set' if info['emergency_lock_key_is_set'] else 'not set'}\n"
        f"Note: {info['note'] or '---'}"
    )


def invalid_key(info: dict[str, Any]) -> str:
    return f"Invalid lock key: \n{description(info)}"


@pytest.mark.row("zmq-api", "lock")
@pytest.mark.parametrize("scope", [{"environment": True}, {"queue": True}, {"environment": True, "queue": True}])
def test_lock_tells_who_locked_what_and_when(closed_manager: ContractManager, scope: dict[str, bool]) -> None:
    info = lock(closed_manager, **scope, note="Changing the sample")
    assert info == {
        "environment": scope.get("environment", False),
        "queue": scope.get("queue", False),
        "user": "Maria",
        "time": info["time"],
        "time_str": datetime.fromtimestamp(info["time"]).strftime("%m/%d/%Y %H:%M:%S"),
        "note": "Changing the sample",
        "emergency_lock_key_is_set": True,
    }
    assert abs(info["time"] - datetime.now().timestamp()) < 60
    status = closed_manager.status()
    assert status["lock"] == {"environment": info["environment"], "queue": info["queue"]}
    assert closed_manager.accepted("lock_info") == {
        "success": True,
        "msg": "",
        "lock_info": info,
        "lock_info_uid": status["lock_info_uid"],
    }


@pytest.mark.row("zmq-api", "lock: refusals")
@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "User name is not specified: 'user' is a required parameter"),
        ({"lock_key": 5}, "User name is not specified: 'user' is a required parameter"),
        ({"user": 5, "lock_key": 5}, "User name must be a non-empty string: user = 5"),
        ({"user": "", "lock_key": KEY}, "User name must be a non-empty string: user = ''"),
        ({"user": None}, "User name must be a non-empty string: user = None"),
        ({"user": "a", "note": 5}, "Lock key is not specified: 'lock_key' is a required parameter"),
        ({"user": "a", "lock_key": 5, "note": 5}, "Lock key must be a non-empty string: lock_key = 5"),
        ({"user": "a", "lock_key": ""}, "Lock key must be a non-empty string: lock_key = ''"),
        ({"user": "a", "lock_key": None}, "Lock key must be a non-empty string: lock_key = None"),
        ({"user": "a", "lock_key": KEY, "note": 5}, "Note must be a string or None: note = 5"),  # ours: formatted
        (
            {"user": "a", "lock_key": KEY},
            "Invalid option: environment and/or queue must be selected: environment=False queue=False",
        ),
        (
            {"user": "a", "lock_key": KEY, "environment": 5},
            "Parameter 'environment' must be boolean: type(environment) = <class 'int'>",
        ),  # ours: checked
    ],
)
def test_lock_refuses(closed_manager: ContractManager, params: dict[str, Any], text: str) -> None:
    before = closed_manager.status()["lock_info_uid"]
    assert closed_manager.call("lock", params) == {"success": False, "msg": f"Error: {text}", **NO_INFO}
    assert closed_manager.status()["lock_info_uid"] == before


@pytest.mark.method("lock")
@pytest.mark.row("zmq-api", "lock: the same key again")
def test_the_holder_of_the_key_may_lock_again_and_replaces_everything(closed_manager: ContractClient) -> None:
    first = lock(closed_manager, environment=True, note="first")
    uid = closed_manager.status()["lock_info_uid"]
    second = lock(closed_manager, queue=True, user="Ben")
    assert (second["environment"], second["queue"], second["user"], second["note"]) == (False, True, "Ben", None)
    assert second["time"] > first["time"]
    assert closed_manager.status()["lock_info_uid"] != uid


@pytest.mark.row("zmq-api", "lock: another key")
@pytest.mark.parametrize("key", ["another key", EMERGENCY_KEY])
def test_nobody_else_may_lock_again(closed_manager: ContractManager, key: str) -> None:
    info = lock(closed_manager, environment=True)
    before = closed_manager.status()
    reply = closed_manager.call("lock", user="Ben", lock_key=key, queue=True)
    text = f"Error: RE Manager was locked with a different key: \n{description(info)}"
    assert reply == {"success": False, "msg": text, **NO_INFO}
    after = closed_manager.status()
    assert (after["lock"], after["lock_info_uid"]) == (before["lock"], before["lock_info_uid"])


@pytest.mark.method("lock_info")
@pytest.mark.row("zmq-api", "lock_info")
def test_lock_info_checks_a_key(closed_manager: ContractClient) -> None:
    info = lock(closed_manager, environment=True)
    shown = {"lock_info": info, "lock_info_uid": closed_manager.status()["lock_info_uid"]}
    assert closed_manager.call("lock_info", lock_key=KEY) == {"success": True, "msg": "", **shown}
    for key in ("another key", "", EMERGENCY_KEY):
        refused = {"success": False, "msg": f"Error: {invalid_key(info)}", **shown}
        assert closed_manager.call("lock_info", lock_key=key) == refused
    text = "Error: Lock key must be a non-empty string or None: lock_key = 5"
    assert closed_manager.call("lock_info", lock_key=5) == {"success": False, "msg": text, **shown}


def test_lock_info_accepts_any_key_while_nothing_is_locked(closed_manager: ContractManager) -> None:
    for key in (None, "", "any key"):
        assert closed_manager.accepted("lock_info", lock_key=key)["lock_info"] == UNLOCKED


@pytest.mark.method("unlock")
@pytest.mark.row("zmq-api", "unlock, emergency key")
@pytest.mark.parametrize("key", [KEY, EMERGENCY_KEY], ids=["lock key", "emergency key"])
def test_unlock(closed_manager: ContractClient, key: str) -> None:
    lock(closed_manager, environment=True, queue=True)
    uid = closed_manager.status()["lock_info_uid"]
    reply = closed_manager.accepted("unlock", lock_key=key)
    assert reply["lock_info"] == UNLOCKED
    status = closed_manager.status()
    assert status["lock"] == {"environment": False, "queue": False}
    assert reply["lock_info_uid"] == status["lock_info_uid"] != uid


@pytest.mark.row("zmq-api", "lock_info_uid")
def test_unlocking_what_is_not_locked_changes_nothing(closed_manager: ContractManager) -> None:
    uid = closed_manager.status()["lock_info_uid"]
    assert closed_manager.accepted("unlock", lock_key="any key") == {
        "success": True,
        "msg": "",
        "lock_info": UNLOCKED,
        "lock_info_uid": uid,
    }


@pytest.mark.row("zmq-api", "unlock: refusals")
def test_unlock_refuses(closed_manager: ContractManager) -> None:
    info = lock(closed_manager, queue=True)
    uid = closed_manager.status()["lock_info_uid"]
    for params, text in (
        ({}, "Request contains no lock key: 'lock_key' parameter is required"),
        ({"lock_key": 5}, "Lock key must be a non-empty string: lock_key = 5"),
        ({"lock_key": ""}, "Lock key must be a non-empty string: lock_key = ''"),
        ({"lock_key": None}, "Lock key must be a non-empty string: lock_key = None"),
    ):
        assert closed_manager.call("unlock", params) == {"success": False, "msg": f"Error: {text}", **NO_INFO}
    assert closed_manager.call("unlock", lock_key="another key") == {
        "success": False,
        "msg": f"Error: {invalid_key(info)}",
        "lock_info": info,
        "lock_info_uid": uid,
    }
    assert closed_manager.status()["lock"] == {"environment": False, "queue": True}


@pytest.mark.row("zmq-api", "which lock guards which method")
@pytest.mark.parametrize("method", [name for name in SUPPORTED if name not in ("lock", "lock_info", "unlock")])
@pytest.mark.parametrize("scope", ["queue", "environment"])
def test_a_lock_guards_its_methods_and_no_others(closed_manager: ContractManager, method: str, scope: str) -> None:
    guarded = method in (QUEUE_LOCK if scope == "queue" else ENVIRONMENT_LOCK)
    prefix, supported, failure = SUPPORTED[method]
    if not guarded and method in ("environment_open", "manager_stop", "manager_kill"):
        return  # they would be carried out: `test_what_is_not_guarded_is_carried_out_without_the_key`
    info = lock(closed_manager, **{scope: True})
    for key in ({}, {"lock_key": None}, {"lock_key": ""}, {"lock_key": "another"}, {"lock_key": EMERGENCY_KEY}):
        if not guarded:
            if "lock_key" not in supported:
                key = {}
            assert "Invalid lock key" not in closed_manager.call(method, key)["msg"]
            continue
        text = f"{prefix}{invalid_key(info)}"
        assert closed_manager.call(method, key) == {"success": False, "msg": text, **failure}
    if guarded and method != "environment_open":
        assert "Invalid lock key" not in closed_manager.call(method, lock_key=KEY)["msg"]


@pytest.mark.row("zmq-api", "order of checks")
def test_the_key_is_checked_after_the_names_of_parameters_and_before_anything_else(
    closed_manager: ContractManager,
) -> None:
    lock(closed_manager, queue=True, environment=True)
    assert "unsupported parameters: 'x'" in closed_manager.call("queue_item_add", x=1, lock_key=5)["msg"]
    assert "Lock key must be a non-empty string or None" in closed_manager.call("queue_item_add", lock_key=5)["msg"]
    assert "Invalid lock key" in closed_manager.call("queue_item_add", item=5)["msg"]
    assert "request contains no item info" in closed_manager.call("queue_item_add", lock_key=KEY)["msg"]
    assert "Invalid lock key" in closed_manager.call("queue_start")["msg"]
    assert closed_manager.call("queue_start", lock_key=KEY)["msg"] == "RE Worker environment does not exist."


@pytest.mark.row("zmq-api", "what no lock guards")
def test_what_is_not_guarded_is_carried_out_without_the_key(manager: ContractManager) -> None:
    lock(manager, environment=True)
    manager.accepted("queue_item_add", item=QUICK, **CALLER)
    manager.accepted("queue_clear")
    lock(manager, queue=True)
    manager.accepted("environment_close")
    manager.wait_status(lambda s: s["manager_state"] == "idle" and not s["worker_environment_exists"])
    manager.open_environment()
    manager.accepted("queue_start")


def test_a_locked_queue_runs_on(manager: ContractManager) -> None:
    manager.fill(2)
    held = manager.start_holding()
    lock(manager, queue=True, environment=True)
    held.end()
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed"] * 3


@pytest.mark.row("zmq-api", "the lock survives a restart")
def test_lock_and_uid_survive_a_restart_and_only_a_hash_of_the_key_is_stored(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager(environment={"QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": EMERGENCY_KEY})
    key = "a-key-that-nobody-stores"
    manager.accepted("lock", user="Maria", lock_key=key, queue=True, note="over night")
    shown = manager.accepted("lock_info")
    (socket,) = manager.runtime_dir.rglob("redis-*.sock")
    with redis.Redis(unix_socket_path=str(socket)) as store:
        for name in store.keys("*"):
            stored = store.dump(name)
            assert key.encode() not in stored
            assert EMERGENCY_KEY.encode() not in stored
        fields = store.hgetall("qs_default:v1:fields")
    assert re.search(rb'"key_hash":"[0-9a-f]{64}"', fields[b"lock"])
    manager.stop()
    manager.start()
    assert manager.accepted("lock_info") == shown
    assert "Invalid lock key" in manager.call("queue_clear", lock_key="another")["msg"]
    manager.accepted("queue_clear", lock_key=key)
    reply = manager.accepted("unlock", lock_key=EMERGENCY_KEY)
    manager.stop()
    manager.start()
    assert manager.status()["lock_info_uid"] == reply["lock_info_uid"]
    assert manager.status()["lock"] == {"environment": False, "queue": False}
    assert ERROR + "Request contains no lock key" in manager.call("unlock")["msg"]
    manager.stop()


@pytest.mark.row("cli", "emergency lock key")
def test_without_an_emergency_key_only_the_lock_key_unlocks(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    info = manager.accepted("lock", user="Maria", lock_key=KEY, queue=True)["lock_info"]
    assert info["emergency_lock_key_is_set"] is False
    for key in ("another", EMERGENCY_KEY):
        assert manager.call("unlock", lock_key=key)["msg"] == f"Error: {invalid_key(info)}"
    manager.accepted("unlock", lock_key=KEY)
    manager.stop()
