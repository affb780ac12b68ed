"""The control socket of version 0.0.1, on request: its methods and fields over today's (cli 4).

Today's methods are understood as well. Only positions of `queue_plan_add` mean something else than today: -1 is the
place before the last plan. Submitters are of one group, whatever group a request names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from queueserver_manager.api.control_socket import DEFAULT_MAX_FRAME, ControlSocket, Request
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.wire import Encoding, encode_reply

USER = "qserver-cli"
USER_GROUP = "primary"

_METHODS = {
    "queue_plan_add": "queue_item_add",
    "queue_plan_get": "queue_item_get",
    "queue_plan_remove": "queue_item_remove",
    "queue-clear": "queue_clear",
    "test_manager_kill": "manager_kill",
}
_SUBMIT = ("queue_item_add", "queue_item_add_batch", "queue_item_update", "queue_item_execute", "validate")
_LISTS = ("plans_allowed", "devices_allowed")


class LegacySocket:
    """Binds in the running loop and hands requests on as today's; raises `BindError`."""

    def __init__(
        self,
        address: str,
        on_request: Callable[[Request], None],
        *,
        max_frame: int = DEFAULT_MAX_FRAME,
        curve: CurveServerKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self._hand_on = on_request
        self._waiting: dict[int, Request] = {}
        """Requests as they came, by the identity of those that were made of them."""
        self._socket = ControlSocket(
            address, Encoding.JSON, self._on_request, max_frame=max_frame, curve=curve, context=context
        )
        self.addresses = self._socket.addresses

    def reply(self, request: Request, payload: bytes | Mapping[str, Any]) -> None:
        """Answer a request that was handed on, once."""
        old = self._waiting.pop(id(request))
        encoded = payload if isinstance(payload, bytes) else encode_reply(payload, Encoding.JSON)
        self._socket.reply(old, with_old_fields(old.method, json.loads(encoded)))

    def close(self, linger: float = 1.0) -> None:
        """Stop listening; replies that are on their way have `linger` seconds."""
        self._socket.close(linger)

    def _on_request(self, old: Request) -> None:
        method, params = todays_request(old.method, old.params)
        # Its name among clients: two sockets may give the same one.
        client = [b"legacy " + old.client[0], *old.client[1:]]
        request = Request(method, params, client, old.arrived, self)
        self._waiting[id(request)] = old
        self._hand_on(request)


def todays_request(method: str, params: Any) -> tuple[str, Any]:
    """The request that stands today for one of that version."""
    today = _METHODS.get(method, method)
    if not isinstance(params, Mapping):
        return today, params
    changed = dict(params)
    if method == "queue_plan_add":
        plan = changed.pop("plan", None)
        if isinstance(plan, Mapping):
            changed["item"] = {**plan, "item_type": "plan"}
        position = changed.get("pos")
        if type(position) is int and position < 0:
            changed["pos"] = position - 1
    if today in _SUBMIT:
        changed = {"user": USER} | changed | {"user_group": USER_GROUP}
    elif today in _LISTS:
        changed["user_group"] = USER_GROUP
    return today, changed


def with_old_fields(method: str, reply: dict[str, Any]) -> dict[str, Any]:
    """Today's reply, and in it what that version called otherwise."""
    if method in ("status", "ping"):
        return reply | {
            "plans_in_queue": reply["items_in_queue"],
            "plans_in_history": reply["items_in_history"],
            "running_plan_uid": reply["running_item_uid"],
        }
    if method == "queue_get" and reply["success"]:
        running = reply["running_item"]
        return reply | {"queue": _plans(reply["items"]), "running_plan": _plan(running) if running else {}}
    if method == "history_get" and reply["success"]:
        return reply | {"history": _plans(reply["items"])}
    if method in ("queue_plan_add", "queue_plan_get", "queue_plan_remove"):
        item = reply.get("item")
        return reply | {"plan": _plan(item) if item and isinstance(item, dict) else item}
    return reply


def _plans(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_plan(item) for item in items]


def _plan(item: dict[str, Any]) -> dict[str, Any]:
    plan = {**item, "plan_uid": item.get("item_uid")}
    if isinstance(result := item.get("result"), Mapping):
        plan["exit_status"] = result.get("exit_status")
    return plan
