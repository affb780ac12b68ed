"""What every method checks before its own parameters, in which order, and with which words (zmq-api 2)."""

from __future__ import annotations

import pytest

from codes_of_refusals import without_codes
from contract_manager import CALLER, QUICK, ContractManager
from contract_methods import ENVIRONMENT_LOCK, QUEUE_LOCK, SUPPORTED
from queueserver_manager.core.methods import METHODS, Guard


def test_no_method_is_left_out_of_these_rules_and_of_the_random_requests() -> None:
    assert SUPPORTED.keys() == METHODS.keys()
    for guarded, guard in ((QUEUE_LOCK, Guard.QUEUE), (ENVIRONMENT_LOCK, Guard.ENVIRONMENT)):
        assert sorted(guarded) == sorted(name for name, method in METHODS.items() if method.lock is guard)


@pytest.mark.row("zmq-api", "unsupported parameters, prefixes of messages", "names of parameters of every method")
@pytest.mark.parametrize("method", SUPPORTED)
def test_an_unsupported_parameter_is_refused_before_anything_else(closed_manager: ContractManager, method: str) -> None:
    prefix, supported, failure = SUPPORTED[method]
    text = f"{prefix}API request contains unsupported parameters"
    reply = closed_manager.call(method, unsupported_param=1, lock_key=5) if "lock_key" in supported else None
    assert reply is None or "unsupported parameters: 'unsupported_param'" in reply["msg"]
    assert closed_manager.call(method, unsupported_param=1) == {
        "success": False,
        "msg": f"{text}: 'unsupported_param'. Supported parameters: {supported}",
        **failure,
    }
    assert closed_manager.call(method, a=1, b=2) == {
        "success": False,
        "msg": f"{text}: ['a', 'b']. Supported parameters: {supported}",
        **failure,
    }


@pytest.mark.row("zmq-api", "ping and status check nothing and have no success")
@pytest.mark.parametrize("method", ["ping", "status"])
def test_ping_and_status_check_nothing(closed_manager: ContractManager, method: str) -> None:
    reply = closed_manager.call(method, unsupported_param=1, lock_key=5)
    assert "success" not in reply
    assert reply["msg"].startswith("RE Manager v")
    frame = closed_manager.raw(closed_manager.encode({"method": method, "params": None}))
    assert frame is not None
    assert closed_manager.decode(frame).keys() == reply.keys()


@pytest.mark.row("zmq-api", "type of lock_key")
@pytest.mark.parametrize("method", [*QUEUE_LOCK, *ENVIRONMENT_LOCK])
def test_a_lock_key_of_a_wrong_type_is_refused_before_other_parameters(
    closed_manager: ContractManager, method: str
) -> None:
    prefix, _, failure = SUPPORTED[method]
    for key in (5, True, ["a"], {"a": 1}, 1.5):
        assert closed_manager.call(method, lock_key=key) == {
            "success": False,
            "msg": f"{prefix}Lock key must be a non-empty string or None: lock_key = {key!r}",
            **failure,
        }


@pytest.mark.row("zmq-api", "lock_key is ignored while unlocked")
@pytest.mark.parametrize("key", [None, "", "some key"])
def test_a_lock_key_is_accepted_and_ignored_while_nothing_is_locked(
    closed_manager: ContractManager, key: object
) -> None:
    assert closed_manager.accepted("queue_clear", lock_key=key) == {"success": True, "msg": ""}
    closed_manager.accepted("queue_item_add", item=QUICK, lock_key=key, **CALLER)
    assert closed_manager.call("queue_start", lock_key=key)["msg"] == "RE Worker environment does not exist."


@pytest.mark.row("zmq-api", "params null")
@pytest.mark.parametrize("method", SUPPORTED)
def test_params_that_are_no_mapping_are_refused(closed_manager: ContractManager, method: str) -> None:
    prefix, _, failure = SUPPORTED[method]
    frame = closed_manager.raw(closed_manager.encode({"method": method, "params": None}))
    reply = without_codes(closed_manager.decode(frame or b""))
    assert reply == {"success": False, "msg": f"{prefix}'NoneType' object is not iterable", **failure}
    for params in (5, "text", [1], True):
        frame = closed_manager.raw(closed_manager.encode({"method": method, "params": params}))
        reply = closed_manager.decode(frame or b"")
        assert reply["success"] is False
        assert reply["msg"].startswith(prefix)


@pytest.mark.row("zmq-api", "unknown method")
@pytest.mark.parametrize("method", ["no_such_method", "", "Status", "_handlers"])
def test_an_unknown_method_is_named(closed_manager: ContractManager, method: str) -> None:
    assert closed_manager.call(method) == {"success": False, "msg": f"Unknown method '{method}'"}
