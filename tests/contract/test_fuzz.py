"""Random requests against a real manager: replies keep their form, refusals change nothing, the next request works.

`FUZZ_EXAMPLES` sets the number of examples per method and makes them differ from run to run.
"""

from __future__ import annotations

import json
import os
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract_manager import CALLER, COUNT, EMERGENCY_KEY, QUICK, STOP_INSTRUCTION, ContractManager, plan
from contract_methods import SUPPORTED
from queueserver_manager.core.refusal import Code

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)

INTERNALS = (
    "Traceback",
    "object has no attribute",
    "object is not subscriptable",
    "argument of type",
    "object of type",
    "unsupported operand",
    "positional argument",
    "KeyError",
    "TypeError",
    "ValueError",
    "AssertionError",
    "RecursionError",
    "UnicodeEncodeError",
    "surrogates not allowed",
    "Object of type",
    "NoneType: None",
    'File "',
    " at 0x",
    "queueserver_manager",
)
"""What no reply may show."""

# Values ---------------------------------------------------------------------------------------------------------

_text = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),  # control characters among them
    st.sampled_from(["\ud800", "a\udfff"]),  # no text: refused when the request is decoded
)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-6, 6),
    st.integers(),
    st.floats(),
    _text,
    st.sampled_from(["", "front", "back", "default", "plan", "primary", "queue_stop", "x" * 5000]),
    st.just(10**400),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_text, inner, max_size=4),
    max_leaves=12,
)
_items = st.one_of(
    st.sampled_from([QUICK, COUNT, STOP_INSTRUCTION, plan("no_such_plan"), plan("count", ["det"], num=2)]),
    st.fixed_dictionaries(
        {},
        optional={
            "item_type": st.sampled_from(["plan", "instruction", "function"]) | _values,
            "name": st.sampled_from(["count", "null", "scan", "move_then_count", "queue_stop"]) | _values,
            "args": st.just([["det"]]) | _values,
            "kwargs": st.just({"num": 1}) | _values,
            "meta": st.just({"a": 1}) | _values,
            "item_uid": _values,
            "properties": _values,
            "result": _values,
            "user": _values,
        },
    ),
    _values,
)


_rules = st.dictionaries(
    st.sampled_from([f"{verb}_{kind}" for verb in ("allowed", "forbidden") for kind in ("plans", "devices")]),
    st.lists(st.sampled_from([None, "count", ":^c", ":(", ":", "a.b", ":?.*:depth=2"]) | _text, max_size=3),
)


def _parameter(name: str, uids: list[str]) -> st.SearchStrategy[Any]:
    """Values of a parameter of which many come close to being right."""
    uid = st.sampled_from([*uids, "no such uid"])
    near = {
        "item": _items,
        "items": st.lists(_items, max_size=4),
        "uids": st.lists(uid | _scalars, max_size=5),
        "user": st.just("Tester"),
        "user_group": st.sampled_from(["primary", "root", "test_user", "nobody"]),
        "mode": st.dictionaries(st.sampled_from(["loop", "ignore_failures", "other"]), st.booleans() | _scalars),
        "option": st.sampled_from(["deferred", "immediate", "active", "open", "closed"]),
        "pos": st.integers(-6, 6) | st.sampled_from(["front", "back"]),
        "pos_dest": st.integers(-6, 6) | st.sampled_from(["front", "back"]),
        "lock_key": st.none() | st.sampled_from(["key", EMERGENCY_KEY]),
        "expect_queue_uid": st.none(),
        "idempotency_key": st.sampled_from(["one", "two"]),
        "after": st.integers(-2, 6),
        "size": st.integers(-6, 6),
        "offset": st.integers(-2, 6),
        "limit": st.integers(-2, 6),
        "plan": st.sampled_from(["null", "count"]),
        "exit_status": st.sampled_from(["completed", "failed", "other"]),
        "time_from": st.floats(),
        "time_to": st.floats(),
        "enable": st.just(False),
        "note": st.just("a note"),
        "test_name": st.just("reserve_kernel"),
        "user_group_permissions": st.fixed_dictionaries(
            {"user_groups": st.dictionaries(st.sampled_from(["root", "primary", "other"]), _rules | _values)}
        ),
    }
    return near.get(name, uid if name.endswith("uid") else st.booleans()) | _values


@st.composite
def _params(draw: st.DrawFn, method: str, uids: list[str]) -> Any:
    """Parameters of a request: some of the known ones, sometimes an unknown one, rarely something else."""
    if draw(st.integers(0, 30)) == 0:
        return draw(_values)
    known = SUPPORTED[method][1]
    names = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    params = {name: draw(_parameter(name, uids)) for name in names}
    if "item" in known or "items" in known:  # so that refusals come from behind the first check
        params = {**CALLER, **params} if draw(st.booleans()) else params
    if draw(st.integers(0, 10)) == 0:
        params[draw(_text)] = draw(_values)
    return params


# Checks ---------------------------------------------------------------------------------------------------------


def ask(manager: ContractManager, method: str, params: Any) -> Any:
    """The reply to a request that is sent as JSON with everything that JSON text can express."""
    frame = json.dumps({"method": method, "params": params}).encode()
    answer = manager.raw(frame)
    assert answer is not None, f"no reply to {frame!r}"
    answer.decode("utf-8")
    return json.loads(answer)


def check_form(method: str, params: Any, reply: Any) -> None:
    """`success` and `msg` in every reply, and in a refusal the failure values of the method, and nothing else."""
    assert isinstance(reply, dict)
    assert type(reply["success"]) is bool, reply
    assert isinstance(reply["msg"], str)
    if reply["success"]:
        assert reply["msg"] == ""
        return
    assert reply["msg"], "a refusal must say why"
    undecoded = reply["msg"].startswith("Failed to decode the request: the text contains an unpaired surrogate")
    assert reply["code"] in Code.__members__.values()
    assert set(reply) == {"success", "msg", "code"} | (set() if undecoded else set(SUPPORTED[method][2]))
    texts = [reply["msg"], *(result["msg"] for result in reply.get("results") or [])]
    sent = json.dumps(params)
    for text in texts:
        shown = [word for word in INTERNALS if word in text and word not in sent]
        assert not shown, f"{shown} in the reply to {method} {params!r}: {text}"


# Tests ----------------------------------------------------------------------------------------------------------

ENDS_THE_MANAGER = ("manager_stop", "manager_kill")
SLOW = ("environment_open",)


@pytest.mark.row("zmq-api", "any values for every parameter of every method")
@pytest.mark.parametrize("method", [name for name in SUPPORTED if name not in (*ENDS_THE_MANAGER, *SLOW)])
def test_any_parameters(closed_manager: ContractManager, method: str) -> None:
    manager = closed_manager
    uids = manager.fill(4)
    queue = manager.raw(manager.encode({"method": "queue_get"}))

    @fuzz
    @given(st.data())
    def check(data: st.DataObject) -> None:
        nonlocal uids, queue
        params = data.draw(_params(method, uids))
        reply = ask(manager, method, params)
        check_form(method, params, reply)
        after = manager.raw(manager.encode({"method": "queue_get"}))
        if not reply["success"]:
            assert after == queue, f"{method} was refused and changed the queue: {params!r}"
        elif method == "lock":
            manager.accepted("unlock", lock_key=EMERGENCY_KEY)
        elif after != queue:
            uids = manager.fill(4)
            queue = manager.raw(manager.encode({"method": "queue_get"}))

    check()
    manager.accepted("permissions_reload")


@pytest.mark.parametrize("method", [*ENDS_THE_MANAGER, *SLOW])
def test_any_wrong_parameters_of_methods_that_must_not_succeed_here(
    closed_manager: ContractManager, method: str
) -> None:
    @fuzz
    @given(_values, _text.filter(lambda name: name not in SUPPORTED[method][1]), _values)
    def check(value: Any, name: str, other: Any) -> None:
        params = {name: value} | ({"lock_key": other} if "lock_key" in SUPPORTED[method][1] else {})
        reply = ask(closed_manager, method, params)
        check_form(method, params, reply)
        assert reply["success"] is False

    check()
    assert closed_manager.status()["manager_state"] == "idle"


def test_any_value_as_a_request(closed_manager: ContractManager) -> None:
    @fuzz
    @given(_values | st.fixed_dictionaries({"method": _values}, optional={"params": _values, "other": _values}))
    def check(request: Any) -> None:
        answer = closed_manager.raw(json.dumps(request).encode())
        assert answer is not None
        reply = json.loads(answer)
        assert (reply["success"], type(reply["msg"])) == (False, str)
        assert not any(word in reply["msg"] and word not in json.dumps(request) for word in INTERNALS), reply["msg"]

    check()


def test_any_bytes_as_a_request(closed_manager: ContractManager) -> None:
    @fuzz
    @given(st.binary(max_size=200))
    def check(frame: bytes) -> None:
        answer = closed_manager.raw(frame)
        assert answer is not None
        reply = json.loads(answer)
        assert (reply["success"], type(reply["msg"])) == (False, str)

    check()


ACTIONS: list[tuple[str, dict[str, Any], int]] = [
    ("queue_item_add", {"item": QUICK, **CALLER}, 6),
    ("queue_item_add", {"item": plan("fail", "text"), **CALLER}, 1),
    ("queue_item_add", {"item": plan("count", ["det"], num=3, delay=0.002), **CALLER}, 3),
    ("queue_item_add", {"item": STOP_INSTRUCTION, **CALLER}, 1),
    ("queue_item_execute", {"item": QUICK, **CALLER}, 1),
    ("queue_item_remove", {}, 1),
    ("queue_item_move", {"pos": "front", "pos_dest": "back"}, 2),
    ("queue_mode_set", {"mode": {"loop": True}}, 1),
    ("queue_mode_set", {"mode": {"ignore_failures": True}}, 1),
    ("queue_mode_set", {"mode": "default"}, 2),
    ("queue_start", {}, 5),
    ("queue_stop", {}, 1),
    ("queue_stop_cancel", {}, 1),
    ("queue_autostart", {"enable": True}, 1),
    ("queue_autostart", {"enable": False}, 1),
    ("re_pause", {"option": "deferred"}, 4),
    ("re_pause", {"option": "immediate"}, 4),
    ("re_resume", {}, 4),
    ("re_stop", {}, 1),
    ("re_abort", {}, 1),
    ("re_halt", {}, 1),
    ("re_runs", {}, 1),
    ("history_get", {}, 1),
    ("history_clear", {"size": 20}, 1),
    ("queue_get", {}, 1),
]


@pytest.mark.parametrize("seed", range(6))
def test_random_requests_while_plans_run(manager: ContractManager, seed: int) -> None:
    chance = random.Random(seed)
    weights = [weight for _, _, weight in ACTIONS]
    for _ in range(250):
        method, params, _ = chance.choices(ACTIONS, weights)[0]
        reply = ask(manager, method, params)
        check_form(method, params, reply)
        status = manager.status()
        assert (status["running_item_uid"] is None) or status["manager_state"] != "idle"
        assert status["store"] == "connected"
    manager.accepted("queue_autostart", enable=False)
    manager.accepted("queue_mode_set", mode="default")
    manager.accepted("queue_clear")
    _end_what_runs(manager)
    manager.accepted("history_clear")
    manager.accepted("queue_clear")
    manager.add(COUNT)
    manager.start_queue()
    manager.wait_idle()
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed"]


def _end_what_runs(manager: ContractManager) -> None:
    """Wait for idle; a pause that was asked for may come at any moment before."""
    settled = ("idle", "paused")
    while manager.wait_status(lambda s: s["manager_state"] in settled)["manager_state"] == "paused":
        manager.accepted("re_abort")
