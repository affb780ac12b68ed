"""The paths of version 0.0.1, on request: no prefix, no authentication, one user for all (http-api 7)."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from queueserver_http.access.principal import Principal
from queueserver_http.exchange.parameters import decode_mapping, read_parameters
from queueserver_http.exchange.replies import JsonText
from queueserver_http.handlers.manager import ManagerHandlers
from queueserver_http.routes.method_table import facts
from queueserver_http.routes.table import GET, POST, PUBLIC, Field, Route

_USER = Principal("John Doe", frozenset())

_PATHS = (
    (GET, "/", "ping"),
    (GET, "/status", "status"),
    (POST, "/environment/open", "environment_open"),
    (POST, "/environment/close", "environment_close"),
    (POST, "/environment/destroy", "environment_destroy"),
    (GET, "/plans/allowed", "plans_allowed"),
    (GET, "/devices/allowed", "devices_allowed"),
    (POST, "/queue/plan/add", "queue_item_add"),
    (GET, "/queue/get", "queue_get"),
    (POST, "/queue/plan/remove", "queue_item_remove"),
    (POST, "/queue/plan/get", "queue_item_get"),
    (POST, "/queue/clear", "queue_clear"),
    (POST, "/queue/start", "queue_start"),
    (POST, "/queue/stop", "queue_stop"),
    (POST, "/queue/stop/cancel", "queue_stop_cancel"),
    (POST, "/re/pause", "re_pause"),
    (POST, "/re/resume", "re_resume"),
    (POST, "/re/stop", "re_stop"),
    (POST, "/re/abort", "re_abort"),
    (POST, "/re/halt", "re_halt"),
    (POST, "/re_halt", "re_halt"),
    (GET, "/history/get", "history_get"),
    (POST, "/history/clear", "history_clear"),
    (POST, "/manager/stop", "manager_stop"),
    (POST, "/test/manager/kill", "manager_kill"),
)


def _route(verb: str, path: str, method: str) -> Route:
    known = facts(method)
    fields = tuple(Field(*one) for one in known.parameters)
    plan = (Field("plan", "mapping"),) if path == "/queue/plan/add" else ()
    return Route(
        verb,
        path,
        PUBLIC,
        "legacy",
        method,
        known.summary,
        (*fields, *plan),
        takes_user=known.takes_user,
        takes_group=known.takes_group,
    )


LEGACY_ROUTES = tuple(_route(*one) for one in _PATHS)


class LegacyHandlers:
    """Changes the old bodies into today's and gives today's replies, with the item under `plan` as well."""

    def __init__(self, manager: ManagerHandlers) -> None:
        self._manager = manager

    async def legacy(self, request: Request, route: Route) -> Response:
        """Any of the old paths."""
        parameters = _today(route.path, await read_parameters(request, route))
        body = await self._manager.forward(request, route, parameters, _USER)
        return JsonText(_with_plan(body) if route.path.startswith("/queue/plan/") else body)


def _today(path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if not path.startswith("/queue/plan/"):
        return parameters
    if path == "/queue/plan/add":
        plan = parameters.pop("plan", None)
        if isinstance(plan, dict):
            parameters["item"] = {**plan, "item_type": "plan"}
        position = parameters.get("pos")
        if type(position) is int and position < 0:
            parameters["pos"] = position - 1  # -1 was the place before the last plan
    else:
        parameters.setdefault("pos", "back")
    return parameters


def _with_plan(body: bytes) -> bytes:
    reply = decode_mapping(body) or {}
    return json.dumps({**reply, "plan": reply.get("item")}).encode()
