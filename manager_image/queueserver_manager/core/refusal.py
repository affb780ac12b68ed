"""Refused requests: the sentence in `msg`, and beside it why, for programs: `code` (an addition to the contract)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Code(StrEnum):
    """Values of `code`. Texts may be worded differently one day; these stay."""

    MALFORMED_REQUEST = "malformed_request"
    UNKNOWN_METHOD = "unknown_method"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    MISSING_PARAMETER = "missing_parameter"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_LOCK_KEY = "invalid_lock_key"
    LOCKED = "locked"
    UNKNOWN_USER_GROUP = "unknown_user_group"
    INVALID_ITEM = "invalid_item"
    INVALID_BATCH = "invalid_batch"
    ITEM_NOT_FOUND = "item_not_found"
    ITEM_IS_RUNNING = "item_is_running"
    QUEUE_CHANGED = "queue_changed"
    KEY_USED_OTHERWISE = "key_used_otherwise"
    TASK_NOT_FOUND = "task_not_found"
    ENVIRONMENT_EXISTS = "environment_exists"
    NO_ENVIRONMENT = "no_environment"
    NO_RUN_ENGINE = "no_run_engine"
    WRONG_STATE = "wrong_state"
    NOT_ALLOWED = "not_allowed"
    UNREADABLE_FILE = "unreadable_file"
    WORKER_REFUSED = "worker_refused"
    WORKER_SILENT = "worker_silent"
    STORE_AWAY = "store_away"
    REPLY_TOO_LARGE = "reply_too_large"
    INTERNAL_ERROR = "internal_error"

    @property
    def meaning(self) -> str:
        """A sentence for the documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    Code.MALFORMED_REQUEST: "The frame is not an encoded request.",
    Code.UNKNOWN_METHOD: "The manager has no method of this name.",
    Code.UNSUPPORTED_PARAMETER: "The method does not know one of the parameters.",
    Code.MISSING_PARAMETER: "A required parameter is missing.",
    Code.INVALID_PARAMETER: "A parameter has a wrong type or value, or does not go with another one.",
    Code.INVALID_LOCK_KEY: "The manager is locked with another key than the one in the request, if there is one.",
    Code.LOCKED: "Somebody else has locked the manager.",
    Code.UNKNOWN_USER_GROUP: "There are no permissions for the user group.",
    Code.INVALID_ITEM: "The item has a wrong form, its plan is not allowed, or the plan's parameters are wrong.",
    Code.INVALID_BATCH: "Some items of the batch are refused; `results` tells which and why.",
    Code.ITEM_NOT_FOUND: "There is no such item at the place or with the UID that the request names.",
    Code.ITEM_IS_RUNNING: "The item cannot be changed because it is running.",
    Code.QUEUE_CHANGED: "The queue is not the one that `expect_queue_uid` names.",
    Code.KEY_USED_OTHERWISE: "Another request was sent with the same `idempotency_key` before.",
    Code.TASK_NOT_FOUND: "No task with this UID is running.",
    Code.ENVIRONMENT_EXISTS: "The environment is open already or on its way.",
    Code.NO_ENVIRONMENT: "There is no open environment.",
    Code.NO_RUN_ENGINE: "The environment has no RunEngine.",
    Code.WRONG_STATE: "The request does not go with the present state of the manager; the status tells it.",
    Code.NOT_ALLOWED: "The configuration of the manager does not allow it.",
    Code.UNREADABLE_FILE: "A file of the manager cannot be read or holds errors.",
    Code.WORKER_REFUSED: "The worker did not do it.",
    Code.WORKER_SILENT: "The worker did not answer in time.",
    Code.STORE_AWAY: "The manager cannot reach its Redis server, or that takes no writes.",
    Code.REPLY_TOO_LARGE: "The reply holds a number that the encoding cannot express.",
    Code.INTERNAL_ERROR: "An error of the manager, which is in its log.",
}


class Refusal(Exception):
    """A request that is refused. The text is the `msg` of the reply, without the method's prefix.

    `extra` replaces values of the method's failure reply; `prefixed` is False for texts that stand alone
    (refusals because of the state, zmq-api 2 rule 5).
    """

    def __init__(self, msg: str, *, code: Code = Code.INVALID_PARAMETER, prefixed: bool = True, **extra: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.code = code
        self.prefixed = prefixed
        self.extra = extra
