"""Handlers of `lock`, `lock_info` and `unlock` (zmq-api 5.9)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from queueserver_manager.core.decision import Decision, Reply, success
from queueserver_manager.core.locks import Lock, check_key, encode_unlocked
from queueserver_manager.core.locks import lock_info as info_of
from queueserver_manager.core.parameters import Params, check_lock_key
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.writes import SetField

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core


def lock(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Lock environment, queue or both; who has the key may change scope, user and note."""
    user = _required_text(params, "user", "User name", missing="User name is not specified")
    key = _required_text(params, "lock_key", "Lock key", missing="Lock key is not specified")
    note = params.get("note")
    if note is not None and not isinstance(note, str):
        raise Refusal(f"Note must be a string or None: note = {note!r}", code=Code.INVALID_PARAMETER)
    present = core.state.lock
    if present is not None and not present.opens(key):
        raise Refusal(
            "RE Manager was locked with a different key: \n"
            f"{present.describe(emergency_key=bool(core.settings.emergency_lock_key))}",
            code=Code.LOCKED,
        )
    environment, queue = bool(params.get("environment")), bool(params.get("queue"))
    if not environment and not queue:
        raise Refusal(
            "Invalid option: environment and/or queue must be selected: "
            f"environment={params.get('environment', False)} queue={params.get('queue', False)}",
            code=Code.INVALID_PARAMETER,
        )
    core.state.lock = Lock.with_key(
        key, core.new_uid(), environment=environment, queue=queue, user=user, time=now, note=note
    )
    core.renew("lock_info_uid")
    d.write(SetField("lock", core.state.lock.encode(core.state.uids["lock_info_uid"])))
    return success(**_info(core))


def lock_info(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Who has locked what; a key that is given is checked."""
    info = _info(core)
    try:
        key = check_lock_key(params)
        if core.state.lock is not None and key is not None:
            check_key(core.state.lock, key, emergency_key=bool(core.settings.emergency_lock_key))
    except Refusal as refusal:
        refusal.extra.update(info)
        raise
    return success(**info)


def unlock(core: Core, params: Params, d: Decision, now: float) -> Reply:
    """Unlock with the key of the lock or with the emergency key; any key will do when nothing is locked."""
    key = _required_text(params, "lock_key", "Lock key", missing="Request contains no lock key")
    state, emergency = core.state, core.settings.emergency_lock_key
    if state.lock is None:
        return success(**_info(core))
    if not (emergency and hmac.compare_digest(key.encode(), emergency.encode())):
        check_key(state.lock, key, emergency_key=bool(emergency), **_info(core))
    state.lock = None
    core.renew("lock_info_uid")
    d.write(SetField("lock", encode_unlocked(state.uids["lock_info_uid"])))
    return success(**_info(core))


def _info(core: Core) -> Reply:
    info = info_of(core.state.lock, emergency_key=bool(core.settings.emergency_lock_key))
    return {"lock_info": info, "lock_info_uid": core.state.uids["lock_info_uid"]}


def _required_text(params: Params, name: str, what: str, *, missing: str) -> str:
    if name not in params:
        tail = "parameter is required" if missing.startswith("Request") else "is a required parameter"
        raise Refusal(f"{missing}: '{name}' {tail}", code=Code.MISSING_PARAMETER)
    value = params[name]
    if not isinstance(value, str) or not value:
        raise Refusal(f"{what} must be a non-empty string: {name} = {value!r}", code=Code.INVALID_PARAMETER)
    return value
