"""Handlers of the routes that are a method of the manager."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from queueserver_http.access.resources import ResourcePolicy
from queueserver_http.errors import bad_request
from queueserver_http.http import AnyReply, Reply, Request, json_reply
from queueserver_http.manager_client import ManagerClient
from queueserver_http.reduced import reduced_plans
from queueserver_http.status_cache import StatusCache

_LONGEST_SLEEP_S = 60.0


class ManagerHandlers:
    """Each takes a request whose principal may use the route, and answers with the manager's own bytes."""

    def __init__(self, manager: ManagerClient, resources: ResourcePolicy) -> None:
        self._manager = manager
        self._resources = resources
        self.status_cache = StatusCache(lambda: manager.call("status"))

    async def call(self, request: Request) -> AnyReply:
        """The method with the body's keys as its parameters."""
        return Reply(await self.forward(request, await request.parameters()))

    async def status(self, request: Request) -> AnyReply:
        """The cached status, or a new one for `reload`."""
        parameters = await request.parameters()
        return Reply(await self.status_cache.get(reload=parameters.get("reload") is True))

    async def mode_set(self, request: Request) -> AnyReply:
        """`{"mode": {…}}`, or the modes themselves."""
        parameters = await request.parameters()
        flat = {name: parameters.pop(name) for name in ("loop", "ignore_failures") if name in parameters}
        if flat:
            if "mode" in parameters:
                raise bad_request("Give the modes either in 'mode' or as keys of the body, not both.")
            parameters["mode"] = flat
        return Reply(await self.forward(request, parameters))

    async def plans(self, request: Request) -> AnyReply:
        """Descriptions of plans; with `reduced` only what a form for a plan needs."""
        parameters = await request.parameters()
        reduced = parameters.pop("reduced", False)
        body = await self.forward(request, parameters)
        if reduced is not True:
            return Reply(body)
        reply = orjson.loads(body)
        name = request.route.method
        reply[name] = reduced_plans(reply.get(name) or {})
        return json_reply(reply)

    async def add_batch(self, request: Request, items: list[dict[str, Any]], lock_key: str | None) -> bytes:
        """Add items that did not come as JSON."""
        parameters: dict[str, Any] = {"items": items}
        if lock_key is not None:
            parameters["lock_key"] = lock_key
        return await self.forward(request, parameters)

    async def sleep(self, request: Request) -> AnyReply:
        """Answer after `time` seconds: for tests of clients."""
        seconds = (await request.parameters()).get("time")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LONGEST_SLEEP_S:
            raise bad_request(f"'time' must be a number of seconds from 0 to {_LONGEST_SLEEP_S:g}, not {seconds!r}.")
        await asyncio.sleep(seconds)
        return json_reply({"success": True, "msg": ""})

    async def forward(self, request: Request, parameters: dict[str, Any]) -> bytes:
        """The manager's reply to the method of the route, as the user of the request."""
        route = request.route
        if route.reload:
            parameters.pop("reload", None)
        if route.fixed:
            parameters.update(route.fixed)
        if route.takes_user:
            parameters["user"] = request.principal.name
        if route.takes_group:
            parameters["user_group"] = self._resources.group_of(request.principal.name)
        try:
            return await self._manager.call(route.method, parameters)
        finally:
            if request.verb == "POST":
                self.status_cache.changed()
