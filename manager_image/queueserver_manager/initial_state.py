"""What a manager starts with: the stored state, and the lists and permissions that hold before any opening."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from queueserver_common import loggers
from queueserver_common.descriptions import DescriptionError
from queueserver_common.lists_file import ListsFileError, lists_digest, read_digest, read_lists
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_common.permissions_file import load_permissions_file
from queueserver_manager.core import items
from queueserver_manager.core.core import Core
from queueserver_manager.core.lists import EMPTY
from queueserver_manager.core.locks import Lock
from queueserver_manager.core.queue import RANK_GAP
from queueserver_manager.core.writes import SetField, StoredState, Write
from queueserver_manager.settings.model import Settings
from queueserver_manager.store.redis_store import RedisStore
from queueserver_manager.store.upstream_import import UpstreamLock, import_writes, read_upstream

_log = logging.getLogger(loggers.MANAGER)


async def load_state(store: RedisStore, settings: Settings) -> StoredState:
    """The stored state; what bluesky-queueserver left under the same prefix is taken over once (zmq-api 1.6)."""
    stored = await store.load()
    upstream = await read_upstream(store, settings.redis_name_prefix, stored) if settings.import_upstream else None
    if upstream is None:
        return stored
    writes = import_writes(upstream, stored, now=time.time(), rank_step=RANK_GAP, new_uid=_new_uid)
    if upstream.queue_mode:
        writes.append(SetField("mode", items.encode(upstream.queue_mode)))
    if upstream.permissions is not None:
        writes.append(SetField("permissions", items.encode(upstream.permissions)))
    if upstream.lock is not None:
        writes.append(SetField("lock", _lock_of(upstream.lock).encode(_new_uid())))
    await store.commit(_new_uid(), writes)
    _log.info("%s", upstream.summary())
    return await store.load()


async def load_last_exit_status(store: RedisStore, stored: StoredState) -> str:
    """How the last item ended, from the history; empty when there is none."""
    last = stored.history_next - 1
    if last < stored.history_first:
        return ""
    async for entries in store.history_chunks(last, last):
        return str(items.decode(entries[-1]).get("result", {}).get("exit_status", ""))
    return ""


async def load_lists(core: Core, store: RedisStore, settings: Settings, *, restart: bool) -> Sequence[Write]:
    """Existing plans and devices: those of the last opening, unless the file tells others at an application start.

    Source: plans-and-permissions 2.3.
    """
    plans = await store.read_blob("blob:existing_plans") or EMPTY
    devices = await store.read_blob("blob:existing_devices") or EMPTY
    path = settings.existing_plans_and_devices_path  # a missing one was told by `check_startup`
    if not restart and path is not None and path.is_file() and not _file_unchanged(path, plans, devices):
        try:
            lists = read_lists(path)
        except ListsFileError as error:
            _log.warning("%s The lists of plans and devices are those of the last opening.", error)
        else:
            return core.set_existing(items.encode(lists.plans), items.encode(lists.devices))
    try:
        return core.set_existing(plans, devices)
    except DescriptionError as error:
        _log.error("The stored lists of plans and devices are damaged (%s); open an environment to renew them.", error)
        return []


def _file_unchanged(path: Path, plans: bytes, devices: bytes) -> bool:
    digest = read_digest(path)
    return digest is not None and digest == lists_digest(json.loads(plans), json.loads(devices))


def load_permissions(core: Core, stored: StoredState, settings: Settings, *, restart: bool) -> list[Write]:
    """User group permissions: from the file, or the stored ones, as `--user-group-permissions-reload` says.

    Source: plans-and-permissions 3.
    """
    text = (stored.fields or {}).get("permissions")
    known = None if text is None else Permissions.parse(json.loads(text))
    reload, path = settings.user_group_permissions_reload, settings.user_group_permissions_path
    on_change = reload == "ON_CHANGE"
    if known is not None and (path is None or (not on_change and (restart or reload != "ON_STARTUP"))):
        return core.set_permissions(known).writes
    if path is None:
        return []
    try:
        found = load_permissions_file(path)
    except PermissionsError as error:
        if known is None or not on_change:
            _log.error("%s No user group may submit anything until permissions are loaded.", error)
            return []
        _log.error("%s The permissions are those that were loaded before.", error)
        return core.set_permissions(known).writes
    if on_change and known is not None and core.state.permissions_source == found.digest():
        return core.set_permissions(known).writes
    return core.take_permissions_of_source(found).writes


def _new_uid() -> str:
    return str(uuid.uuid4())


def _lock_of(found: UpstreamLock) -> Lock:
    """The lock as this manager keeps it: its key is hashed."""
    return Lock.with_key(
        found.key,
        _new_uid(),
        environment=found.environment,
        queue=found.queue,
        user=found.user or "",
        time=time.time() if found.time is None else found.time,
        note=found.note,
    )
