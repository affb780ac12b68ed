"""The schema of a custom resource, as JSON schema and as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]

_KEPT = (
    "description",
    "type",
    "default",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "anyOf",
)


@dataclass(frozen=True)
class Field:
    """One field that has a description."""

    path: tuple[str, ...]
    type: str
    default: str
    """As JSON; empty: none."""
    description: str
    choices: tuple[str, ...] = ()


def specification(file: Path) -> Schema:
    """The schema of `spec` in the first version of a CustomResourceDefinition."""
    definition = yaml.safe_load(file.read_text())
    root: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec: Schema = root["properties"]["spec"]
    return spec


def json_schema(structural: Mapping[str, Any]) -> Schema:
    """The same rules as a JSON schema, but strict: a field that the API server would drop is refused.

    Rules in CEL have no counterpart; they stay with the API server.
    """
    built: Schema = {key: structural[key] for key in _KEPT if key in structural}
    if "items" in structural:
        built["items"] = json_schema(structural["items"])
    if "properties" in structural and not _open(structural):
        built["properties"] = {key: json_schema(value) for key, value in structural["properties"].items()}
    if structural.get("type") == "object":
        built["additionalProperties"] = _additional(structural)
    return built


def fields(structural: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Field]:
    """The described fields below a schema, those with described members before them."""
    members = {} if _open(structural) else structural.get("properties", {})
    for key, value in members.items():
        described = [*fields(value, (*path, key))]
        if "description" in value:
            default = json.dumps(value["default"]) if value.get("default", {}) != {} else ""
            yield Field((*path, key), _type(value), default, value["description"], tuple(value.get("enum", ())))
        yield from described


def _open(structural: Mapping[str, Any]) -> bool:
    """Whether it takes any field; those that it names are there for rules in CEL."""
    return bool(structural.get("x-kubernetes-preserve-unknown-fields"))


def _additional(structural: Mapping[str, Any]) -> bool | Schema:
    if _open(structural):
        return True
    additional = structural.get("additionalProperties")
    return json_schema(additional) if isinstance(additional, dict) else False


def _type(structural: Mapping[str, Any]) -> str:
    if structural.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = str(structural.get("type", ""))
    if kind == "array":
        return f"list of {_type(structural['items'])}s"
    return kind
