"""docs/reference/link-protocol.md: the messages between manager and worker."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from typing import Any, get_args

from queueserver_common.link import messages
from reference_pages import markdown
from reference_pages.markdown import code, documented, table

_INTRODUCTION = f"""\
The worker connects a DEALER socket, whose identity is the id of the opening, to the manager's ROUTER socket. A message
is one frame, encoded with msgpack; the version of the format is {messages.PROTOCOL_VERSION}. Queue items, lists and
permissions travel inside it as JSON text, so that numbers of any size, NaN and
infinities arrive as they were submitted.

A connection begins with `Hello`; nothing else is taken from a worker that the manager does not know. After `Welcome`,
the worker sends the events that are not stored yet, then lives. [The worker link](../explanations/worker-link.md)
explains why it is so."""

_CONSTANTS = ("PROTOCOL_VERSION", "HEARTBEAT_PERIOD", "SILENT_AFTER")


def page() -> str:
    """The page."""
    texts = documented(messages)
    constants = [(code(name), str(getattr(messages, name)), texts[name]) for name in _CONSTANTS]
    return markdown.page(
        "Link protocol",
        "`queueserver_common.link.messages`",
        _INTRODUCTION,
        table(["constant", "value", "meaning"], constants),
        "## Worker to manager",
        *_sections(_members(messages.ToManager), texts),
        "### Bodies of `Event`",
        *_sections(_members(messages.EventBody), texts, level=4),
        "## Manager to worker",
        *_sections(_members(messages.ToWorker), texts),
        "### Bodies of `Command`",
        *_sections(_members(messages.CommandBody), texts, level=4),
        "## Parts of messages",
        *_sections((messages.Snapshot, messages.Run, messages.LedgerEntry, messages.KnownTask), texts),
        *_sections((messages.EnvironmentPhase, messages.ItemStage, messages.ExitStatus), texts),
    )


def _members(union: types.UnionType) -> tuple[type[Any], ...]:
    members: tuple[type[Any], ...] = get_args(union)
    return members


def _sections(kinds: Iterable[type[Any]], texts: dict[str, str], level: int = 3) -> list[str]:
    return [_section(kind, texts, level) for kind in kinds]


def _section(kind: type[Any], texts: dict[str, str], level: int) -> str:
    blocks = [f"{'#' * level} {kind.__name__}", texts[kind.__name__]]
    if not dataclasses.is_dataclass(kind):
        blocks.append("One of " + ", ".join(code(value) for value in kind) + ".")
    elif fields := dataclasses.fields(kind):
        rows = [(code(field.name), code(field.type), texts[f"{kind.__name__}.{field.name}"]) for field in fields]
        blocks.append(table(["field", "type", "meaning"], rows))
    return "\n\n".join(blocks)
