"""`qserver -c COMMAND -p PARAMETERS`: the commands of version 0.0.1 as today's words (cli.md 4)."""

from __future__ import annotations

from collections.abc import Sequence

from queueserver_cli.arguments import CommandError, is_integer

DEFAULT_ADDRESS = "tcp://localhost:5555"

_WORDS = {
    "ping": "ping",
    "monitor": "monitor",
    "status": "status",
    "environment_open": "environment open",
    "environment_close": "environment close",
    "environment_destroy": "environment destroy",
    "plans_allowed": "allowed plans",
    "devices_allowed": "allowed devices",
    "queue_plan_add": "queue add plan",
    "queue_get": "queue get",
    "queue_plan_remove": "queue item remove",
    "queue_plan_get": "queue item get",
    "queue_clear": "queue clear",
    "queue-clear": "queue clear",
    "queue_start": "queue start",
    "queue_stop": "queue stop",
    "queue_stop_cancel": "queue stop cancel",
    "re_pause": "re pause",
    "re_resume": "re resume",
    "re_stop": "re stop",
    "re_abort": "re abort",
    "re_halt": "re halt",
    "history_get": "history get",
    "history_clear": "history clear",
    "manager_stop": "manager stop",
    "manager_kill": "manager kill test",
    "test_manager_kill": "manager kill test",
}

COMMANDS = tuple(_WORDS)


def todays_words(command: str, parameters: Sequence[str]) -> list[str]:
    """The words that mean the same today; raises `CommandError` for an unknown command."""
    if command not in _WORDS:
        raise CommandError(f"Unrecognized command {command!r}: expected one of {', '.join(COMMANDS)}")
    words = _WORDS[command].split()
    if command == "queue_plan_add":
        return [*words, *map(_place, parameters[:-1]), *parameters[-1:]]
    if command == "manager_stop":
        return [*words, *(part for parameter in parameters for part in parameter.split("_"))]
    return [*words, *parameters]


def _place(word: str) -> str:
    """A place to add a plan: -1 was the one before the last plan, today it is the end."""
    return str(int(word) - 1) if is_integer(word) and int(word) < 0 else word
