"""The manager's files read again on request: permissions, and existing plans and devices (zmq-api 5.2)."""

from __future__ import annotations

from queueserver_common.lists_file import ListsFileError, read_lists
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_common.permissions_file import load_permissions_file
from queueserver_manager.core import items
from queueserver_manager.core.lists import ReadFiles
from queueserver_manager.settings.model import Settings


def read_files(settings: Settings, *, permissions: bool, lists: bool) -> ReadFiles:
    """What the wanted files hold, or why they cannot be used; never raises for foreseeable faults."""
    return ReadFiles(
        _permissions(settings) if permissions else None,
        _lists(settings) if lists else None,
    )


def _permissions(settings: Settings) -> Permissions | str:
    path = settings.user_group_permissions_path
    if path is None:
        return (
            "The manager has no permissions file of its own: the one beside the startup code is read when the "
            "environment is opened."
        )
    try:
        return load_permissions_file(path)
    except PermissionsError as error:
        return str(error)


def _lists(settings: Settings) -> tuple[bytes, bytes] | str:
    path = settings.existing_plans_and_devices_path
    if path is None:
        return "The manager has no file with existing plans and devices: they are those of the last opening."
    try:
        found = read_lists(path)
    except (ListsFileError, OSError) as error:
        return str(error)
    return items.encode(found.plans), items.encode(found.devices)
