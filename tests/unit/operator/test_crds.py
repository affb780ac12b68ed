"""The CRDs as text: names, descriptions, size, structure. What they do is tried in tests/cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from queueserver_common import cluster

ROOT = Path(__file__).resolve().parents[3]
CRDS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))}
EMBEDDED = {
    *("resources", "tolerations", "affinity", "env", "envFrom", "volumes", "volumeMounts", "imagePullSecrets"),
    *("clients", "workerIngress", "workerEgress"),
}
"""Fields of core types, whose parts have no descriptions."""

every_crd = pytest.mark.parametrize("plural", CRDS)


def schema(plural: str) -> dict[str, Any]:
    (version,) = CRDS[plural]["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of ours with its path."""
    for name, field in node.get("properties", {}).items():
        if path == "" and name in ("apiVersion", "kind", "metadata"):
            continue
        yield f"{path}.{name}", field
        if name not in EMBEDDED:
            yield from fields(field, f"{path}.{name}")
            yield from fields(field.get("items", {}), f"{path}.{name}[]")


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def test_names_are_those_that_manager_and_operator_use():
    found = {plural: (crd["spec"]["group"], crd["spec"]["names"]["kind"]) for plural, crd in CRDS.items()}
    assert found == {
        cluster.QUEUE_SERVER_PLURAL: (cluster.GROUP, cluster.QUEUE_SERVER_KIND),
        cluster.ENVIRONMENT_PLURAL: (cluster.GROUP, cluster.ENVIRONMENT_KIND),
    }
    assert {crd["spec"]["versions"][0]["name"] for crd in CRDS.values()} == {cluster.VERSION}
    assert CRDS["queueservers"]["spec"]["names"]["shortNames"] == ["qs"]
    assert CRDS["workerenvironments"]["spec"]["names"]["shortNames"] == ["wenv"]


@every_crd
def test_every_field_of_ours_describes_itself_with_a_sentence(plural: str):
    silent = [path for path, field in fields(schema(plural)) if not re.search(r"[.…]$", field.get("description", ""))]
    assert silent == []


@every_crd
def test_a_crd_is_small(plural: str):
    assert len(json.dumps(CRDS[plural])) < 200 * 1024


@every_crd
def test_nothing_keeps_unknown_fields_but_pod_templates(plural: str):
    def keeping(node: dict[str, Any], path: str = "") -> Iterator[str]:
        if node.get("x-kubernetes-preserve-unknown-fields"):
            yield path
        for name, field in node.get("properties", {}).items():
            yield from keeping(field, f"{path}.{name}")

    templates = [f".spec.{part}.podTemplate.spec" for part in ("manager", "http", "environment")]
    assert list(keeping(schema(plural))) == (templates if plural == "queueservers" else [])


@every_crd
def test_every_rule_has_a_sentence(plural: str):
    rules = [rule for node in nodes(schema(plural)) for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert all(len(rule["message"].split()) >= 5 for rule in rules)


@every_crd
def test_conditions_are_a_map_by_type(plural: str):
    conditions = schema(plural)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@every_crd
def test_status_is_a_subresource(plural: str):
    assert CRDS[plural]["spec"]["versions"][0]["subresources"] == {"status": {}}


def test_the_longest_name_in_the_rules_is_the_one_in_the_code():
    text = (ROOT / "crds" / "queueservers.yaml").read_text()
    assert f"size(self.metadata.name) <= {cluster.MAX_NAME_LENGTH}" in text
    reference = schema("workerenvironments")["properties"]["spec"]["properties"]["queueServerRef"]
    assert reference["properties"]["name"]["maxLength"] == cluster.MAX_NAME_LENGTH


def test_manager_worker_and_http_server_have_the_same_settings_of_pods():
    spec = schema("queueservers")["properties"]["spec"]["properties"]
    manager, worker, http = (spec[name]["properties"] for name in ("manager", "environment", "http"))
    shared = manager.keys() & worker.keys()
    assert len(shared) > 20
    assert shared == manager.keys() - {"logLevel", "historyLimit", "auditLimit", "metadataKeys", "rootSubmits"}
    assert shared <= http.keys()


# The page about conditions -------------------------------------------------------------------------------------------


def source_reasons() -> set[str]:
    """Reasons that the decisions give: the first argument of a cause, the second of the end of a worker."""
    sources = "".join(path.read_text() for path in (ROOT / "operator/queueserver_operator/decisions").glob("*.py"))
    direct = re.findall(r'(?:Trouble|Cause)\(\s*"(\w+)"', sources)
    ends = re.findall(r'WorkerEnd\(\w+, "(\w+)"', sources)
    return {*direct, *ends}


def test_the_page_about_conditions_tells_every_reason():
    page = (ROOT / "docs" / "reference" / "conditions.md").read_text()
    told = set(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    named = {name for cell in told for name in re.findall(r"`(\w+)`", cell)}
    assert source_reasons() - named == set()
    everything = "".join(path.read_text() for path in (ROOT / "operator/queueserver_operator").rglob("*.py"))
    composed = {"PodRefused", "ConfigMapRefused", "LeaseRefused"}
    assert [name for name in sorted(named - composed) if f'"{name}"' not in everything] == []
