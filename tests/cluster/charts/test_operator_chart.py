"""What the chart of the operator renders."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest
import yaml

from helm_charts import ROOT, Helm, Manifest, objects, of_kind, the
from queueserver_operator import kinds
from queueserver_operator.configuration import Configuration

CHART = "queueserver-operator"
EVERYTHING = {
    "lockNamespace": "locks",
    "identity": "me",
    "allowHostNetwork": True,
    "logLevel": "DEBUG",
    "images": {
        "registry": "registry.example.org/mirror/",
        "pullPolicy": "Always",
        "pullSecrets": ["a", "b"],
        "operator": {"tag": "1"},
        "manager": {"digest": f"sha256:{'a' * 64}", "tag": "ignored"},
        "worker": {"repository": "elsewhere/worker", "tag": "3"},
    },
    "metrics": {"service": {"enabled": True, "annotations": {"prometheus.io/scrape": "true"}}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
    "pod": {
        "labels": {"team": "controls"},
        "annotations": {"note": "1"},
        "nodeSelector": {"role": "infra"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "runAsUser": 12345678,
    },
    "labels": {"site": "x"},
    "serviceAccount": {"name": "robot", "annotations": {"a": "b"}},
}


def pod_specs(manifests: list[Manifest]) -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in manifests if one["kind"] in ("Deployment", "Job")]


def environment_of_the_operator(manifests: list[Manifest]) -> dict[str, str]:
    (container,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


@pytest.mark.parametrize("values", [{}, EVERYTHING, {"watchNamespaces": ["a", "b"]}], ids=["none", "all", "namespaced"])
def test_the_operator_understands_what_the_chart_tells_it(helm: Helm, values: dict[str, Any]):
    variables = environment_of_the_operator(helm.render(CHART, values))
    read = Configuration.from_environment(variables)
    assert read.namespaces == tuple(values.get("watchNamespaces", ()))
    assert read.options.lock_namespace == values.get("lockNamespace", "ns")
    assert read.options.identity == values.get("identity", "ns/rel")
    assert read.options.allow_host_network is values.get("allowHostNetwork", False)
    assert read.options.image_pull_secrets == tuple(values.get("images", {}).get("pullSecrets", ()))
    assert read.log_level == values.get("logLevel", "INFO")


def test_the_chart_sets_no_variable_that_the_operator_does_not_read(helm: Helm):
    source = (ROOT / "operator" / "queueserver_operator" / "configuration.py").read_text()
    known = {f"QUEUESERVER_OPERATOR_{name}" for name in re.findall(r'value\("(\w+)"\)', source)}
    assert environment_of_the_operator(helm.render(CHART)).keys() <= known


def test_there_is_never_more_than_one_operator(helm: Helm):
    spec = the(helm.render(CHART), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_all_pods_are_restricted(helm: Helm, values: dict[str, Any]):
    specs = pod_specs(helm.render(CHART, values))
    assert len(specs) == 2
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_user_may_be_left_to_the_cluster(helm: Helm):
    for spec in pod_specs(helm.render(CHART, {"pod": {"runAsUser": 0}})):
        assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_token_is_mounted_on_purpose_only(helm: Helm):
    manifests = helm.render(CHART)
    assert the(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    for spec in pod_specs(manifests):
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert [one["mountPath"] for one in container["volumeMounts"]] == [
            "/var/run/secrets/kubernetes.io/serviceaccount",
            "/tmp",
        ]


def test_the_probes_ask_for_paths_that_the_operator_answers(helm: Helm):
    (container,) = the(helm.render(CHART), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["ports"] == [{"name": "health", "containerPort": 8080}]


# Rights --------------------------------------------------------------------------------------------------------------


def rights(role: Manifest) -> dict[tuple[str, str], set[str]]:
    """Verbs by API group and resource."""
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def test_without_namespaces_there_is_one_cluster_role(helm: Helm):
    manifests = helm.render(CHART)
    role, binding = the(manifests, "ClusterRole"), the(manifests, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "rel-queueserver-operator", "namespace": "ns"}]
    assert {one["metadata"]["name"] for one in of_kind(manifests, "Role")} == {
        "rel-queueserver-operator-locks",
        "rel-queueserver-operator-uninstall",
    }


def test_with_namespaces_there_is_a_role_in_each_and_nothing_for_the_cluster(helm: Helm):
    manifests = helm.render(CHART, {"watchNamespaces": ["a", "b"]})
    assert of_kind(manifests, "ClusterRole") + of_kind(manifests, "ClusterRoleBinding") == []
    for kind in ("Role", "RoleBinding"):
        places = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in of_kind(manifests, kind)}
        assert places == {
            ("a", "rel-queueserver-operator"),
            ("b", "rel-queueserver-operator"),
            ("ns", "rel-queueserver-operator-locks"),
            ("ns", "rel-queueserver-operator-uninstall"),
        }


def test_no_right_is_for_everything(helm: Helm):
    manifests = helm.render(CHART)
    for role in of_kind(manifests, "ClusterRole") + of_kind(manifests, "Role"):
        for (group, resource), verbs in rights(role).items():
            assert "*" not in {group, resource, *verbs}
            assert verbs.isdisjoint({"escalate", "bind", "impersonate", "deletecollection"})


def test_secrets_are_never_listed(helm: Helm):
    assert rights(the(helm.render(CHART), "ClusterRole"))["", "secrets"] == {"get", "create", "patch", "delete"}


def test_the_operator_may_do_what_it_does_and_nothing_more(helm: Helm):
    granted = rights(the(helm.render(CHART), "ClusterRole"))

    def right(kind: Any) -> set[str]:
        return granted.pop((kind.api_version.rpartition("/")[0], kind.plural))

    group = kinds.QUEUE_SERVER.api_version.rpartition("/")[0]
    assert right(kinds.QUEUE_SERVER) == {"get", "list", "watch", "patch"}
    assert right(kinds.ENVIRONMENT) == {"get", "list", "watch", "create", "delete"}
    assert right(kinds.NODE) == {"get"}
    assert right(kinds.EVENT) == {"list", "create"}
    assert right(kinds.SECRET) == {"get", "create", "patch", "delete"}
    for kind in set(kinds.WATCHED) - {kinds.QUEUE_SERVER, kinds.ENVIRONMENT}:
        assert right(kind) == {"get", "list", "watch", "create", "patch", "delete"}, kind.plural
    for kind in kinds.AUDITED:
        assert right(kind) == {"get", "list", "create", "patch", "delete"}, kind.plural
    assert granted == {
        (group, "queueservers/status"): {"patch"},
        (group, "workerenvironments/status"): {"patch"},
    }


@pytest.mark.parametrize(("values", "namespace"), [({}, "ns"), ({"lockNamespace": "locks"}, "locks")])
def test_locks_are_taken_and_released_in_one_namespace_and_never_changed(
    helm: Helm, values: dict[str, Any], namespace: str
):
    role = the(helm.render(CHART, values), "Role", "rel-queueserver-operator-locks")
    assert role["metadata"]["namespace"] == namespace
    assert rights(role) == {("coordination.k8s.io", "leases"): {"get", "list", "create", "delete"}}


# Images --------------------------------------------------------------------------------------------------------------


def test_every_image_can_come_from_another_registry(helm: Helm):
    done = helm.text(CHART, EVERYTHING)
    manifests = objects(done.stdout)
    variables = environment_of_the_operator(manifests)
    images = [
        "registry.example.org/mirror/queueserver/operator:1",
        f"registry.example.org/mirror/queueserver/manager@sha256:{'a' * 64}",
        "registry.example.org/mirror/elsewhere/worker:3",
    ]
    for spec in pod_specs(manifests):
        assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
        assert [(one["image"], one["imagePullPolicy"]) for one in spec["containers"]] == [(images[0], "Always")]
    assert variables["QUEUESERVER_OPERATOR_MANAGER_IMAGE"] == images[1]
    assert variables["QUEUESERVER_OPERATOR_WORKER_IMAGE"] == images[2]
    # The command in docs/how-to/install-with-helm.md.
    assert re.findall(r"^# image: (.*)$", done.stdout, re.MULTILINE) == images
    assert all(image in helm.notes(CHART, EVERYTHING) for image in images)


def test_without_a_registry_the_repositories_are_complete(helm: Helm):
    (spec, _) = pod_specs(helm.render(CHART, {"images": {"registry": ""}}))
    assert spec["containers"][0]["image"] == "queueserver/operator:0.1.0"


# Definitions and the end ---------------------------------------------------------------------------------------------


def test_the_definitions_are_installed_and_kept(helm: Helm):
    definitions = of_kind(helm.render(CHART), "CustomResourceDefinition")
    sources = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    for one in definitions:
        assert one["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    by_name = {one["metadata"]["name"]: one for one in definitions}
    assert by_name == {one["metadata"]["name"]: one for one in sources}


def test_the_definitions_can_be_left_out(helm: Helm):
    values = {"crds": {"install": False}}
    assert of_kind(helm.render(CHART, values), "CustomResourceDefinition") == []
    assert "kubectl apply --server-side -f crds/" in helm.notes(CHART, values)


def test_the_hook_uses_the_operators_image_and_deletes_nothing(helm: Helm):
    manifests = helm.render(CHART, {"watchNamespaces": ["a", "b"]})
    hooks = [one for one in manifests if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    assert {one["kind"] for one in hooks} == {"Job", "Role", "RoleBinding"}
    for hook in hooks:
        assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    (container,) = the(hooks, "Job")["spec"]["template"]["spec"]["containers"]
    (operator,) = the(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == operator["image"]
    assert container["args"] == [
        "--deployment=ns/rel-queueserver-operator",
        "--identity=ns/rel",
        "--namespace=a",
        "--namespace=b",
    ]
    assert rights(the(hooks, "Role")) == {("apps", "deployments"): {"get", "patch"}, ("", "pods"): {"list"}}
    assert importlib.util.find_spec(container["command"][-1]) is not None


def test_the_operators_selector_does_not_find_the_hooks_pod(helm: Helm):
    manifests = helm.render(CHART)
    selector = the(manifests, "Deployment")["spec"]["selector"]["matchLabels"]
    labels = the(manifests, "Job")["spec"]["template"]["metadata"]["labels"]
    assert not selector.items() <= labels.items()


# Options -------------------------------------------------------------------------------------------------------------


def test_everything_that_can_be_set_arrives(helm: Helm):
    manifests = helm.render(CHART, EVERYTHING)
    assert all(
        one["metadata"]["labels"]["site"] == "x" for one in manifests if one["kind"] != "CustomResourceDefinition"
    )
    deployment = the(manifests, "Deployment")["spec"]["template"]
    assert deployment["metadata"]["labels"]["team"] == "controls"
    assert deployment["metadata"]["annotations"]["note"] == "1"
    spec = deployment["spec"]
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"role": "infra"}, "high")
    assert (spec["tolerations"], spec["affinity"]) == ([{"operator": "Exists"}], {"nodeAffinity": {}})
    assert spec["securityContext"]["runAsUser"] == 12345678
    assert spec["serviceAccountName"] == the(manifests, "ServiceAccount")["metadata"]["name"] == "robot"
    service = the(manifests, "Service")
    assert service["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    (rule,) = the(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert rule["from"] == EVERYTHING["networkPolicy"]["metricsFrom"]


def test_parts_can_be_left_out(helm: Helm):
    values = {"networkPolicy": {"enabled": False}, "serviceAccount": {"create": False, "name": "given"}}
    manifests = helm.render(CHART, values)
    for kind in ("Service", "NetworkPolicy", "ServiceAccount"):
        assert of_kind(manifests, kind) == []
    assert {spec["serviceAccountName"] for spec in pod_specs(manifests)} == {"given"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"watchNamespace": "a"}, "'watchNamespace' not allowed"),
        ({"watchNamespaces": "a"}, "/watchNamespaces"),
        ({"images": {"redis": {"tag": "1"}}}, "'redis' not allowed"),
        ({"images": {"worker": {"digest": "sha256:1"}}}, "/images/worker/digest"),
        ({"logLevel": "LOUD"}, "/logLevel"),
        ({"crds": {"install": "yes"}}, "/crds/install"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(helm: Helm, values: dict[str, Any], said: str):
    assert said in helm.refusal(CHART, values)


def test_two_operators_in_a_cluster_share_no_object(helm: Helm):
    first = helm.render(CHART, {"crds": {"install": False}}, namespace="a")
    second = helm.render(CHART, {"crds": {"install": False}}, namespace="b")
    third = helm.render(CHART, {"crds": {"install": False}}, namespace="a", release="other")

    def names(manifests: list[Manifest]) -> set[tuple[str, str, str]]:
        return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in manifests}

    assert names(first).isdisjoint(names(second) | names(third))
    assert names(second).isdisjoint(names(third))
