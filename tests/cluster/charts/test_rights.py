"""With the rights that the chart gives it, the operator can do its work at a real API server, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from api_server import ApiServer
from deadline import wait_until
from helm_charts import Helm, Manifest
from queueserver_common.cluster import API_VERSION
from queueserver_operator import kinds
from queueserver_operator.build import access
from queueserver_operator.spec import QueueServerSpec

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "rel-queueserver-operator"
LISTED = [kind.path("served") for kind in (*kinds.WATCHED, *kinds.AUDITED, kinds.EVENT)] + [kinds.LEASE.path("system")]


class Person:
    """Somebody who sends requests to the API server under a name of theirs."""

    def __init__(self, server: ApiServer, user: str) -> None:
        self._server = server
        self._headers = {"Impersonate-User": user}

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str) -> httpx.Response:
        content = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        headers = self._headers | {"Content-Type": content}
        return self._server.http.request(method, path, params=query, json=body, headers=headers)

    def apply(self, manifest: Manifest) -> httpx.Response:
        metadata = manifest["metadata"]
        path = kinds.kind_named(manifest["kind"]).path(metadata["namespace"], metadata["name"])
        return self.request("PATCH", path, manifest, fieldManager="test", force="true")


def install(server: ApiServer, manifests: list[Manifest]) -> None:
    """The roles and bindings of a release."""
    for one in manifests:
        if one["apiVersion"].startswith("rbac."):
            namespace = one["metadata"].get("namespace")
            plural = f"{one['kind'].lower()}s"
            place = f"{RBAC}/namespaces/{namespace}/{plural}" if namespace else f"{RBAC}/{plural}"
            answer = server.apply(f"{place}/{one['metadata']['name']}", one)
            assert answer.is_success, answer.text


@pytest.fixture(params=["cluster-wide", "namespaced"])
def operator(request: pytest.FixtureRequest, helm: Helm, api_server: ApiServer) -> Iterator[Person]:
    """The operator of a release in the namespace `system`, which serves the namespace `served`."""
    for name in ("system", "served", "other"):
        api_server.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    values = {"watchNamespaces": ["served"]} if request.param == "namespaced" else {}
    install(api_server, helm.render("queueserver-operator", values, namespace="system"))
    person = Person(api_server, f"system:serviceaccount:system:{ACCOUNT}")
    # The API server learns of roles a moment after they are written.
    wait_until(lambda: all(person.request("GET", path).is_success for path in LISTED), "the roles hold")
    yield person
    for path in ("clusterroles", "clusterrolebindings"):
        api_server.http.delete(f"{RBAC}/{path}/system-{ACCOUNT}")
    for name in ("system", "served", "other"):
        for path in ("roles", "rolebindings"):
            api_server.http.delete(f"{RBAC}/namespaces/{name}/{path}")
    wait_until(lambda: all(person.request("GET", path).status_code == 403 for path in LISTED), "the roles are gone")


def spec() -> QueueServerSpec:
    metadata = {"namespace": "served", "name": "q", "uid": "1f"}
    return QueueServerSpec.parse({"metadata": metadata, "spec": {"environment": {"profile": {"simulated": {}}}}})


def test_it_may_give_the_manager_its_rights_because_it_holds_them_itself(operator: Person):
    for manifest in (access.role(spec()), access.role_binding(spec())):
        answer = operator.apply(manifest)
        assert answer.is_success, answer.text


def test_it_may_give_nobody_a_right_that_it_does_not_hold(operator: Person):
    manifest = access.role(spec())
    manifest["rules"] = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]
    answer = operator.apply(manifest)
    assert answer.status_code == 403
    assert "attempting to grant RBAC permissions not currently held" in answer.text


def test_it_may_list_what_it_keeps_in_view(operator: Person):
    assert [path for path in LISTED if not operator.request("GET", path).is_success] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/namespaces/served/secrets"),
        ("GET", "/api/v1/secrets"),
        ("DELETE", "/api/v1/namespaces/served/pods"),
        ("DELETE", f"/apis/{API_VERSION}/namespaces/served/queueservers/q"),
        ("GET", "/apis/apps/v1/namespaces/served/daemonsets"),
        ("GET", "/api/v1/nodes"),
        ("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/other/leases"),
        ("POST", "/api/v1/namespaces/served/pods/x/exec"),
    ],
)
def test_it_may_not(operator: Person, method: str, path: str):
    assert operator.request(method, path).status_code == 403


def test_it_reads_nodes_one_by_one_and_only_when_it_works_in_the_whole_cluster(
    operator: Person, request: pytest.FixtureRequest
):
    answer = operator.request("GET", "/api/v1/nodes/gone")
    assert answer.status_code == (404 if "cluster-wide" in request.node.name else 403)


def test_it_sees_other_namespaces_only_when_it_works_in_the_whole_cluster(
    operator: Person, request: pytest.FixtureRequest
):
    answer = operator.request("GET", f"/apis/{API_VERSION}/namespaces/other/queueservers")
    assert answer.status_code == (200 if "cluster-wide" in request.node.name else 403)
