"""Metadata of the RunEngine for clients (zmq-api 5.8): they may be kept far away, so a thread of its own reads them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from queueserver_common.link.messages import CommandResult
from queueserver_worker.runtime.environment import Environment
from queueserver_worker.runtime.late_answers import LateAnswers
from queueserver_worker.runtime.outcome import error_text, printable
from queueserver_worker.runtime.threads import start_thread

Path = tuple[str, ...]


class MetadataError(Exception):
    """The metadata cannot be told; the text is the contract's sentence."""


class MetadataReader:
    """Answers requests for metadata, one after the other."""

    def __init__(self, environment: Environment, answers: LateAnswers) -> None:
        self._environment = environment
        self._answers = answers
        self._requests: SimpleQueue[tuple[str, tuple[str, ...]]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def read(self, command_id: str, permitted: tuple[str, ...]) -> None:
        """Answer the command as soon as the metadata are read."""
        self._requests.put((command_id, permitted))
        if self._thread is None:
            self._thread = start_thread("metadata", self._run)

    def _run(self) -> None:
        while True:
            command_id, permitted = self._requests.get()
            try:
                text = metadata_text(self._environment.metadata, permitted)
            except MetadataError as error:
                self._answers.add(CommandResult(command_id, ok=False, msg=printable(str(error))))
            else:
                self._answers.add(CommandResult(command_id, ok=True, value=text))


def metadata_text(read: Callable[[], object], permitted: tuple[str, ...]) -> bytes:
    """JSON text of the permitted part of what `read` returns; raises MetadataError."""
    try:
        metadata = read()
    except AttributeError as error:
        raise MetadataError("Run Engine does not have a metadata attribute") from error
    except LookupError as error:
        raise MetadataError("Run Engine does not exist in worker environment") from error
    try:
        mapping = dict(metadata)  # type: ignore[call-overload]  # the profile's own; looked at right here
    except Exception as error:
        raise MetadataError(f"Failed to convert Run Engine metadata to dictionary: {error_text(error)}") from error
    kept = permitted_part(mapping, [_components(path) for path in permitted])
    try:
        return json.dumps(kept).encode("ascii")
    except Exception as error:
        raise MetadataError(f"Failed to serialize RE metadata with JSON: {error_text(error)}") from error


def permitted_part(values: Mapping[Any, Any], permitted: list[Path]) -> dict[Any, Any]:
    """What lies below one of the paths; a path is compared with keys component by component, the empty one is all."""
    if () in permitted:
        return dict(values)
    kept: dict[Any, Any] = {}
    for key, value in values.items():
        name = _components(str(key))
        if any(path[: len(name)] and name[: len(path)] == path for path in permitted):
            kept[key] = value
            continue
        deeper = [path[len(name) :] for path in permitted if name and path[: len(name)] == name]
        if deeper and isinstance(value, Mapping) and (part := permitted_part(value, deeper)):
            kept[key] = part
    return kept


def _components(path: str) -> Path:
    return tuple(filter(None, path.split("/")))
