"""What some requests need to be decided and the core does not hold: it is read before the decision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from queueserver_manager.core.core import Core
from queueserver_manager.core.lists import ReadFiles
from queueserver_manager.store.errors import StoreError
from queueserver_manager.store.redis_store import RedisStore

LookUp = Callable[[], Awaitable[None]]


class FileReader(Protocol):
    """Reads the manager's files; called in a thread of its own."""

    def __call__(self, *, permissions: bool, lists: bool) -> ReadFiles: ...


class Lookups:
    """Finds what a request is about in the store and in files, and leaves it with the core."""

    def __init__(self, core: Core, store: RedisStore) -> None:
        self.read_files: FileReader | None = None
        self._core = core
        self._store = store

    def wanted_by(self, method: str, params: object) -> LookUp | None:
        """What is to be awaited before the request is decided; None for nearly all requests.

        Parameters are not checked here: what is read for a request that will be refused is not looked at.
        """
        if not isinstance(params, Mapping):
            return None
        if method == "history_clear" and isinstance(uid := params.get("item_uid"), str):
            return lambda: self._history_number(uid)
        if method == "permissions_reload" and self.read_files is not None:
            return lambda: self._files(params)
        return None

    async def _history_number(self, uid: str) -> None:
        self._core.history_numbers = {}
        try:
            number = await self._store.history_seq_of(uid)
        except StoreError:  # the decision says so
            return
        if number is not None:
            self._core.history_numbers = {uid: number}

    async def _files(self, params: Mapping[str, Any]) -> None:
        assert self.read_files is not None
        permissions = params.get("restore_permissions", True) is True and self._core.settings.permissions_from_file
        lists = params.get("restore_plans_devices") is True
        self._core.read_files = await asyncio.to_thread(self.read_files, permissions=permissions, lists=lists)
