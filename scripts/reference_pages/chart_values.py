"""Values of a Helm chart, from the comments in its values.yaml.

A comment that begins with `# --` describes the value below it; a line `# @schema {...}` in it adds to its JSON schema.
Every value is described, or is an object whose members are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

_LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][\w-]*):(?: |$)")
_TYPES: dict[type, str] = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


@dataclass(frozen=True)
class Value:
    """One value that a user of the chart may set."""

    path: tuple[str, ...]
    default: Any
    description: str
    schema: Schema
    """JSON schema, with the description."""

    @property
    def name(self) -> str:
        return ".".join(self.path)


def read(file: Path) -> list[Value]:
    """The described values of a values.yaml, in its order; raises ValueError when one is not described."""
    text = file.read_text()
    defaults: dict[str, Any] = yaml.safe_load(text)
    found: list[Value] = []
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
            continue
        if match := _LINE.match(line):
            indent = len(match["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, match["key"]))
            path = tuple(key for _, key in parents)
            if any(text.startswith("--") for text in comment):
                found.append(_value(path, _at(defaults, path), comment))
            elif not _described_above(path, found):
                _refuse_value_without_description(file, path, _at(defaults, path))
        comment = []
    return found


def schema(values: list[Value], title: str) -> Schema:
    """JSON schema of all values; unknown ones are refused."""
    root: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for value in values:
        place = root
        for key in value.path[:-1]:
            closed: Schema = {"type": "object", "additionalProperties": False, "properties": {}}
            place = place["properties"].setdefault(key, closed)
        place["properties"][value.path[-1]] = value.schema
    root["properties"]["global"] = {
        "description": "Values that a chart shares with those that it depends on; not used here.",
        "type": "object",
    }
    return root


def _value(path: tuple[str, ...], default: Any, comment: list[str]) -> Value:
    start = next(index for index, line in enumerate(comment) if line.startswith("--"))
    texts = [line for line in comment[start:] if not line.startswith("@schema ")]
    description = " ".join([texts[0].removeprefix("--").strip(), *texts[1:]])
    additions: Schema = {}
    for line in comment:
        if line.startswith("@schema "):
            additions |= json.loads(line.removeprefix("@schema "))
    return Value(path, default, description, _schema(default, description, additions))


def _schema(default: Any, description: str, additions: Mapping[str, Any]) -> Schema:
    built: Schema = {"description": description, "type": _TYPES[type(default)], "default": default}
    if isinstance(default, dict):
        built["additionalProperties"] = False
    return built | dict(additions)


def _at(values: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = values
    for key in path:
        found = found[key]
    return found


def _described_above(path: tuple[str, ...], found: list[Value]) -> bool:
    return any(path[: len(value.path)] == value.path for value in found)


def _refuse_value_without_description(file: Path, path: tuple[str, ...], default: Any) -> None:
    if not isinstance(default, dict) or not default:
        raise ValueError(f"{file}: {'.'.join(path)} has no description, a comment above it that begins with '# --'")
