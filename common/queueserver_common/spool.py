"""Ends of items and tasks on disk, for a manager that finds its worker gone (design: the worker's spool).

The worker writes the end of each item and task here before it reports it over the link, and makes it durable before it
starts another one. A manager that was away when the worker ended reads the file; one file per opening, one JSON line
per end.

A pod's files go with it. There the last unstored end of an item and, as far as they fit, those of tasks are also the
container's termination message, which the kubelet puts into the pod's status.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from queueserver_common.link.messages import End, ExitStatus, ItemEnded, TaskEnded

_SUFFIX = ".jsonl"

MAX_TERMINATION_MESSAGE = 4096
"""Bytes that the kubelet takes of a termination message."""

_MOST_TASKS = 20
"""Ends of tasks that are thought of for a termination message."""

_LONGEST_TEXT = 1000
"""Characters of a message or traceback of an end that does not fit."""


def spool_path(directory: str, opening_id: str) -> Path:
    """The spool file of an opening."""
    return Path(directory) / f"{opening_id}{_SUFFIX}"


class SpoolWriter:
    """The worker's end of the spool; the file is created with the first entry, readable by its owner only."""

    def __init__(self, directory: str, opening_id: str) -> None:
        self._path = spool_path(directory, opening_id)
        self._fd: int | None = None

    def write(self, ended: End) -> None:
        """Add an entry; it outlives this process, and after `sync` also a crash of the machine. Raises OSError."""
        if self._fd is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            _sync_directory(self._path.parent)
        os.write(self._fd, _to_line(ended))

    def sync(self) -> None:
        """Wait until all entries are on disk. Raises OSError."""
        if self._fd is not None:
            os.fsync(self._fd)

    def forget(self) -> None:
        """All entries are stored elsewhere: start an empty file. Raises OSError."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)

    def remove(self) -> None:
        """All entries are stored elsewhere and none will follow."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._path.unlink(missing_ok=True)


class TerminationMessage:
    """The last unstored ends as the message that a container leaves behind; nothing once they are stored elsewhere."""

    def __init__(self, path: str) -> None:
        """`path`: the container's `terminationMessagePath`; empty outside of a container."""
        self._path = path
        self._item = b""
        self._tasks: list[bytes] = []

    def write(self, ended: End) -> None:
        """Add the end of a task, or replace that of the item. Raises OSError."""
        if not self._path:
            return
        if isinstance(ended, ItemEnded):
            self._item = _fitting_line(ended)
        else:
            self._tasks = [*self._tasks, _to_line(ended)][-_MOST_TASKS:]
        message = self._item
        for line in reversed(self._tasks):
            if len(message) + len(line) <= MAX_TERMINATION_MESSAGE:
                message += line
        Path(self._path).write_bytes(message)

    def clear(self) -> None:
        """The ends are stored: leave no message. Raises OSError."""
        if self._item or self._tasks:
            Path(self._path).write_bytes(b"")
            self._item, self._tasks = b"", []


def read_termination_message(text: str) -> tuple[End, ...]:
    """The ends that a container left behind; empty when its message is something else, say the end of its log."""
    return tuple(_ends(text.encode("utf-8", "replace")))


def _fitting_line(ended: ItemEnded) -> bytes:
    """The line of an end, with shorter texts and without runs where the kubelet would cut it."""
    line = _to_line(ended)
    if len(line) > MAX_TERMINATION_MESSAGE:
        line = _to_line(replace(ended, msg=ended.msg[:_LONGEST_TEXT], traceback=""))
    if len(line) > MAX_TERMINATION_MESSAGE:
        # Escaped, a character takes up to twelve bytes.
        line = _to_line(replace(ended, msg=ended.msg[: _LONGEST_TEXT // 5], traceback="", run_uids=(), scan_ids=()))
    return line


def read_spool(directory: str, opening_id: str) -> list[End]:
    """The ends of items and tasks that a worker recorded, oldest first; empty when there is no file.

    A last line that was cut off by a crash of the machine is left out, and so is a line that is damaged.
    """
    try:
        text = spool_path(directory, opening_id).read_bytes()
    except FileNotFoundError:
        return []
    return _ends(text)


def remove_spool(directory: str, opening_id: str) -> None:
    """Remove the file of an opening, if there is one."""
    spool_path(directory, opening_id).unlink(missing_ok=True)


def _ends(text: bytes) -> list[End]:
    return [ended for line in text.split(b"\n") if (ended := _from_line(line)) is not None]


def _to_line(ended: End) -> bytes:
    values: dict[str, Any] = {name: getattr(ended, name) for name in _FIELDS[type(ended)]}
    if isinstance(ended, TaskEnded):
        values["return_value"] = ended.return_value.decode("ascii")
    # The leading newline ends a line that was cut off before.
    return b"\n" + json.dumps(values).encode("ascii") + b"\n"


_FIELDS: dict[type, tuple[str, ...]] = {kind: tuple(f.name for f in fields(kind)) for kind in (ItemEnded, TaskEnded)}


def _from_line(line: bytes) -> End | None:
    try:
        values = json.loads(line)
        return _task_end(values) if "task_uid" in values else _item_end(values)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _item_end(values: dict[str, Any]) -> ItemEnded:
    return ItemEnded(
        item_uid=str(values["item_uid"]),
        exit_status=ExitStatus(values["exit_status"]),
        time_start=float(values["time_start"]),
        time_stop=float(values["time_stop"]),
        run_uids=tuple(str(uid) for uid in values["run_uids"]),
        scan_ids=tuple(int(number) for number in values["scan_ids"]),
        msg=str(values["msg"]),
        traceback=str(values["traceback"]),
        refused=bool(values["refused"]),
        worker_ends=bool(values.get("worker_ends", False)),  # a worker one release older does not write it
    )


def _task_end(values: dict[str, Any]) -> TaskEnded:
    return TaskEnded(
        task_uid=str(values["task_uid"]),
        success=bool(values["success"]),
        time_start=float(values["time_start"]),
        time_stop=float(values["time_stop"]),
        msg=str(values["msg"]),
        traceback=str(values["traceback"]),
        return_value=str(values["return_value"]).encode("ascii"),
    )


def _sync_directory(directory: Path) -> None:
    """Make the file's name as durable as its content, where the system can."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
