"""Handlers of the console's routes (http-api 2.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from queueserver_http.exchange.errors import bad_request
from queueserver_http.exchange.parameters import read_parameters
from queueserver_http.exchange.replies import JsonText, json_reply
from queueserver_http.routes.table import Route
from queueserver_http.streams.console import MOST_LINES, Console

_DEFAULT_LINES = 200
_NDJSON = "application/x-ndjson"
_OK = {"success": True, "msg": ""}


class ConsoleHandlers:
    """Each takes a request that is admitted to the route."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def stream_console(self, request: Request, route: Route) -> Response:
        """Messages from now on, or after number `since`; with `format=ndjson` numbered and one on each line."""
        parameters = await read_parameters(request, route)
        form = parameters.get("format", "legacy")
        if form not in ("legacy", "ndjson"):
            raise bad_request(f"'format' must be 'ndjson' or left out, not {form!r}.")
        last = self._console.messages.last
        since = parameters.get("since", last)
        if type(since) is not int or since < 0:
            raise bad_request(f"'since' must be the number of a message, not {since!r}.")
        lines = form == "ndjson"
        return StreamingResponse(
            self._stream(min(since, last), lines=lines), media_type=_NDJSON if lines else "text/plain"
        )

    async def _stream(self, number: int, *, lines: bool) -> AsyncIterator[bytes]:
        messages = self._console.messages
        while True:
            try:
                number, message = await messages.next(number)
            except EOFError:
                return
            yield b'{"seq":%d,%b\n' % (number, message.lstrip()[1:]) if lines else message

    async def console_text(self, request: Request, route: Route) -> Response:
        """The last `nlines` lines."""
        lines = (await read_parameters(request, route)).get("nlines", _DEFAULT_LINES)
        if type(lines) is not int or lines < 0:
            raise bad_request(f"'nlines' must be a number of lines from 0 to {MOST_LINES}, not {lines!r}.")
        return json_reply({**_OK, "text": self._console.text(min(lines, MOST_LINES))})

    async def console_uid(self, request: Request, route: Route) -> Response:
        """The identifier of the newest message."""
        await read_parameters(request, route)
        return json_reply({**_OK, "console_output_uid": self._console.uid})

    async def console_update(self, request: Request, route: Route) -> Response:
        """Messages after the one with `last_msg_uid`."""
        parameters = await read_parameters(request, route)
        if not isinstance(uid := parameters.get("last_msg_uid"), str):
            raise bad_request(f"'last_msg_uid' must be a string: an identifier of this server or 'ALL', not {uid!r}.")
        messages = b",".join(self._console.since(uid))
        head = b'{"success":true,"msg":"","last_msg_uid":"%b","console_output_msgs":[' % self._console.uid.encode()
        return JsonText(b"%b%b]}" % (head, messages))
