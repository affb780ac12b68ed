"""Both charts installed, tested, upgraded and uninstalled in a real cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from cluster_of_tests import Kubectl
from deadline import wait_until
from helm_release import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE, Releases
from queueserver_operator.names import FINALIZER, control_secret, data_claim, home_claim

pytestmark = pytest.mark.timeout(600)

ANYTHING = "queueservers,workerenvironments,statefulsets,pods,services,roles,rolebindings,networkpolicies"
SMALL = {"resources": {"limits": {"cpu": "100m", "memory": "256Mi"}}}
"""Three managers have to fit on a small node."""


def small(**values: Any) -> dict[str, Any]:
    return {"manager": SMALL, "redis": {"resources": {"limits": {"cpu": "50m", "memory": "128Mi"}}}, **values}


@pytest.fixture
def releases(operator: Releases) -> Releases:
    return operator


@pytest.fixture
def operator_returns(operator: Releases) -> Iterator[None]:
    """The operator that all tests share is there again after the test."""
    yield
    operator.install_operator()


@pytest.fixture
def other_namespace(cluster: Kubectl) -> Iterator[Kubectl]:
    name = f"charts-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    yield cluster.within(name)
    cluster.delete("namespace", name)


def the(place: Kubectl, kind: str, name: str) -> dict[str, Any]:
    """An object that exists."""
    found = place.get(kind, name)
    assert found is not None, f"there is no {kind} {name} in {place.namespace}"
    return found


def names(place: Kubectl, kinds: str) -> list[str]:
    """Kind and name of all objects of some kinds."""
    return place("get", kinds, "--output", "name").split()


def test_a_release_is_ready_when_helm_says_so_and_passes_its_test(releases: Releases, namespace: Kubectl):
    notes = releases.install("one", namespace, small())
    assert f"helm test one --namespace {namespace.namespace}" in notes
    queue_server = the(namespace, "queueserver", "one")
    assert [one["status"] for one in queue_server["status"]["conditions"] if one["type"] == "Ready"] == ["True"]
    assert queue_server["status"]["operator"]["identity"] == "queueserver-system/queueserver-operator"
    releases.test("one", namespace)


def test_releases_live_side_by_side_in_one_namespace_and_in_two(
    releases: Releases, namespace: Kubectl, other_namespace: Kubectl
):
    places = [("one", namespace), ("two", namespace), ("one", other_namespace)]
    for release, place in places:
        releases.install(release, place, small(), wait=False)
    for release, place in places:
        releases.install(release, place, small())
        releases.test(release, place)
    releases.uninstall("one", namespace)
    wait_until(lambda: not [name for name in names(namespace, ANYTHING) if "/one" in name], "the release is gone")
    releases.test("two", namespace)
    releases.test("one", other_namespace)


def test_startup_code_and_permissions_from_files_reach_the_queue_server(releases: Releases, namespace: Kubectl):
    files = {"00.py": "from bluesky import RunEngine\nRE = RunEngine({})\n"}
    permissions = "user_groups:\n  root:\n    allowed_plans: [null]\n"
    releases.install("files", namespace, small(profileFiles=files, permissions={"inline": permissions}))
    assert the(namespace, "configmap", "files-profile")["data"] == files
    spec = the(namespace, "queueserver", "files")["spec"]
    assert spec["environment"]["profile"] == {"configMap": {"name": "files-profile"}}
    assert spec["permissions"] == {"inline": permissions}


@pytest.mark.alone
@pytest.mark.usefixtures("operator_returns")
def test_the_operator_uninstalled_first_leaves_everything_running_and_deletable(
    releases: Releases, cluster: Kubectl, namespace: Kubectl
):
    releases.install("one", namespace, small())
    pod = the(namespace, "pod", "one-manager-0")["metadata"]["uid"]
    releases.uninstall_operator()
    wait_until(
        lambda: names(cluster.within(OPERATOR_NAMESPACE), "pods,jobs,deployments,roles") == [], "the operator is gone"
    )
    left = the(namespace, "queueserver", "one")
    assert FINALIZER not in left["metadata"].get("finalizers", [])
    assert "operator" not in left["status"]
    assert the(namespace, "pod", "one-manager-0")["metadata"]["uid"] == pod
    releases.test("one", namespace)
    releases.uninstall("one", namespace)
    wait_until(lambda: names(namespace, ANYTHING) == [], "everything of the queue server is gone", 60)


@pytest.mark.alone
@pytest.mark.usefixtures("operator_returns")
def test_the_operator_installed_again_looks_after_what_it_finds(releases: Releases, namespace: Kubectl):
    releases.install("one", namespace, small())
    releases.uninstall_operator()
    definitions = names(namespace, "customresourcedefinitions")
    assert sum("queueserver.blueskyproject.io" in name for name in definitions) == 2
    releases.install_operator()

    def taken() -> bool:
        one = the(namespace, "queueserver", "one")
        return FINALIZER in one["metadata"].get("finalizers", []) and "operator" in one["status"]

    wait_until(taken, "the QueueServer has its operator again")
    releases.test("one", namespace)


def test_the_queue_server_uninstalled_first_leaves_its_data_and_a_new_release_finds_them(
    releases: Releases, namespace: Kubectl
):
    releases.install("one", namespace, small())
    secret = the(namespace, "secret", control_secret("one"))
    releases.uninstall("one", namespace)
    wait_until(lambda: names(namespace, ANYTHING) == [], "everything but the data is gone", 60)
    claims = names(namespace, "persistentvolumeclaims")
    assert claims == [f"persistentvolumeclaim/{data_claim('one')}", f"persistentvolumeclaim/{home_claim('one')}"]
    releases.install("one", namespace, small())
    assert the(namespace, "secret", control_secret("one"))["data"] == secret["data"]


def test_data_go_with_the_release_when_that_was_asked_for(releases: Releases, namespace: Kubectl):
    releases.install("one", namespace, small(storage={"reclaim": "Delete"}))
    releases.uninstall("one", namespace)
    wait_until(lambda: names(namespace, ANYTHING) == [], "everything is gone", 60)
    wait_until(lambda: names(namespace, "persistentvolumeclaims") == [], "the claims are gone", 60)
    wait_until(lambda: names(namespace, "secrets") == [], "the Secrets are gone", 60)


def test_a_queue_server_that_is_to_stay_stays(releases: Releases, namespace: Kubectl):
    releases.install("one", namespace, small(keepOnUninstall=True))
    pod = the(namespace, "pod", "one-manager-0")["metadata"]["uid"]
    releases.uninstall("one", namespace)
    assert "deletionTimestamp" not in the(namespace, "queueserver", "one")["metadata"]
    assert the(namespace, "pod", "one-manager-0")["metadata"]["uid"] == pod


@pytest.mark.usefixtures("operator")
def test_the_operator_is_one_pod_with_the_rights_of_its_own_account(cluster: Kubectl, namespace: Kubectl):
    deployment = the(cluster.within(OPERATOR_NAMESPACE), "deployment", OPERATOR_DEPLOYMENT)
    assert deployment["status"]["readyReplicas"] == deployment["spec"]["replicas"] == 1
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_DEPLOYMENT}"
    answer = namespace("auth", "can-i", "--as", account, "--list")
    rights = {line.split()[0]: line for line in answer.splitlines()}
    assert rights["secrets"].endswith("[get create patch delete]")
