"""Users and roles from an access server that is asked again and again (http-api 5.1)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from queueserver_http import loggers
from queueserver_http.access.policies import BasicAPIAccessControl, User

_RETRY_S = 10.0
"""Seconds until the next attempt after one that failed."""
_LONGEST_REPLY = 10_000_000

_log = logging.getLogger(loggers.POLICIES)


class ServerBasedAPIAccessControl(BasicAPIAccessControl):
    """Asks `GET <base>/instrument/<instrument>/qserver/access`; times are seconds.

    The reply maps roles to users: to a list of names, or to a mapping of names to `displayed_name` and `mail`. What
    was learnt is forgotten after `expiration_period` without an answer, and then nobody is authorized.
    """

    def __init__(
        self,
        *,
        instrument: str,
        base_url: str | None = None,
        server: str | None = None,
        port: int | None = None,
        update_period: float = 600,
        expiration_period: float | None = None,
        http_timeout: float = 5,
        roles: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(roles=roles)
        if (base_url is None) == (server is None):
            raise ValueError("give the access server either as 'base_url' or as 'server' and 'port'")
        if update_period <= 0 or http_timeout <= 0:
            raise ValueError("'update_period' and 'http_timeout' must be positive numbers of seconds")
        base = base_url or f"http://{server}:{port or 80}"
        self._url = f"{base.rstrip('/')}/instrument/{quote(instrument.lower(), safe='')}/qserver/access"
        self._period = update_period
        self._expiration = expiration_period or 1.5 * update_period
        self._timeout = http_timeout
        self._users: dict[str, User] = {}
        self._expires = float("-inf")
        self._task: asyncio.Task[None] | None = None

    def user(self, name: str) -> User | None:
        return self._users.get(name) if time.monotonic() < self._expires else None

    async def start(self) -> None:
        """Ask once, whatever the answer, and go on in the background."""
        answered = await self.update()
        self._task = asyncio.create_task(self._keep_up(self._period if answered else _RETRY_S))

    async def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def update(self) -> bool:
        """Ask now; False when there was no usable answer, which is logged."""
        try:
            async with httpx.AsyncClient(timeout=self._timeout, follow_redirects=False) as client:
                answer = await client.get(self._url)
            answer.raise_for_status()
            if len(answer.content) > _LONGEST_REPLY:
                raise ValueError("the reply is too long")
            self._users = self._learnt(answer.json())
        except (httpx.HTTPError, ValueError) as error:
            _log.error("The access server did not give the users of the instrument (%s): %s", self._url, error)
            return False
        self._expires = time.monotonic() + self._expiration
        return True

    async def _keep_up(self, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            wait = self._period if await self.update() else min(_RETRY_S, self._period)

    def _learnt(self, reply: Any) -> dict[str, User]:
        if not isinstance(reply, Mapping):
            raise ValueError("a mapping of roles to users is expected")
        found: dict[str, User] = {}
        for role, users in reply.items():
            if role not in self.roles:
                _log.warning("The access server names a role that does not exist: %r", role)
                continue
            if not isinstance(users, list | Mapping) or not all(isinstance(name, str) for name in users):
                raise ValueError(f"a list of names, or a mapping of names, is expected for the role {role!r}")
            for name in users:
                info = users[name] if isinstance(users, Mapping) and isinstance(users[name], Mapping) else {}
                before = found.get(name, User(frozenset()))
                found[name] = User(
                    before.roles | {role},
                    str(info.get("displayed_name") or before.displayed_name),
                    str(info.get("mail") or info.get("email") or before.email),
                )
        return found
