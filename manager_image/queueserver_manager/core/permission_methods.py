"""Handlers of the methods that change permissions while the manager runs (zmq-api 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queueserver_common.descriptions import DescriptionError
from queueserver_common.permissions import Permissions, PermissionsError
from queueserver_manager.core.decision import Decision, Reply, success
from queueserver_manager.core.lists import ReadFiles
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def permissions_set(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Take other permissions; nothing is renewed when they equal the present ones."""
    try:
        permissions = Permissions.parse(params["user_group_permissions"])
    except PermissionsError as error:
        raise Refusal(str(error)) from None
    _take(d, core.set_permissions(permissions))
    return success()


def permissions_reload(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Take permissions and lists from the files, which were read before; renews the uids of the lists always.

    A file that cannot be used is refused and leaves everything as it was.
    """
    files, core.read_files = core.read_files or ReadFiles(), None
    with_permissions = params.get("restore_permissions", True)
    with_lists = params.get("restore_plans_devices", False)
    if with_permissions and not core.settings.permissions_from_file:
        raise Refusal("Restoring user group permissions from disk is not allowed", code=Code.NOT_ALLOWED)
    for found in (files.permissions if with_permissions else None, files.lists if with_lists else None):
        if isinstance(found, str):
            raise Refusal(found, code=Code.UNREADABLE_FILE)
    if with_lists and isinstance(files.lists, tuple):
        try:
            d.write(*core.set_existing(*files.lists))
        except DescriptionError as error:
            raise Refusal(f"The file with existing plans and devices: {error}", code=Code.UNREADABLE_FILE) from None
        core.renew("plans_existing_uid", "devices_existing_uid")
    if with_permissions and isinstance(files.permissions, Permissions):
        _take(d, core.take_permissions_of_source(files.permissions))
    core.renew("plans_allowed_uid", "devices_allowed_uid")
    if core.state.environment_exists:
        core.renew("task_results_uid")
    return success()


def _take(d: Decision, change: Decision) -> None:
    d.write(*change.writes)
    d.cause(*change.effects)
