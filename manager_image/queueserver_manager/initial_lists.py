"""Lists and permissions that a manager starts with, before any opening (plans-and-permissions 2.3 and 3)."""

from __future__ import annotations

import json
import logging

from queueserver_common.lists_file import ListsFileError, lists_digest, read_digest, read_lists
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_common.permissions_file import load_permissions_file
from queueserver_manager.core import items
from queueserver_manager.core.lists import EMPTY
from queueserver_manager.core.machine import Core
from queueserver_manager.core.writes import SetField, StoredState, Write
from queueserver_manager.settings.model import Settings
from queueserver_manager.store.redis_store import RedisStore

_log = logging.getLogger("bluesky_queueserver.manager.manager")


async def load_lists(core: Core, store: RedisStore, settings: Settings, *, restart: bool) -> list[Write]:
    """Existing plans and devices: those of the last opening, unless the file tells others at an application start."""
    plans = await store.read_blob("blob:existing_plans") or EMPTY
    devices = await store.read_blob("blob:existing_devices") or EMPTY
    path = settings.existing_plans_and_devices_path
    if restart or (_file_unchanged(settings, plans, devices)):
        return list(core.set_existing(plans, devices))
    try:
        lists = read_lists(path)
    except ListsFileError as error:
        _log.warning("%s The lists of plans and devices are those of the last opening.", error)
        return list(core.set_existing(plans, devices))
    return list(core.set_existing(items.encode(lists.plans), items.encode(lists.devices)))


def _file_unchanged(settings: Settings, plans: bytes, devices: bytes) -> bool:
    digest = read_digest(settings.existing_plans_and_devices_path)
    return digest is not None and digest == lists_digest(json.loads(plans), json.loads(devices))


def load_permissions(core: Core, stored: StoredState, settings: Settings, *, restart: bool) -> list[Write]:
    """User group permissions: from the file, or the stored ones, as `--user-group-permissions-reload` says."""
    text = (stored.fields or {}).get("permissions")
    if text is not None and (restart or settings.user_group_permissions_reload != "ON_STARTUP"):
        permissions = Permissions.parse(json.loads(text))
    else:
        try:
            permissions = load_permissions_file(settings.user_group_permissions_path)
        except PermissionsError as error:
            _log.error("%s No user group may submit anything until permissions are loaded.", error)
            return []
    core.set_permissions(permissions)
    return [SetField("permissions", items.encode(permissions.as_mapping()))]
