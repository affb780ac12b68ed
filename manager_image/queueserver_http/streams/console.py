"""Console output: as text, as messages since one of them, and as a stream (http-api 2.3)."""

from __future__ import annotations

import json
import logging
import secrets
from collections import deque
from typing import Any

import orjson

from queueserver_http import loggers
from queueserver_http.streams.broadcast import Broadcast, Gathering

MOST_LINES = 2000
_LONGEST_LINE = 10_000
"""Characters of a line in the text; of a longer one the end is kept."""
_LONGEST_SHOWN = 200

_log = logging.getLogger(loggers.CONSOLE)


class Console:
    """What the manager's console has shown since this server subscribed."""

    def __init__(self) -> None:
        self.messages = Broadcast()
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._line = ""
        self._origin = secrets.token_hex(8)
        self._gathering = Gathering(self._publish)

    def add(self, payload: bytes) -> None:
        """Take one published message, the JSON text of a mapping with `time` and `msg`."""
        self._gathering.add(payload)

    def _publish(self, payloads: list[bytes]) -> None:
        messages = [one for payload in payloads if (one := _message(payload)) is not None]
        if not messages:
            return
        text = "".join(one["msg"] for one in messages)
        # The manager's number of a message is left out: messages may be joined, and are numbered by this server.
        message = orjson.dumps({"time": messages[0]["time"], "msg": text})
        *complete, rest = (self._line + text).split("\n")
        self._lines.extend(line[-_LONGEST_LINE:] for line in complete[-MOST_LINES:])
        self._line = rest[-_LONGEST_LINE:]
        self.messages.publish(message)

    @property
    def uid(self) -> str:
        """Changes when text is added; names the newest message."""
        return f"{self._origin}-{self.messages.last}"

    def text(self, lines: int) -> str:
        """The last lines, as many as are kept; the last one may be incomplete."""
        kept = [*self._lines, self._line] if self._line else [*self._lines, ""]
        wanted = lines if self._line else lines + 1
        return "\n".join(kept[-wanted:]) if lines > 0 else ""

    def since(self, uid: Any) -> list[bytes]:
        """Messages after the one that `uid` names; all that are kept for 'ALL', none for an unknown one."""
        if uid == "ALL":
            return self.messages.since(0)
        origin, _, number = uid.partition("-") if isinstance(uid, str) else ("", "", "")
        if origin != self._origin or not (number.isascii() and number.isdecimal()):
            return []
        return self.messages.since(int(number))

    def close(self) -> None:
        """End the stream."""
        self._gathering.flush()
        self.messages.close()


def _message(payload: bytes) -> dict[str, Any] | None:
    """A published message; None for what is none, which must not take others along."""
    try:
        message = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            message = json.loads(payload)  # understands what is no character, such as a byte of a file's name
        except ValueError:
            message = None
    if not isinstance(message, dict) or not isinstance(text := message.get("msg"), str):
        _log.warning("A message of the console cannot be read: %r", payload[:_LONGEST_SHOWN])
        return None
    return {"time": message.get("time"), "msg": text.encode("utf-8", "backslashreplace").decode()}
