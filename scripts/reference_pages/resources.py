"""docs/reference/queueserver.md and workerenvironment.md: the fields of the resources, from the CRDs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from reference_pages import markdown
from reference_pages.markdown import code, codes, table, text

_CRDS = Path(__file__).resolve().parents[2] / "crds"
_CONDITIONS = "What the conditions and their reasons mean: [Conditions](conditions.md)."


def pages() -> dict[str, str]:
    """The pages by their file names."""
    return {
        "queueserver.md": _page("queueservers.yaml", "Samples to begin with are in `docs/samples`."),
        "workerenvironment.md": _page(
            "workerenvironments.yaml", "One that a person makes is an opening like any other, if none is open."
        ),
    }


def _page(file: str, remark: str) -> str:
    crd = yaml.safe_load((_CRDS / file).read_text())["spec"]
    (version,) = crd["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    names = crd["names"]
    head = [
        ("apiVersion", code(f"{crd['group']}/{version['name']}")),
        ("kind", code(names["kind"])),
        ("short name, category", codes([*names["shortNames"], *names["categories"]])),
    ]
    return markdown.page(
        names["kind"],
        f"`crds/{file}`",
        f"{text(schema['description'])} {remark}",
        table(["", ""], head),
        "## Specification",
        "Fields of Kubernetes' own types, such as volumes and tolerations, are those of a pod.",
        _fields(schema["properties"]["spec"]),
        "## Rules",
        "The API server refuses what breaks one of them, with this sentence.",
        "\n".join(f"- {text(sentence)}".replace("<", r"\<") for sentence in dict.fromkeys(_rules(schema))),
        "## Status",
        f"{text(schema['properties']['status']['description'])} {_CONDITIONS}",
        _fields(schema["properties"]["status"]),
        "## Columns of kubectl get",
        table(
            ["column", "shown with", "content"],
            [
                (
                    column["name"].upper(),
                    code("-o wide") if column.get("priority") else "",
                    text(column.get("description", "Age of the object")),
                )
                for column in version["additionalPrinterColumns"]
            ],
        ),
    )


def _fields(schema: Mapping[str, Any]) -> str:
    rows = [*_rows("", schema)]
    return table(["field", "type", "default", "meaning"], rows)


def _rows(prefix: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if "description" not in field:
            continue
        path = f"{prefix}{name}"
        default = "required" if name in required else _default(field)
        yield code(path), _type(field), default, _meaning(field)
        items = field.get("items", {})
        yield from _rows(f"{path}.", field)
        yield from _rows(f"{path}[].", items)


def _type(field: Mapping[str, Any]) -> str:
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    return str(field.get("type", ""))


def _default(field: Mapping[str, Any]) -> str:
    if field.get("default") in (None, {}):
        return ""
    return code(json.dumps(field["default"]))


def _meaning(field: Mapping[str, Any]) -> str:
    limits = []
    if "enum" in field:
        limits.append(f"One of {codes(field['enum'])}.")
    if "minimum" in field and "maximum" in field:
        limits.append(f"{field['minimum']} to {field['maximum']}.")
    elif "minimum" in field:
        limits.append(f"At least {field['minimum']}.")
    return " ".join([text(field["description"]), *limits])


def _rules(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
        for value in node.values():
            yield from _rules(value)
    elif isinstance(node, list):
        for value in node:
            yield from _rules(value)
