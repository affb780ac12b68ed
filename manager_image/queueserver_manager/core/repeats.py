"""Requests that a client sends again because it saw no reply, told by the key that it gave them (an addition).

What is kept of a request with an `idempotency_key` is the hash of what it asked for and the uids of the items it made:
with the request at hand again, that is all the first reply said. Refused requests are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from queueserver_manager.core import items
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.parameters import IDEMPOTENCY_KEY, Params
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.writes import SetField

if TYPE_CHECKING:
    from queueserver_manager.core.core import Core

_KEY = IDEMPOTENCY_KEY.name
LONGEST_KEY = 200
MOST_REQUESTS = 1000
"""Requests that are remembered; the oldest are forgotten first."""
MOST_ITEMS = 100_000
"""Items that all remembered requests made together; the newest request is remembered however large it is."""

FIELD_MARK = "repeat:"
"""The stored record of a request is the field of this name and its key."""

_NOT_COMPARED = (_KEY, "lock_key", "expect_queue_uid")
"""Parameters that do not belong to what a request asks for: one that is sent again may have others."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that was carried out."""

    number: int
    """Requests are forgotten in the order of their numbers."""
    digest: str
    uids: tuple[str, ...]
    """Items that it made, in its order."""
    time: float
    """Epoch seconds."""


def repeat_key(params: Params) -> str | None:
    """The key of a request, None when it has none; raises `Refusal` for one that cannot be a key."""
    key = params.get(_KEY)
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY:
        return key
    if key is None:
        return None
    shown = f"{len(key)}" if isinstance(key, str) else f"{type(key)}"
    raise Refusal(f"Parameter '{_KEY}' must be a string of 1 to {LONGEST_KEY} characters, not {shown}")


def is_known(core: Core, params: Params) -> bool:
    """Whether a request with the same key was carried out."""
    return repeat_key(params) in core.state.keyed_requests


def digest_steps(method: str, params: Params) -> Generator[None, None, str]:
    """Hash of what a request asks for, in steps: a batch may be long."""
    digest = sha256(method.encode())
    for name in sorted(params):
        if name in _NOT_COMPARED:
            continue
        digest.update(_text(name))
        value = params[name]
        if isinstance(value, list):
            digest.update(b"[")
            for element in value:
                digest.update(_text(element))
                yield
            digest.update(b"]")
        else:
            digest.update(_text(value))
    return digest.hexdigest()


def earlier(core: Core, params: Params, digest: str) -> Accepted | None:
    """The same request when it was carried out before; raises `Refusal` when the key belongs to another one."""
    key = repeat_key(params)
    known = None if key is None else core.state.keyed_requests.get(key)
    if known is not None and known.digest != digest:
        raise Refusal(
            f"The {_KEY} {key!r} belongs to another request that was carried out before. "
            "Send a request that asks for something else with a key of its own",
            code=Code.KEY_USED_OTHERWISE,
        )
    return known


def remember(core: Core, d: Decision, params: Params, digest: str, uids: tuple[str, ...], now: float) -> None:
    """Keep a request that is carried out now, if it has a key; forget the oldest beyond what is kept."""
    key, accepted = params.get(_KEY), core.state.keyed_requests
    if key is None:
        return
    newest = next(reversed(accepted.values()), None)
    accepted[key] = Accepted(1 + (newest.number if newest else 0), digest, uids, now)
    d.write(SetField(f"{FIELD_MARK}{key}", items.encode(asdict(accepted[key]))))
    made = sum(len(request.uids) for request in accepted.values())
    for old in tuple(accepted):
        if len(accepted) <= MOST_REQUESTS and (made <= MOST_ITEMS or len(accepted) == 1):
            break
        made -= len(accepted.pop(old).uids)
        d.write(SetField(f"{FIELD_MARK}{old}", None))


def restored(fields: Mapping[str, bytes]) -> dict[str, Accepted]:
    """The remembered requests among the stored fields, oldest first."""
    found = {}
    for name, text in fields.items():
        if name.startswith(FIELD_MARK):
            values = json.loads(text)
            found[name.removeprefix(FIELD_MARK)] = Accepted(**(values | {"uids": tuple(values["uids"])}))
    return dict(sorted(found.items(), key=lambda entry: entry[1].number))


def digest_at_once(method: str, params: Params) -> str:
    """The hash of a request about one item; empty when the request has no key."""
    if repeat_key(params) is None:
        return ""
    steps = digest_steps(method, params)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            digest: str = end.value
            return digest


def _text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\0"
