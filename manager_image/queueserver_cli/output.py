"""What `qserver` prints where stdout is not a terminal: the text that scripts and tutorials rely on (cli.md 1.2)."""

from __future__ import annotations

import pprint
from datetime import datetime
from typing import Any

LONGEST_LIST = 10
LONGEST_MAPPING = 30
LONGEST_STRING = 1024

_DESCRIPTIONS = frozenset({"plans_allowed", "plans_existing", "devices_allowed", "devices_existing"})
_UNCUT_STRINGS = frozenset({"traceback"})


def clock(now: datetime) -> str:
    """Time of day as it stands before each message."""
    return now.strftime("%H:%M:%S")


def message(reply: Any, now: datetime) -> str:
    """The block that shows one reply of the manager."""
    return f"{clock(now)} - MESSAGE: \n{format_reply(reply)}"


def line(reply: Any, now: datetime) -> str:
    """The same in one line, as version 0.0.1 showed it."""
    return f"{clock(now)} - MESSAGE: {reply}"


def error(text: str, now: datetime) -> str:
    """The line that stands in place of a reply."""
    return f"{clock(now)} - ERROR: {text}"


def format_reply(reply: Any) -> str:
    """A reply in the style of `pprint`, its keys in the order of the reply and its long parts cut."""
    return pprint.pformat(shorten(reply), sort_dicts=False)


def shorten(value: Any) -> Any:
    """A copy without the bulk: lists of at most 10 elements, mappings of at most 30 entries, strings of at most
    1024 characters (their first and last 512). Descriptions of plans and devices become `{...}`; tracebacks stay.
    """
    if isinstance(value, dict):
        kept = list(value.items())[:LONGEST_MAPPING]
        short = {key: _shorten_entry(key, entry) for key, entry in kept}
        if len(value) > LONGEST_MAPPING:
            short["..."] = "..."
        return short
    if isinstance(value, list | tuple):
        short_list = [shorten(element) for element in value[:LONGEST_LIST]]
        return [*short_list, "..."] if len(value) > LONGEST_LIST else short_list
    if isinstance(value, str) and len(value) > LONGEST_STRING:
        half = LONGEST_STRING // 2
        return f"{value[:half]} ...\n... {value[-half:]}"
    return value


def _shorten_entry(key: object, value: Any) -> Any:
    if key in _DESCRIPTIONS and isinstance(value, dict):
        return dict.fromkeys(value, "{...}")
    if key in _UNCUT_STRINGS and isinstance(value, str):
        return value
    return shorten(value)
