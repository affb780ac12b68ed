"""What `qserver` shows on a terminal: the same information as the plain output, in colour and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from queueserver_cli import tables
from queueserver_cli.client import CommunicationError
from queueserver_cli.output import clock


class Screen:
    """A terminal on stdout, with errors on stderr."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)

    def show_reply(self, method: str, reply: Mapping[str, Any], now: datetime) -> None:
        """One reply below a line that says when it came and whether the request was accepted."""
        self._console.print(_headline(method, reply, now))
        if set(reply) - {"success", "msg"}:
            self._console.print(tables.reply_table(method, reply))

    def show_error(self, text: str) -> None:
        """A sentence about what went wrong."""
        self._errors.print(Text(text, style="red"))

    def monitor(self, ping: Callable[[], Mapping[str, Any]], period_s: float) -> None:
        """Show the status in place, asked for every `period_s`, until Ctrl-C."""
        with Live(Text("Asking the manager ..."), console=self._console, auto_refresh=False) as live:
            try:
                while True:
                    live.update(_monitored(ping), refresh=True)
                    time.sleep(period_s)
            except KeyboardInterrupt:
                pass
        self._console.print("The program was manually stopped.")


def _monitored(ping: Callable[[], Mapping[str, Any]]) -> RenderableType:
    try:
        table: RenderableType = tables.status_table(ping())
    except CommunicationError as error:
        table = Text(str(error), style="red")
    return Group(Text(f"{clock(datetime.now())}  Press Ctrl-C to exit", style="dim"), table)


def _headline(method: str, reply: Mapping[str, Any], now: datetime) -> Text:
    line = Text.assemble((f"{clock(now)} ", "dim"))
    if reply.get("success") is False:
        line.append(f"{method} was refused: ", style="bold red")
        line.append(str(reply.get("msg", "")).strip())
    else:
        line.append(method, style="bold green")
        note = reply.get("msg")
        if note:
            line.append(f"  {note}")
    return line
