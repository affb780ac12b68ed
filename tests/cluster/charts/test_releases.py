"""Both charts installed, tested, upgraded and uninstalled in a real cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from deadline import wait_until
from helm_release import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE, Releases, find_releases
from queueserver_operator.names import FINALIZER, control_secret, data_claim, home_claim

pytestmark = pytest.mark.timeout(600)

ANYTHING = "queueservers,workerenvironments,statefulsets,pods,services,roles,rolebindings,networkpolicies"
SMALL = {"resources": {"limits": {"cpu": "100m", "memory": "256Mi"}}}
"""Three managers have to fit on a small node."""


def small(**values: Any) -> dict[str, Any]:
    return {"manager": SMALL, "redis": {"resources": {"limits": {"cpu": "50m", "memory": "128Mi"}}}, **values}


@pytest.fixture(scope="module")
def releases() -> Releases:
    found = find_releases()
    if isinstance(found, str):
        pytest.fail(found)
    found.install_operator()
    return found


@pytest.fixture
def namespace(releases: Releases) -> Iterator[str]:
    yield from made_namespace(releases)


@pytest.fixture
def other_namespace(releases: Releases) -> Iterator[str]:
    yield from made_namespace(releases)


def made_namespace(releases: Releases) -> Iterator[str]:
    name = f"charts-{uuid.uuid4().hex[:8]}"
    releases.kubectl("create", "namespace", name)
    yield name
    releases.install_operator()
    releases.kubectl("delete", "namespace", name, "--timeout=120s")


def gone(releases: Releases, namespace: str) -> bool:
    return releases.names(ANYTHING, namespace) == []


def test_a_release_is_ready_when_helm_says_so_and_passes_its_test(releases: Releases, namespace: str):
    notes = releases.install("one", namespace, small())
    assert f"helm test one --namespace {namespace}" in notes
    queue_server = releases.read("queueserver/one", "--namespace", namespace)
    assert [one["status"] for one in queue_server["status"]["conditions"] if one["type"] == "Ready"] == ["True"]
    assert queue_server["status"]["operator"]["identity"] == "queueserver-system/queueserver-operator"
    assert "Succeeded" in releases.helm("test", "one", "--namespace", namespace)


def test_releases_live_side_by_side_in_one_namespace_and_in_two(
    releases: Releases, namespace: str, other_namespace: str
):
    places = [("one", namespace), ("two", namespace), ("one", other_namespace)]
    for release, place in places:
        releases.install(release, place, small(), wait=False)
    for release, place in places:
        releases.install(release, place, small())
        assert "Succeeded" in releases.helm("test", release, "--namespace", place)
    releases.helm("uninstall", "one", "--namespace", namespace, "--wait")
    wait_until(
        lambda: not [name for name in releases.names(ANYTHING, namespace) if "/one" in name], "the release is gone"
    )
    assert "Succeeded" in releases.helm("test", "two", "--namespace", namespace)
    assert "Succeeded" in releases.helm("test", "one", "--namespace", other_namespace)


def test_startup_code_and_permissions_from_files_reach_the_queue_server(releases: Releases, namespace: str):
    files = {"00.py": "from bluesky import RunEngine\nRE = RunEngine({})\n"}
    permissions = "user_groups:\n  root:\n    allowed_plans: [null]\n"
    releases.install("files", namespace, small(profileFiles=files, permissions={"inline": permissions}))
    assert releases.read("configmap/files-profile", "--namespace", namespace)["data"] == files
    spec = releases.read("queueserver/files", "--namespace", namespace)["spec"]
    assert spec["environment"]["profile"] == {"configMap": {"name": "files-profile"}}
    assert spec["permissions"] == {"inline": permissions}


def test_the_operator_uninstalled_first_leaves_everything_running_and_deletable(releases: Releases, namespace: str):
    releases.install("one", namespace, small())
    pod = releases.read("pod/one-manager-0", "--namespace", namespace)["metadata"]["uid"]
    releases.uninstall_operator()
    wait_until(lambda: releases.names("pods,jobs,deployments,roles", OPERATOR_NAMESPACE) == [], "the operator is gone")
    left = releases.read("queueserver/one", "--namespace", namespace)
    assert FINALIZER not in left["metadata"].get("finalizers", [])
    assert "operator" not in left["status"]
    assert releases.read("pod/one-manager-0", "--namespace", namespace)["metadata"]["uid"] == pod
    assert "Succeeded" in releases.helm("test", "one", "--namespace", namespace)
    releases.helm("uninstall", "one", "--namespace", namespace, "--wait")
    wait_until(lambda: gone(releases, namespace), "everything of the queue server is gone", 60)


def test_the_operator_installed_again_looks_after_what_it_finds(releases: Releases, namespace: str):
    releases.install("one", namespace, small())
    releases.uninstall_operator()
    definitions = releases.names("customresourcedefinitions", namespace)
    assert sum("queueserver.blueskyproject.io" in name for name in definitions) == 2
    releases.install_operator()

    def taken() -> bool:
        one = releases.read("queueserver/one", "--namespace", namespace)
        return FINALIZER in one["metadata"].get("finalizers", []) and "operator" in one["status"]

    wait_until(taken, "the QueueServer has its operator again")
    assert "Succeeded" in releases.helm("test", "one", "--namespace", namespace)


def test_the_queue_server_uninstalled_first_leaves_its_data_and_a_new_release_finds_them(
    releases: Releases, namespace: str
):
    releases.install("one", namespace, small())
    secret = releases.read(f"secret/{control_secret('one')}", "--namespace", namespace)
    releases.helm("uninstall", "one", "--namespace", namespace, "--wait")
    wait_until(lambda: gone(releases, namespace), "everything but the data is gone", 60)
    claims = releases.names("persistentvolumeclaims", namespace)
    assert claims == [f"persistentvolumeclaim/{data_claim('one')}", f"persistentvolumeclaim/{home_claim('one')}"]
    releases.install("one", namespace, small())
    assert releases.read(f"secret/{control_secret('one')}", "--namespace", namespace)["data"] == secret["data"]


def test_data_go_with_the_release_when_that_was_asked_for(releases: Releases, namespace: str):
    releases.install("one", namespace, small(storage={"reclaim": "Delete"}))
    releases.helm("uninstall", "one", "--namespace", namespace, "--wait")
    wait_until(lambda: gone(releases, namespace), "everything is gone", 60)
    wait_until(lambda: releases.names("persistentvolumeclaims", namespace) == [], "the claims are gone", 60)
    wait_until(lambda: releases.names("secrets", namespace) == [], "the Secrets are gone", 60)


def test_a_queue_server_that_is_to_stay_stays(releases: Releases, namespace: str):
    releases.install("one", namespace, small(keepOnUninstall=True))
    pod = releases.read("pod/one-manager-0", "--namespace", namespace)["metadata"]["uid"]
    releases.helm("uninstall", "one", "--namespace", namespace, "--wait")
    assert "deletionTimestamp" not in releases.read("queueserver/one", "--namespace", namespace)["metadata"]
    assert releases.read("pod/one-manager-0", "--namespace", namespace)["metadata"]["uid"] == pod


def test_the_operator_is_one_pod_with_the_rights_of_its_own_account(releases: Releases, namespace: str):
    deployment = releases.read(f"deployment/{OPERATOR_DEPLOYMENT}", "--namespace", OPERATOR_NAMESPACE)
    assert deployment["status"]["readyReplicas"] == deployment["spec"]["replicas"] == 1
    account = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{OPERATOR_DEPLOYMENT}"
    answer = releases.kubectl("auth", "can-i", "--as", account, "--list", "--namespace", namespace)
    rights = {line.split()[0]: line for line in answer.splitlines()}
    assert rights["secrets"].endswith("[get create patch delete]")
