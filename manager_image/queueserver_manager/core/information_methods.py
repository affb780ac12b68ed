"""Handlers of the methods that tell: lists, permissions, configuration, history, runs (zmq-api 5.1, 5.2, 5.6, 5.8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from queueserver_common.encoded import Encoded
from queueserver_manager.core.decision import ConsoleQuery, Decision, Reply, success
from queueserver_manager.core.history import history_query
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.writes import TrimHistory

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

LARGEST_CONSOLE_PAGE = 10_000

RUN_OPTIONS = ("active", "open", "closed")


def config_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Connection of the IPython kernel; empty with a plain Python worker."""
    state = core.state
    text = state.snapshot.kernel_connection if state.environment_exists and state.snapshot is not None else b""
    return success(config={"ip_connect_info": json.loads(text or b"{}")})


def plans_allowed(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Plans that a group may submit."""
    return _allowed(core, params, "plans")


def devices_allowed(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Devices that a group may use."""
    return _allowed(core, params, "devices")


def _allowed(core: Core, params: Params, kind: str) -> Reply:
    group = params["user_group"]
    if not core.may_submit(group):
        raise Refusal(f"Unknown user group: '{group}'", code=Code.UNKNOWN_USER_GROUP)
    uid = f"{kind}_allowed_uid"
    return success(**{f"{kind}_allowed": Encoded(core.lists.allowed_text(kind, group)), uid: core.state.uids[uid]})


def plans_existing(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """All plans of the environment."""
    return success(
        plans_existing=Encoded(core.lists.plans_text), plans_existing_uid=core.state.uids["plans_existing_uid"]
    )


def devices_existing(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """All devices of the environment."""
    return success(
        devices_existing=Encoded(core.lists.devices_text), devices_existing_uid=core.state.uids["devices_existing_uid"]
    )


def permissions_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """The user group permissions in force."""
    permissions = core.lists.permissions
    return success(user_group_permissions={} if permissions is None else permissions.as_mapping())


def history_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """The history; its content is read from the store, which never holds up other requests."""
    d.reads = history_query(core, params)
    return success(items=[], plan_history_uid=core.state.uids["plan_history_uid"])


def check_history_clear(params: Params) -> None:
    """Types and exclusion of `size` and `item_uid`."""
    size, uid = params.get("size"), params.get("item_uid")
    if size is not None and uid is not None:
        raise Refusal("Parameters 'size' and 'item_uid' are mutually exclusive.")
    if size is not None and type(size) is not int:
        raise Refusal(f"The 'size' parameter must be an integer: size={size!r}")
    if uid is not None and not isinstance(uid, str):
        raise Refusal(f"The 'item_uid' parameter must be a string: item_uid={uid!r}")


def history_clear(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Drop all, all but the newest `size`, or an item and everything older."""
    check_history_clear(params)
    state, size, uid = core.state, params.get("size"), params.get("item_uid")
    if uid is not None:
        number = core.history_numbers.get(uid)
        first = state.history_first if number is None else number + 1
    else:
        first = state.history_next - max(0, size or 0)
    if first > state.history_first:
        state.history_first = first
        d.write(TrimHistory(first))
        core.renew("plan_history_uid")
    return success()


def console_get(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """What is kept of the console, for those who missed it."""
    limit, after = params.get("limit", 1000), params.get("after")
    if limit is None or not 0 < limit <= LARGEST_CONSOLE_PAGE:
        raise Refusal(f"Parameter 'limit' must be from 1 to {LARGEST_CONSOLE_PAGE}: limit={limit}")
    d.reads = ConsoleQuery(limit, after)
    return success()


def re_runs(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Runs of the item in hand."""
    option = params.get("option", "active")
    if option not in RUN_OPTIONS:
        raise Refusal(f"Option '{option}' is not supported. Available options: {RUN_OPTIONS}")
    runs = [
        {"uid": run.uid, "scan_id": run.scan_id, "is_open": run.is_open, "exit_status": run.exit_status}
        for run in core.state.runs
        if option == "active" or run.is_open == (option == "open")
    ]
    return success(run_list=runs, run_list_uid=core.state.uids["run_list_uid"])
