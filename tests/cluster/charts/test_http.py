"""What the chart of a queue server makes for its HTTP server."""

from __future__ import annotations

from typing import Any

import pytest

from api_server import ApiServer
from helm_charts import Helm, Manifest, the

CHART = "queueserver"
HTTP: dict[str, Any] = {"http": {}}


def kinds(manifests: list[Manifest]) -> set[str]:
    return {one["kind"] for one in manifests}


def test_without_it_nothing_leads_to_it(helm: Helm):
    assert kinds(helm.render(CHART, {})) & {"Ingress", "HTTPRoute", "ClusterRole", "ClusterRoleBinding"} == set()


def test_an_ingress_leads_to_its_service(helm: Helm, api_server: ApiServer):
    values = {
        "enabled": True,
        "className": "nginx",
        "host": "a.example",
        "tlsSecret": "cert",
        "annotations": {"a": "b"},
    }
    ingress = the(helm.render(CHART, {**HTTP, "ingress": values}, namespace="default"), "Ingress")
    [rule] = ingress["spec"]["rules"]
    assert rule["host"] == "a.example"
    assert rule["http"]["paths"][0]["backend"] == {"service": {"name": "rel-http", "port": {"name": "http"}}}
    assert ingress["spec"]["tls"] == [{"secretName": "cert", "hosts": ["a.example"]}]
    path = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
    for one in (ingress, the(helm.render(CHART, {**HTTP, "ingress": {"enabled": True}}), "Ingress")):
        one["metadata"]["namespace"] = "default"
        answer = api_server.request("POST", path, one, dryRun="All")
        assert answer.is_success, answer.text


def test_a_route_of_the_gateway_api_leads_to_its_service(helm: Helm):
    values = {"enabled": True, "parentRefs": [{"name": "site"}], "hostnames": ["a.example"]}
    spec = the(helm.render(CHART, {**HTTP, "httpRoute": values}), "HTTPRoute")["spec"]
    assert spec["parentRefs"] == [{"name": "site"}]
    assert spec["rules"] == [{"backendRefs": [{"name": "rel-http", "port": 60610}]}]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"ingress": {"enabled": True}}, "set http, at least to {}"),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "a"}]}}, "set http, at least to {}"),
        ({**HTTP, "httpRoute": {"enabled": True}}, "name the Gateway that the route belongs to"),
        ({"http": {"replica": 2}}, "'replica' not allowed"),
    ],
)
def test_values_that_make_no_sense_are_refused_with_a_sentence(helm: Helm, values: dict[str, Any], said: str):
    assert said in helm.refusal(CHART, values)


def test_the_right_to_review_tokens_is_for_its_account_and_nothing_else(helm: Helm):
    manifests = helm.render(CHART, {"http": {"tokenReview": {"groups": {"staff": ["expert"]}}}}, namespace="i22")
    [rule] = the(manifests, "ClusterRole")["rules"]
    assert rule == {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    binding = the(manifests, "ClusterRoleBinding")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "rel-http", "namespace": "i22"}]
    assert binding["roleRef"]["name"] == the(manifests, "ClusterRole")["metadata"]["name"]
    elsewhere = helm.render(CHART, {"http": {"tokenReview": {}}, "tokenReviewRights": False})
    assert "ClusterRole" not in kinds(elsewhere)
