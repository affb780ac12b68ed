"""Handlers of the routes that are a method of the manager."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from queueserver_http.access.guard import principal_of
from queueserver_http.access.principal import Principal
from queueserver_http.access.resources import ResourcePolicy
from queueserver_http.exchange.errors import bad_request
from queueserver_http.exchange.parameters import read_parameters
from queueserver_http.exchange.replies import JsonText, json_reply
from queueserver_http.handlers.reduced import reduced_plans
from queueserver_http.manager.client import ManagerClient
from queueserver_http.manager.status_cache import StatusCache
from queueserver_http.routes.table import POST, Route

_LONGEST_SLEEP_S = 60.0

EXECUTES_CODE = "write:scripts"
"""Scope of those who may have any code executed in the worker, as a console of its kernel does."""


class ManagerHandlers:
    """Each takes a request that is admitted to the route, and answers with the manager's own bytes."""

    def __init__(self, manager: ManagerClient, resources: ResourcePolicy) -> None:
        self._manager = manager
        self._resources = resources
        self.status_cache = StatusCache(lambda: manager.call("status"))

    async def call(self, request: Request, route: Route) -> Response:
        """The method with the body's keys as its parameters."""
        return JsonText(await self.forward(request, route, await read_parameters(request, route)))

    async def status(self, request: Request, route: Route) -> Response:
        """The cached status, or a new one for `reload`."""
        parameters = await read_parameters(request, route)
        return JsonText(await self.status_cache.get(reload=parameters.get("reload") is True))

    async def config(self, request: Request, route: Route) -> Response:
        """The configuration; with the IPython kernel's address and key only for those who may execute code."""
        body = await self.forward(request, route, await read_parameters(request, route))
        if EXECUTES_CODE in principal_of(request).scopes:
            return JsonText(body)
        reply = orjson.loads(body)
        if isinstance(reply.get("config"), dict):
            reply["config"]["ip_connect_info"] = {}
        return json_reply(reply)

    async def mode_set(self, request: Request, route: Route) -> Response:
        """`{"mode": {…}}`, or the modes themselves."""
        parameters = await read_parameters(request, route)
        flat = {name: parameters.pop(name) for name in ("loop", "ignore_failures") if name in parameters}
        if flat:
            if "mode" in parameters:
                raise bad_request("Give the modes either in 'mode' or as keys of the body, not both.")
            parameters["mode"] = flat
        return JsonText(await self.forward(request, route, parameters))

    async def plans(self, request: Request, route: Route) -> Response:
        """Descriptions of plans; with `reduced` only what a form for a plan needs."""
        parameters = await read_parameters(request, route)
        reduced = parameters.pop("reduced", False)
        body = await self.forward(request, route, parameters)
        if reduced is not True:
            return JsonText(body)
        reply = orjson.loads(body)
        name = route.method
        reply[name] = reduced_plans(reply.get(name) or {})
        return json_reply(reply)

    async def add_batch(
        self, request: Request, route: Route, items: list[dict[str, Any]], lock_key: str | None
    ) -> bytes:
        """Add items that did not come as JSON."""
        parameters: dict[str, Any] = {"items": items}
        if lock_key is not None:
            parameters["lock_key"] = lock_key
        return await self.forward(request, route, parameters)

    async def sleep(self, request: Request, route: Route) -> Response:
        """Answer after `time` seconds: for tests of clients."""
        seconds = (await read_parameters(request, route)).get("time")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_SLEEP_S:
            raise bad_request(f"'time' must be a number of seconds from 0 to {_LONGEST_SLEEP_S:g}, not {seconds!r}.")
        await asyncio.sleep(seconds)
        return json_reply({"success": True, "msg": ""})

    async def forward(
        self, request: Request, route: Route, parameters: dict[str, Any], user: Principal | None = None
    ) -> bytes:
        """The manager's reply to the method of the route, as the user of the request or another one."""
        name = (user or principal_of(request)).name
        if route.reload:
            parameters.pop("reload", None)
        if route.fixed:
            parameters.update(route.fixed)
        if route.takes_user:
            parameters["user"] = name
        if route.takes_group:
            parameters["user_group"] = self._resources.group_of(name)
        try:
            return await self._manager.call(route.method, parameters)
        finally:
            if route.verb == POST:
                self.status_cache.changed()
