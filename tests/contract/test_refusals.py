"""Texts and failure values of refused requests, word by word (zmq-api 2, 5 and 6).

Where the published manager shows its internals, fails to check a type, or answers by accident, ours says what is wrong
(zmq-api 8); these rows are marked `ours`.
"""

from __future__ import annotations

from typing import Any

import pytest

from contract_manager import CALLER, STOP_INSTRUCTION, UID, ContractManager, plan
from contract_methods import (
    ADD,
    ERROR,
    EXECUTE,
    GET,
    MODE,
    MOVE,
    MOVE_BATCH,
    REMOVE,
    REMOVE_BATCH,
    UPDATE,
)

NEW_UID = "<a new uid>"

# Each row is asked of a manager without an environment that has two items in its queue.

BAD_TYPE = "Incorrect request format: incorrect type ('{}') of item parameter: item parameter must have type 'dict'"
UNKNOWN_PLAN: dict[str, Any] = {"item_type": "plan", "name": "count_test"}
COUNT = plan("count", ["det"])
NO_PLAN = "Plan validation failed: Plan 'count_test' is not in the list of allowed plans.\nPlan: {}"


def _plan_text(text: str, item: dict[str, Any]) -> str:
    return f"Plan validation failed: {text}\nPlan: {item}"


Row = tuple[dict[str, Any], str, dict[str, Any]]
"""Parameters, text without prefix, other values of the reply."""


def _item(item: object, text: str, **caller: Any) -> Row:
    """A refusal because of the item; it is returned as it was submitted."""
    shown = item if isinstance(item, dict) else None
    return {"item": item, **(caller or CALLER)}, text, {"qsize": None, "item": shown}


ITEM_ROWS: list[Row] = [
    ({}, "Incorrect request format: request contains no item info", {"qsize": None, "item": None}),
    ({**CALLER}, "Incorrect request format: request contains no item info", {"qsize": None, "item": None}),
    _item(5, BAD_TYPE.format(int)),  # ours
    _item("text", BAD_TYPE.format(str)),  # ours
    _item([], BAD_TYPE.format(list)),  # ours
    _item(None, BAD_TYPE.format(type(None))),  # ours
    _item({}, "Incorrect request format: 'item_type' key is not found"),
    _item({"name": "count"}, "Incorrect request format: 'item_type' key is not found"),
    *[
        _item(
            {"item_type": kind, "name": "function_sleep"},
            f"Incorrect request format: unsupported 'item_type' value: {kind!r}, "
            "supported item types ('plan', 'instruction')",
        )
        for kind in ("unsupported", "function", 5, None)
    ],
    _item({"item_type": "plan"}, "Incorrect request format: user group is not specified", user="Tester"),
    _item({"item_type": "plan"}, "Incorrect request format: user name is not specified", user_group="primary"),
    _item(COUNT, "Unknown user group: 'no_such_group'", user="Tester", user_group="no_such_group"),
    _item(COUNT, "Unknown user group: '5'", user="Tester", user_group=5),
    _item(COUNT, "Unknown user group: 'None'", user="Tester", user_group=None),
    _item(COUNT, "Incorrect request format: user name must be a string: user=5", user=5, user_group="primary"),  # ours
    _item({"item_type": "plan"}, _plan_text("Plan name is not specified", {"item_type": "plan"})),  # ours
    _item(UNKNOWN_PLAN, NO_PLAN.format(UNKNOWN_PLAN)),
    _item(
        UNKNOWN_PLAN | {"name": 5},
        f"Plan validation failed: Plan '5' is not in the list of allowed plans.\nPlan: {UNKNOWN_PLAN | {'name': 5}}",
    ),
    _item(STOP_INSTRUCTION | {"name": "nn"}, f"Unrecognized instruction: {STOP_INSTRUCTION | {'name': 'nn'}}"),
    _item({"item_type": "instruction"}, "Unrecognized instruction: {'item_type': 'instruction'}"),
    _item(
        COUNT | {"kwargs": {"abc": 1}},
        _plan_text("got an unexpected keyword argument 'abc'", COUNT | {"kwargs": {"abc": 1}}),
    ),
    _item(COUNT | {"args": []}, _plan_text("missing a required argument: 'detectors'", COUNT | {"args": []})),
    _item(
        COUNT | {"args": 5}, _plan_text("Plan parameter 'args' must be a list, not <class 'int'>", COUNT | {"args": 5})
    ),  # ours
    _item(
        COUNT | {"kwargs": 5},
        _plan_text("Plan parameter 'kwargs' must be a dictionary, not <class 'int'>", COUNT | {"kwargs": 5}),
    ),  # ours
    _item(
        COUNT | {"meta": 5},
        _plan_text("Plan parameter 'meta' must be a dictionary or a list of dictionaries", COUNT | {"meta": 5}),
    ),
]

QUEUED = COUNT | CALLER | {"item_uid": NEW_UID}

PLACE_REFUSALS: list[tuple[dict[str, Any], str]] = [
    *[
        ({"pos": pos}, f"Parameter 'pos' has incorrect value: pos='{pos}' (type={type(pos)})")
        for pos in ("some", "Front", "0", 1.5, 0.0, [], {})
    ],
    ({"pos": True}, "Parameter 'pos' has incorrect value: pos='True' (type=<class 'bool'>)"),  # ours
    ({"pos": False}, "Parameter 'pos' has incorrect value: pos='False' (type=<class 'bool'>)"),  # ours
    ({"pos": 1, "before_uid": "a"}, "Ambiguous parameters: plan position and UID is specified"),
    ({"pos": 1, "after_uid": "a"}, "Ambiguous parameters: plan position and UID is specified"),
    (
        {"before_uid": "a", "after_uid": "b"},
        "Ambiguous parameters: request to insert the plan before and after the reference plan",
    ),
    ({"before_uid": "a"}, "Plan with UID 'a' is not in the queue."),
    ({"after_uid": "a"}, "Plan with UID 'a' is not in the queue."),
    ({"after_uid": 5}, "Plan with UID '5' is not in the queue."),
]

NO_FLAG = "must be boolean: type({}) = <class 'int'>"
NOT_FOUND = "Item with UID '{}' is not in the queue."
WRONG_POS = "Parameter 'pos' has incorrect {}: pos={} (type={})"


def _out_of_range(pos: int, **found: Any) -> str:
    return f"Index '{pos}' is out of range (parameter pos = '{pos}')"


GET_ROWS: list[Row] = [
    (params, text, {"item": {}})
    for params, text in [
        ({"pos": 50}, _out_of_range(50)),
        ({"pos": -3}, _out_of_range(-3)),
        ({"pos": "x"}, WRONG_POS.format("type", "x", str)),
        ({"pos": 1.0}, WRONG_POS.format("type", "1.0", float)),
        ({"pos": True}, WRONG_POS.format("type", "True", bool)),  # ours
        ({"uid": "zz"}, NOT_FOUND.format("zz")),
        ({"uid": 5}, NOT_FOUND.format("5")),
        ({"pos": 1, "uid": "a"}, "Ambiguous parameters: plan position and UID is specified"),
    ]
]

REMOVE_ROWS: list[Row] = [
    (params, text, {"item": {}, "qsize": None})
    for params, text in [
        ({"pos": 50}, _out_of_range(50)),
        ({"pos": "x"}, WRONG_POS.format("value", "x", str)),
        ({"pos": False}, WRONG_POS.format("value", "False", bool)),  # ours
        ({"uid": "zz"}, "Plan with UID 'zz' is not in the queue."),
        ({"uid": 5}, "Plan with UID '5' is not in the queue."),
        ({"pos": 1, "uid": "a"}, "Ambiguous parameters: plan position and UID is specified"),
    ]
]

NO_UIDS = "Request does not contain the list of UIDs"
NO_LIST = "Parameter 'uids' must be a list: type(uids) = <class '{}'>"
MISSING = "The queue does not contain items with the following UIDs: {}"

REMOVE_BATCH_ROWS: list[Row] = [
    (params, text, {"items": [], "qsize": None})
    for params, text in [
        ({}, NO_UIDS),
        ({"uids": 5}, NO_LIST.format("int")),
        ({"uids": "abc"}, NO_LIST.format("str")),
        ({"uids": None}, NO_LIST.format("NoneType")),
        ({"uids": ["a", "a"], "ignore_missing": False}, "The list of contains repeated UIDs (1 UIDs)"),
        ({"uids": ["a", "a", "a", "b", "b"], "ignore_missing": False}, "The list of contains repeated UIDs (3 UIDs)"),
        ({"uids": ["a", "b"], "ignore_missing": False}, MISSING.format(["a", "b"])),
        ({"uids": [5], "ignore_missing": False}, MISSING.format([5])),
        (
            {"uids": ["a"], "ignore_missing": 5},
            "Parameter 'ignore_missing' " + NO_FLAG.format("ignore_missing"),
        ),  # ours
    ]
]

BOTH = "Ambiguous parameters: Both position and uid is specified for the {} plan."
SOURCE, DESTINATION = "Source plan ({}) was not found: {}.", "Destination plan ({}) was not found: {}."
NO_SOURCE, NO_DESTINATION = (f"{role} position or UID is not specified." for role in ("Source", "Destination"))

MOVE_ROWS: list[Row] = [
    (params, text, {"item": {}, "qsize": None})
    for params, text in [
        ({}, NO_SOURCE),
        ({"pos_dest": 0}, NO_SOURCE),
        ({"pos": 0}, NO_DESTINATION),
        ({"uid": "x"}, NO_DESTINATION),
        ({"pos": 0, "uid": "a", "pos_dest": 1}, BOTH.format("source")),
        ({"pos": 0, "pos_dest": 1, "before_uid": "a"}, BOTH.format("destination")),
        (
            {"pos": 0, "before_uid": "a", "after_uid": "b"},
            "Ambiguous parameters: source should be moved 'before' and 'after' the destination.",
        ),
        ({"pos": 50, "pos_dest": 1}, SOURCE.format("position 50", _out_of_range(50))),
        ({"pos": "x", "pos_dest": 0}, SOURCE.format("position x", WRONG_POS.format("type", "x", str))),
        ({"uid": "x", "pos_dest": 1}, SOURCE.format("UID 'x'", NOT_FOUND.format("x"))),
        ({"uid": 5, "pos_dest": 0}, SOURCE.format("UID '5'", NOT_FOUND.format("5"))),
        ({"pos": 0, "pos_dest": 50}, DESTINATION.format("position 50", _out_of_range(50))),
        ({"pos": 0, "pos_dest": "x"}, DESTINATION.format("position x", WRONG_POS.format("type", "x", str))),
        ({"pos": 0, "before_uid": "x"}, DESTINATION.format("UID 'x'", NOT_FOUND.format("x"))),
        ({"pos": 0, "after_uid": "x"}, DESTINATION.format("UID 'x'", NOT_FOUND.format("x"))),
    ]
]

NO_BATCH_DESTINATION = (
    "Destination for the batch is not specified: use parameters 'pos_dest', 'before_uid' or 'after_uid'"
)
EXCLUSIVE = (
    "The function was called with more than one mutually exclusive parameter ('pos_dest', 'before_uid', 'after_uid')"
)

MOVE_BATCH_ROWS: list[Row] = [
    (params, text, {"items": [], "qsize": None})
    for params, text in [
        ({}, NO_UIDS),
        ({"uids": 5, "pos_dest": "front"}, NO_LIST.format("int")),
        ({"uids": ["a"]}, NO_BATCH_DESTINATION),
        ({"uids": ["a"], "pos_dest": "front", "before_uid": "c"}, EXCLUSIVE),
        ({"uids": ["a"], "before_uid": "b", "after_uid": "c"}, EXCLUSIVE),
        ({"uids": ["a", "a"], "pos_dest": "front"}, "The list of contains repeated UIDs (1 UIDs)"),
        ({"uids": ["a", "b"], "pos_dest": "front"}, MISSING.format(["a", "b"])),
        ({"uids": [], "pos_dest": 0, "reorder": 5}, "Parameter 'reorder' " + NO_FLAG.format("reorder")),  # ours
    ]
]

MODE_TYPE = (
    "Queue mode is passed using object of unsupported type '<class '{}'>': ({}). "
    "Supported types: ('dict', 'str'), supported string value: 'default'"
)
MODE_KEY = "Unsupported plan queue mode parameter 'k': supported parameters ['loop', 'ignore_failures']"

MODE_ROWS: list[Row] = [
    (params, text, {})
    for params, text in [
        ({}, "Parameter 'mode' is not found in request {}"),
        ({"mode": "x"}, MODE_TYPE.format("str", "x")),
        ({"mode": 5}, MODE_TYPE.format("int", "5")),
        ({"mode": None}, MODE_TYPE.format("NoneType", "None")),
        ({"mode": {"k": 1}}, MODE_KEY),
        ({"mode": {"loop": True, "k": True}}, MODE_KEY),
        (
            {"mode": {"loop": 1}},
            "Unsupported type '<class 'int'>' of the parameter 'loop': expected type '<class 'bool'>'",
        ),
        (
            {"mode": {"loop": True, "ignore_failures": None}},
            "Unsupported type '<class 'NoneType'>' of the parameter 'ignore_failures': expected type '<class 'bool'>'",
        ),
    ]
]

HISTORY_ROWS: list[Row] = [
    (params, text, {})
    for params, text in [
        ({"size": "ab"}, "The 'size' parameter must be an integer: size='ab'"),
        ({"size": 1.0}, "The 'size' parameter must be an integer: size=1.0"),
        ({"size": True}, "The 'size' parameter must be an integer: size=True"),  # ours
        ({"item_uid": 1.5}, "The 'item_uid' parameter must be a string: item_uid=1.5"),
        ({"size": 1, "item_uid": "a"}, "Parameters 'size' and 'item_uid' are mutually exclusive."),
    ]
]

RUN_OPTIONS = "Option 'x' is not supported. Available options: ('active', 'open', 'closed')"
LISTS: list[tuple[str, Row]] = [
    (method, (params, text, {method: {}, f"{method}_uid": None}))
    for method in ("plans_allowed", "devices_allowed")
    for params, text in [
        ({}, "Incorrect request format: user group is not specified"),
        ({"user_group": "x"}, "Unknown user group: 'x'"),
        ({"user_group": 5}, "Unknown user group: '5'"),
    ]
]

ROWS: list[tuple[str, str, Row]] = [
    *[("queue_item_add", ADD, row) for row in ITEM_ROWS],
    *[("queue_item_execute", EXECUTE, row) for row in ITEM_ROWS],
    *[
        ("queue_item_update", UPDATE, (params, text, {"qsize": 0, "item": shown["item"]}))
        for params, text, shown in ITEM_ROWS
    ],
    *[
        ("queue_item_add", ADD, ({"item": COUNT, **CALLER, **place}, text, {"qsize": None, "item": QUEUED}))
        for place, text in PLACE_REFUSALS
    ],
    (
        "queue_item_update",
        UPDATE,
        (
            {"item": COUNT, **CALLER},
            "Item description contains no UID and UID generation is skipped",
            {"qsize": 0, "item": COUNT},
        ),
    ),
    *[
        (
            "queue_item_update",
            UPDATE,
            (
                {"item": COUNT | {"item_uid": uid}, **CALLER},
                f"Failed to replace item: Item with UID '{uid}' is not in the queue",
                {"qsize": 0, "item": COUNT | CALLER | {"item_uid": uid}},
            ),
        )
        for uid in ("zz", 5, None, [])
    ],
    (
        "queue_item_update",
        UPDATE,
        (
            {"item": COUNT, "replace": True, **CALLER},
            "Failed to replace item: Item with UID 'None' is not in the queue",
            {"qsize": 0, "item": QUEUED},
        ),
    ),
    (
        "queue_item_update",
        UPDATE,
        (
            {"item": COUNT, "replace": 5, **CALLER},
            "Parameter 'replace' " + NO_FLAG.format("replace"),  # ours
            {"qsize": 0, "item": None},
        ),
    ),
    *[("queue_item_get", GET, row) for row in GET_ROWS],
    *[("queue_item_remove", REMOVE, row) for row in REMOVE_ROWS],
    *[("queue_item_remove_batch", REMOVE_BATCH, row) for row in REMOVE_BATCH_ROWS],
    *[("queue_item_move", MOVE, row) for row in MOVE_ROWS],
    *[("queue_item_move_batch", MOVE_BATCH, row) for row in MOVE_BATCH_ROWS],
    *[("queue_mode_set", MODE, row) for row in MODE_ROWS],
    *[("history_clear", ERROR, row) for row in HISTORY_ROWS],
    *[(method, "", row) for method, row in LISTS],
    (
        "queue_autostart",
        ERROR,
        ({}, "Required 'enable' parameter is missing in 'queue_autostart' API call.", {}),
    ),
    (
        "queue_autostart",
        ERROR,
        ({"enable": 5}, "Required 'enable' parameter must be boolean: type(enable)=<class 'int'>.", {}),
    ),
    ("re_runs", ERROR, ({"option": "x"}, RUN_OPTIONS, {"run_list": [], "run_list_uid": ""})),
    (
        "manager_stop",
        ERROR,
        ({"option": "x"}, "Option 'x' is not allowed. Allowed options: ('safe_off', 'safe_on')", {}),
    ),
    # Because of the state: without prefix.
    (
        "queue_item_execute",
        EXECUTE,
        ({"item": COUNT, **CALLER}, "RE Worker environment does not exist.", {"qsize": None, "item": QUEUED}),
    ),
    ("queue_start", "", ({}, "RE Worker environment does not exist.", {})),
    ("queue_stop", "", ({}, "Failed to pause the queue. Queue is not running. Manager state: MState.IDLE", {})),
    ("re_pause", "", ({}, "Environment does not exist. Can not pause Run Engine.", {})),
    ("re_pause", "", ({"option": "immediate"}, "Environment does not exist. Can not pause Run Engine.", {})),
    (
        "re_pause",
        "",
        ({"option": "x"}, "Option 'x' is not supported. Available options: ('deferred', 'immediate')", {}),
    ),
    *[
        (method, "", ({}, "RE Manager is not paused: current state is 'idle'", {}))
        for method in ("re_resume", "re_stop", "re_abort", "re_halt")
    ],
    ("environment_close", "", ({}, "RE Worker environment does not exist.", {})),
    ("environment_destroy", "", ({}, "RE environment does not exist", {})),
]


def _known_uid(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply with new uids replaced by a word, so that it can be compared."""
    item = reply.get("item")
    if isinstance(item, dict) and isinstance(uid := item.get("item_uid"), str) and UID.fullmatch(uid):
        return reply | {"item": item | {"item_uid": NEW_UID}}
    return reply


@pytest.mark.row("zmq-api", "user and user_group", "queue_item_add: texts of refusals", "history_clear: refusals")
@pytest.mark.parametrize(
    ("method", "prefix", "row"), ROWS, ids=[f"{method}-{number}" for number, (method, _, _) in enumerate(ROWS)]
)
def test_the_reply_to_a_refused_request(closed_manager: ContractManager, method: str, prefix: str, row: Row) -> None:
    params, text, failure = row
    uids, before = closed_manager.fill(2), closed_manager.status()
    reply = closed_manager.call(method, params)
    assert _known_uid(reply) == {"success": False, "msg": f"{prefix}{text}", **failure}
    assert closed_manager.queue_uids == uids
    after = closed_manager.status()
    for name in ("plan_queue_uid", "plan_history_uid", "plan_queue_mode", "manager_state", "queue_autostart_enabled"):
        assert after[name] == before[name]


@pytest.mark.row("zmq-api", "queue_item_get, queue_item_remove: empty queue")
def test_an_empty_queue_has_texts_of_its_own(closed_manager: ContractManager) -> None:
    for params, index in (({}, -1), ({"pos": "back"}, -1), ({"pos": "front"}, 0)):
        shown = params.get("pos", "back")
        reply = closed_manager.call("queue_item_get", params)
        assert reply["msg"] == f"{GET}Index '{index}' is out of range (parameter pos = '{shown}')"
    assert closed_manager.call("queue_item_remove")["msg"] == f"{REMOVE}Queue is empty"
