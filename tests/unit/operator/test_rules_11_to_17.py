"""The rules that decide the hard cases, as far as the operator carries them: 11 to 17."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml

from operator_objects import OTHER_OPENING, containers, manifests, pods_of, with_all_pods, world
from operator_world import OPENING, OPTIONS, START, World
from queueserver_operator.model import (
    DeleteObject,
    OpenGate,
    Options,
    PatchStatus,
)

# 11. Home ------------------------------------------------------------------------------------------------------------


def test_rule_11_the_home_is_a_volume_that_outlives_openings():
    some = with_all_pods()
    worker = pods_of(some)[1]
    (home,) = [one for one in worker["volumes"] if one["name"] == "home"]
    assert home == {"name": "home", "persistentVolumeClaim": {"claimName": "q-home"}}
    assert {"name": "HOME", "value": "/home/queueserver"} in worker["containers"][0]["env"]
    assert "ownerReferences" not in some.get("PersistentVolumeClaim", "q-home")["metadata"]


@pytest.mark.parametrize(
    ("home", "volume"),
    [
        ({"emptyDir": {}}, {"emptyDir": {}}),
        ({"existingClaim": {"claimName": "mine"}}, {"persistentVolumeClaim": {"claimName": "mine"}}),
    ],
)
def test_rule_11_the_home_can_be_another_volume(home: dict[str, Any], volume: dict[str, Any]):
    some = world(environment={"profile": {"simulated": {}}, "home": home})
    some.put("PersistentVolumeClaim", "mine", {})
    some.settle()
    some.open_environment()
    some.settle()
    assert {"name": "home", **volume} in manifests(some, "Pod")[0]["spec"]["volumes"]
    assert not some.has("PersistentVolumeClaim", "q-home")


# 12. Destroy, and what stays of a failed environment -----------------------------------------------------------------


def test_rule_12_grace_periods_of_close_and_destroy():
    some = with_all_pods()
    config = yaml.safe_load(some.get("ConfigMap", "q-manager")["data"]["config.yml"])["kubernetes"]
    assert (config["close_grace"], config["destroy_grace"]) == (30, 5)
    assert [pod["terminationGracePeriodSeconds"] for pod in pods_of(some)] == [30, 30]


def test_rule_12_a_failed_environment_stays_for_its_logs_and_holds_no_lock():
    some = world()
    name = some.opened()
    some.end_worker(name, 1, message="boom")
    some.manager_says()
    some.settle()
    assert some.leases() == {}
    some.now = START + 24 * 3600 - 1
    some.settle()
    assert some.has("WorkerEnvironment", name)
    assert some.has("Pod", name)
    some.now = START + 24 * 3600
    some.settle()
    assert not some.has("WorkerEnvironment", name)


def test_rule_12_a_failed_environment_goes_at_the_next_opening():
    some = world()
    first = some.opened()
    some.end_worker(first, 1)
    some.manager_says()
    some.settle()
    some.now += 1
    second = some.open_environment(OTHER_OPENING)
    some.settle()
    assert some.names("WorkerEnvironment") == [second]


# 13. Opening is idempotent -------------------------------------------------------------------------------------------


def steps_of_an_opening() -> int:
    some = world()
    some.settle()
    some.open_environment()
    return len(some.settle())


@pytest.mark.parametrize("step", range(steps_of_an_opening() + 1))
def test_rule_13_an_operator_that_dies_at_any_step_of_an_opening_opens_it_once(step: int):
    some = world()
    some.settle()
    name = some.open_environment()
    left = step
    while left > 0 and (plan := some.plan()).chains:
        before = len(some.done)
        some.carry_out(plan, at_most=left)
        left -= max(1, len(some.done) - before)
    some.settle()
    assert some.worker_pods_made() == 1
    assert some.get("Pod", name)["spec"].get("schedulingGates") is None
    assert some.status(name)["pod"]["uid"] == some.get("Pod", name)["metadata"]["uid"]
    assert len(some.leases()) == 1


def test_rule_13_a_pod_that_was_recorded_is_never_made_again():
    some = world()
    name = some.opened()
    some.manager_says()
    some.pod_vanishes(name, seen=False)
    some.settle()
    assert some.worker_pods_made() == 1
    assert some.status(name)["phase"] == "failed"


def test_rule_13_a_pod_that_was_not_recorded_has_never_run_and_is_made_again():
    some = with_all_pods()
    (name,) = some.names("WorkerEnvironment")
    some.pod_vanishes(name, seen=False)
    some.settle()
    assert some.status(name)["pod"]["uid"] == some.get("Pod", name)["metadata"]["uid"]


def test_rule_13_a_pod_may_run_only_after_its_uid_is_recorded():
    some = world()
    some.settle()
    some.open_environment()
    done = some.settle()
    opened = next(index for index, one in enumerate(done) if isinstance(one, OpenGate))
    recorded = [one for one in done[:opened] if isinstance(one, PatchStatus) and one.status.get("pod", {}).get("uid")]
    assert [one.status["pod"]["uid"] for one in recorded] == [done[opened].uid]  # type: ignore[union-attr]


def test_rule_13_of_several_environments_the_first_is_open_and_the_others_are_told():
    some = world()
    first = some.opened(OTHER_OPENING)
    second = some.open_environment(OPENING)  # in the same second, and with a name that comes before
    some.settle()
    assert some.status(first)["phase"] == "open"
    assert some.condition("Stalled", second) == (
        "True",
        "AlreadyOpen",
        f"Environment {first} of QueueServer q is open already.",
    )
    assert not some.has("Pod", second)


# 14. Uninstalling ----------------------------------------------------------------------------------------------------


def test_rule_14_no_plan_ever_deletes_a_queue_server():
    some = world()
    name = some.opened()
    some.change_spec(suspend=True)
    some.end_worker(name)
    some.settle()
    deleted = [one.ref.kind for one in some.done if isinstance(one, DeleteObject)]
    assert "QueueServer" not in deleted


def test_rule_14_a_finalizer_that_was_removed_is_set_again_and_nothing_else_happens():
    some = world()
    some.opened()
    some.queue_server["metadata"]["finalizers"] = []
    done = some.settle()
    assert [type(one).__name__ for one in done] == ["AddFinalizer"]


def test_rule_14_an_operator_leaves_alone_what_another_looks_after():
    some = world()
    some.opened()
    some.options = Options("another/operator", "9", "m", "w", lock_namespace="locks")
    some.change_spec(updatePolicy="Immediate", manager={"image": "x"})
    assert some.settle() == []


# 15. ServiceAccounts -------------------------------------------------------------------------------------------------


def test_rule_15_no_token_is_mounted_but_one_in_the_managers_container():
    some = with_all_pods()
    manager, worker = pods_of(some)
    assert [pod["automountServiceAccountToken"] for pod in (manager, worker)] == [False, False]
    assert [one["automountServiceAccountToken"] for one in manifests(some, "ServiceAccount")] == [False, False]
    with_token = [
        container["name"]
        for container in itertools.chain(containers(manager), containers(worker))
        if any(mount["name"] == "token" for mount in container["volumeMounts"])
    ]
    assert with_token == ["manager"]
    assert not any("projected" in volume for volume in worker["volumes"])


def test_rule_15_the_managers_rights_are_the_least_that_work():
    some = world()
    some.settle()
    (role,) = manifests(some, "Role")
    rights = {
        (resource, verb): rule.get("resourceNames")
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert rights == {
        **{("workerenvironments", verb): None for verb in ("create", "get", "list", "watch", "delete")},
        **{("pods", verb): None for verb in ("get", "list", "watch")},
        ("queueservers", "get"): ["q"],
        ("queueservers/status", "patch"): ["q"],
    }
    (binding,) = manifests(some, "RoleBinding")
    assert [one["name"] for one in binding["subjects"]] == ["q-manager"]


# 16. The host's network, and what templates take ---------------------------------------------------------------------


def test_rule_16_host_network_has_to_be_permitted_by_the_operator():
    some = world(environment={"profile": {"simulated": {}}, "hostNetwork": True})
    some.settle()
    some.start_manager()
    some.manager_says()
    name = some.open_environment()
    some.settle()
    assert some.condition("Stalled")[:2] == ("True", "HostNetworkNotPermitted")
    assert some.condition("Stalled", name)[:2] == ("True", "HostNetworkNotPermitted")
    assert not some.has("Pod", name)


def test_rule_16_host_network_comes_with_the_cluster_s_names():
    options = Options("i", "1", "m", "w", lock_namespace="locks", allow_host_network=True)
    some = World({"environment": {"profile": {"simulated": {}}, "hostNetwork": True}}, options=options)
    some.settle()
    some.open_environment()
    some.settle()
    pod = manifests(some, "Pod")[0]["spec"]
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    _clients, workers = some.get("NetworkPolicy", "q-manager")["spec"]["ingress"]
    assert "from" not in workers, "a pod in the host's network has the node's address"


def test_rule_16_templates_take_accounts_labels_and_annotations():
    template = {
        "profile": {"simulated": {}},
        "runAsUser": 4711,
        "runAsGroup": 4712,
        "fsGroup": 4713,
        "supplementalGroups": [4714, 4715],
        "labels": {"team": "optics"},
        "annotations": {"k8s.v1.cni.cncf.io/networks": "devices"},
    }
    pod = manifests(with_all_pods(environment=template), "Pod")[0]
    security = pod["spec"]["securityContext"]
    assert [security[key] for key in ("runAsUser", "runAsGroup", "fsGroup")] == [4711, 4712, 4713]
    assert security["supplementalGroups"] == [4714, 4715]
    assert pod["metadata"]["labels"]["team"] == "optics"
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "devices"
    assert {"name": "tmp", "emptyDir": {}} in pod["spec"]["volumes"]


# 17. Isolated sites --------------------------------------------------------------------------------------------------


def test_rule_17_the_only_images_are_those_that_the_operator_was_told():
    images = {one["image"] for pod in pods_of(with_all_pods()) for one in containers(pod)}
    assert images == {OPTIONS.manager_image, OPTIONS.worker_image}


def test_rule_17_pull_secrets_go_into_all_pods():
    options = Options("i", "1", "m", "w", lock_namespace="locks", image_pull_secrets=("site",))
    some = World(
        {"environment": {"profile": {"simulated": {}}, "imagePullSecrets": [{"name": "mine"}]}}, options=options
    )
    some.settle()
    some.open_environment()
    some.carry_out(some.plan())
    manager, worker = pods_of(some)
    assert manager["imagePullSecrets"] == [{"name": "site"}]
    assert worker["imagePullSecrets"] == [{"name": "site"}, {"name": "mine"}]


def test_no_secret_is_ever_in_a_status_an_event_or_an_argument():
    some = world()
    name = some.opened()
    some.end_worker(name, 1)
    some.settle()
    private = [body["data"].get("private_key", "-") for body in manifests(some, "Secret")]
    told = json.dumps([one for one in some.objects.values() if one["kind"] != "Secret"])
    told += "".join(one.message for one in some.posted)
    assert not any(key in told for key in private if key != "-")
    assert "private-" not in told
