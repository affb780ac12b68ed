"""Turns the writes of a commit into the arguments of the commit script (`scripts.COMMIT`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from queueserver_manager.core.writes import (
    AppendAudit,
    AppendHistory,
    ClearQueue,
    MoveItems,
    PutItems,
    RemoveItems,
    SetField,
    SetRunning,
    TrimHistory,
    Write,
)
from queueserver_manager.store.connection import Argument
from queueserver_manager.store.keys import BLOB_MARK


def encode_writes(writes: Sequence[Write]) -> list[Argument]:
    """Arguments for the script, in the order of the writes; writes that change nothing are left out."""
    arguments: list[Argument] = []
    for write in writes:
        match write:
            case PutItems(items):
                arguments += _put(items)
            case RemoveItems(uids):
                arguments += ("remove", len(uids), *uids) if uids else ()
            case MoveItems(ranks):
                arguments += _move(ranks)
            case ClearQueue():
                arguments.append("clear")
            case SetRunning(record):
                arguments += ("rest",) if record is None else ("run", record)
            case AppendHistory(seq, uid, time_stop, text):
                arguments += ("append", seq, seq + 1, f"{seq + 1}-0", uid, repr(time_stop), text)
            case TrimHistory(first_seq):
                arguments += ("trim", first_seq)
            case AppendAudit(limit, text):
                arguments += ("audit", limit, text)
            case SetField(name, value):
                arguments += _set(name, value)
            case _:
                assert_never(write)
    return arguments


def _put(items: tuple[tuple[str, int, bytes], ...]) -> list[Argument]:
    if not items:
        return []
    arguments: list[Argument] = ["put", len(items)]
    for uid, _, text in items:
        arguments += (uid, text)
    for uid, rank, _ in items:
        arguments += (rank, uid)
    return arguments


def _move(ranks: tuple[tuple[str, int], ...]) -> list[Argument]:
    if not ranks:
        return []
    arguments: list[Argument] = ["move", len(ranks)]
    for uid, rank in ranks:
        arguments += (rank, uid)
    return arguments


def _set(name: str, value: bytes | None) -> tuple[Argument, ...]:
    kind = "-blob" if name.startswith(BLOB_MARK) else ""
    return (f"unset{kind}", name) if value is None else (f"set{kind}", name, value)


def first_appended(writes: Sequence[Write]) -> int | None:
    """Number of the first history entry that the writes append; ValueError unless the numbers are consecutive."""
    first: int | None = None
    for count, seq in enumerate(write.seq for write in writes if isinstance(write, AppendHistory)):
        if first is None:
            first = seq
        elif seq != first + count:
            raise ValueError(f"history entry {first + count} is missing: entry {seq} follows {first + count - 1}")
    return first
