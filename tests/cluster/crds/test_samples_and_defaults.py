"""What the API server makes of good resources: samples, defaults, status, columns, upgrades of the CRDs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_server import CRDS, ApiServer
from operator_world import SIMULATED, World
from queueserver_common.cluster import API_VERSION, MAX_NAME_LENGTH
from queueserver_operator.model import ApplyObject, CreateOnly, PatchStatus
from queueserver_operator.spec import QueueServerSpec

SAMPLES = sorted((Path(__file__).resolve().parents[3] / "docs" / "samples").glob("*.yaml"))
COLLECTIONS = {
    "QueueServer": f"/apis/{API_VERSION}/namespaces/default/queueservers",
    "ConfigMap": "/api/v1/namespaces/default/configmaps",
    "Secret": "/api/v1/namespaces/default/secrets",
    "PersistentVolumeClaim": "/api/v1/namespaces/default/persistentvolumeclaims",
}
QUEUE_SERVERS = COLLECTIONS["QueueServer"]


def minimal(name: str) -> dict[str, Any]:
    spec = copy.deepcopy(SIMULATED)
    return {"apiVersion": API_VERSION, "kind": "QueueServer", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_sample_is_accepted_as_it_is(api_server: ApiServer, sample: Path):
    for body in yaml.safe_load_all(sample.read_text()):
        answer = api_server.apply(f"{COLLECTIONS[body['kind']]}/{body['metadata']['name']}", body)
        assert answer.status_code in (200, 201), answer.text
        assert "Warning" not in answer.headers, answer.headers.get("Warning")
        stored = answer.json()
        assert without_defaults(body.get("spec", {}), stored.get("spec", {})) == body.get("spec", {})


def without_defaults(given: Any, stored: Any) -> Any:
    """What was stored, as far as it was given; a field that was pruned is missing."""
    if isinstance(given, dict):
        return {key: without_defaults(value, stored[key]) for key, value in given.items() if key in stored}
    if isinstance(given, list):
        return [without_defaults(one, other) for one, other in zip(given, stored, strict=True)]
    return stored


def test_the_operator_reads_the_same_with_and_without_the_defaults_of_the_schema(api_server: ApiServer):
    body = minimal("defaults")
    stored = api_server.apply(f"{QUEUE_SERVERS}/defaults", body).json()
    assert stored["spec"] != body["spec"]
    plain = {**stored, "spec": body["spec"]}
    assert QueueServerSpec.parse(plain) == QueueServerSpec.parse(stored)


def test_the_longest_name_is_accepted(api_server: ApiServer):
    name = "q" * MAX_NAME_LENGTH
    assert api_server.apply(f"{QUEUE_SERVERS}/{name}", minimal(name)).is_success


@pytest.mark.parametrize("amount", [2, "500m", "0.5", "4Gi", "1e9", "128974848"])
def test_amounts_of_resources_are_taken_in_every_way_of_writing_them(api_server: ApiServer, amount: int | str):
    body = minimal("amounts")
    limits = {"cpu": amount, "memory": amount, "example.org/detector": amount}
    body["spec"]["environment"]["resources"] = {"requests": limits, "limits": limits}
    body["spec"]["storage"] = {"size": amount}
    answer = api_server.apply(f"{QUEUE_SERVERS}/amounts", body)
    assert answer.is_success, answer.text
    assert api_server.request("DELETE", f"{QUEUE_SERVERS}/amounts").is_success


def test_an_unknown_field_is_an_error(api_server: ApiServer):
    body = minimal("unknown")
    body["spec"]["environment"]["profil"] = {}
    answer = api_server.apply(f"{QUEUE_SERVERS}/unknown", body)
    assert answer.status_code in (400, 500)
    assert "profil" in answer.json()["message"]


def test_a_pod_template_keeps_every_field(api_server: ApiServer):
    body = minimal("template")
    spec = {"dnsConfig": {"nameservers": ["10.0.0.1"]}, "containers": [{"name": "worker", "stdin": True}]}
    body["spec"]["environment"]["podTemplate"] = {"spec": spec}
    stored = api_server.apply(f"{QUEUE_SERVERS}/template", body).json()
    assert stored["spec"]["environment"]["podTemplate"]["spec"] == spec


def test_two_writers_share_a_status(api_server: ApiServer):
    """The manager applies queue and state, the operator the rest; neither removes what is the other's."""
    body = minimal("shared")
    api_server.apply(f"{QUEUE_SERVERS}/shared", body)
    head = {"apiVersion": API_VERSION, "kind": "QueueServer", "metadata": {"name": "shared"}}
    path = f"{QUEUE_SERVERS}/shared/status"

    def write(manager: str, status: dict[str, Any]) -> dict[str, Any]:
        answer = api_server.request("PATCH", path, {**head, "status": status}, fieldManager=manager, force="true")
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()["status"]
        return found

    write("queueserver-manager", {"queue": {"items": 3, "running": "count"}, "state": {"manager": "idle"}})
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "A",
        "message": "b",
        "lastTransitionTime": "2027-01-15T08:00:00Z",
    }
    pending = {**condition, "type": "RolloutPending"}
    both = write("queueserver-operator", {"phase": "idle", "conditions": [condition, pending]})
    assert both["queue"] == {"items": 3, "running": "count"}
    one = write("queueserver-operator", {"phase": "idle", "conditions": [condition]})
    assert [each["type"] for each in one["conditions"]] == ["Ready"]
    assert one["state"] == {"manager": "idle"}


def test_what_the_operator_writes_as_status_is_stored_as_it_is(api_server: ApiServer):
    """A field that the schema does not know would be pruned, and written again for ever."""
    world = World(SIMULATED)
    name = world.opened()
    world.change_template(image="x")
    world.settle()
    world.end_worker(name, 1)
    world.manager_says()
    world.settle()
    for kind, plural in (("QueueServer", "queueservers"), ("WorkerEnvironment", "workerenvironments")):
        body = {key: world.get(kind, name if kind == "WorkerEnvironment" else "q")[key] for key in ("kind", "spec")}
        body |= {"apiVersion": API_VERSION, "metadata": {"name": name if kind == "WorkerEnvironment" else "q"}}
        path = f"/apis/{API_VERSION}/namespaces/default/{plural}/{body['metadata']['name']}"
        assert api_server.apply(path, body).is_success
        for action in world.done:
            if isinstance(action, PatchStatus) and action.ref.kind == kind:
                answer = api_server.apply(f"{path}/status", {**body, "status": dict(action.status)})
                assert answer.is_success, answer.text
                assert answer.json()["status"] == action.status


def test_every_manifest_of_the_operator_is_accepted(api_server: ApiServer):
    plurals = {
        "Pod": "api/v1/{}/pods",
        "ConfigMap": "api/v1/{}/configmaps",
        "Secret": "api/v1/{}/secrets",
        "Service": "api/v1/{}/services",
        "ServiceAccount": "api/v1/{}/serviceaccounts",
        "PersistentVolumeClaim": "api/v1/{}/persistentvolumeclaims",
        "StatefulSet": "apis/apps/v1/{}/statefulsets",
        "Role": "apis/rbac.authorization.k8s.io/v1/{}/roles",
        "RoleBinding": "apis/rbac.authorization.k8s.io/v1/{}/rolebindings",
        "NetworkPolicy": "apis/networking.k8s.io/v1/{}/networkpolicies",
        "PodDisruptionBudget": "apis/policy/v1/{}/poddisruptionbudgets",
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "beamline"}}
    assert api_server.apply("/api/v1/namespaces/beamline", namespace).is_success
    world = World(yaml.safe_load((SAMPLES[0].parent / "beamline.yaml").read_text())["spec"])
    name = world.opened()
    world.manager_says("executing_queue", "executing_plan", link="connected", environment_name=name, running="count")
    world.settle()
    written = [one.manifest for one in world.done if isinstance(one, ApplyObject | CreateOnly)]
    assert {one["kind"] for one in written} == plurals.keys()
    for manifest in written:
        collection = "/" + plurals[manifest["kind"]].format("namespaces/beamline")
        answer = api_server.apply(f"{collection}/{manifest['metadata']['name']}", manifest)
        assert answer.is_success, answer.text
        assert "Warning" not in answer.headers, answer.headers.get("Warning")


def test_columns_of_kubectl_get(api_server: ApiServer):
    api_server.apply(f"{QUEUE_SERVERS}/columns", minimal("columns"))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    for plural, columns in (
        ("queueservers", ["Name", "State", "Env", "Queue", "Running", "Profile", "Age"]),
        ("workerenvironments", ["Name", "QueueServer", "State", "Node", "Reason", "Age"]),
    ):
        path = f"/apis/{API_VERSION}/namespaces/default/{plural}"
        table = api_server.http.get(path, headers=accept).json()
        assert [one["name"] for one in table["columnDefinitions"] if one["priority"] == 0] == columns


def test_crds_can_be_applied_again_under_live_objects(api_server: ApiServer):
    api_server.apply(f"{QUEUE_SERVERS}/live", minimal("live"))
    before = api_server.http.get(f"{QUEUE_SERVERS}/live").json()
    api_server.install(CRDS)
    assert api_server.http.get(f"{QUEUE_SERVERS}/live").json() == before
