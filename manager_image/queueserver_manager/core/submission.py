"""Checks of submitted items: shape, user, group, permission and parameters (zmq-api 5.5, plans-and-permissions 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from queueserver_common.validation import PlanValidationError
from queueserver_manager.core import items
from queueserver_manager.core.items import Item
from queueserver_manager.core.parameters import Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.repeats import is_known

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

_BAD = "Incorrect request format: "
_ITEM_TYPES = ("plan", "instruction")


def check_item_shape(item: object) -> Mapping[str, Any]:
    """The item as a mapping of a known `item_type`."""
    if not isinstance(item, Mapping):
        raise Refusal(
            f"{_BAD}incorrect type ('{type(item)}') of item parameter: item parameter must have type 'dict'",
            code=Code.INVALID_ITEM,
            item=None,
        )
    if "item_type" not in item:
        raise Refusal(f"{_BAD}'item_type' key is not found", code=Code.INVALID_ITEM, item=item)
    if item["item_type"] not in _ITEM_TYPES:
        raise Refusal(
            f"{_BAD}unsupported 'item_type' value: {item['item_type']!r}, supported item types {_ITEM_TYPES}",
            code=Code.INVALID_ITEM,
            item=item,
        )
    return item


def check_caller(core: Core, params: Params) -> tuple[str, str]:
    """`user` and `user_group` of a request; `user_group` is looked at first (zmq-api 2 rule 6)."""
    if "user_group" not in params:
        raise Refusal(f"{_BAD}user group is not specified", code=Code.MISSING_PARAMETER)
    if "user" not in params:
        raise Refusal(f"{_BAD}user name is not specified", code=Code.MISSING_PARAMETER)
    group, user = params["user_group"], params["user"]
    if not core.may_submit(group):
        raise Refusal(f"Unknown user group: '{group}'", code=Code.UNKNOWN_USER_GROUP)
    if not isinstance(user, str):
        raise Refusal(f"{_BAD}user name must be a string: user={user!r}")
    return user, group


def check_item(core: Core, item: Mapping[str, Any], group: str) -> None:
    """Whether the group may submit the item with these parameters."""
    if item["item_type"] == "instruction":
        if item.get("name") != "queue_stop":
            raise Refusal(f"Unrecognized instruction: {dict(item)}", code=Code.INVALID_ITEM)
        return
    try:
        core.lists.validator(group).validate_item(item)
    except PlanValidationError as error:
        raise Refusal(str(error), code=Code.INVALID_ITEM) from None


def accept_item(core: Core, params: Params) -> Item:
    """The checked item of a request with `item`, `user` and `user_group`, as it would be stored, without a new uid."""
    if "item" not in params:
        raise Refusal(f"{_BAD}request contains no item info", code=Code.MISSING_PARAMETER, item=None)
    item = check_item_shape(params["item"])
    try:
        user, group = check_caller(core, params)
        check_item(core, item, group)
    except Refusal as refusal:
        refusal.extra.setdefault("item", item)
        raise
    return items.submitted(item, user, group)


def check_queue_uid(core: Core, params: Params) -> None:
    """Raise `Refusal` when the client has decided from another queue than the present one.

    A request that was carried out before may well have changed it.
    """
    expected = params.get("expect_queue_uid")
    if expected is None or is_known(core, params):
        return
    present = core.state.uids["plan_queue_uid"]
    if expected != present:
        raise Refusal(
            f"The queue has changed since it was read: its plan_queue_uid is '{present}', not '{expected}'. "
            "Read the queue again and decide anew",
            code=Code.QUEUE_CHANGED,
        )
