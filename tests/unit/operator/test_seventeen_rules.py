"""The rules that decide the hard cases, as far as the operator carries them: each has tests that bear its number."""

from __future__ import annotations

import itertools
import json
from dataclasses import fields
from typing import Any

import pytest
import yaml

from operator_world import OPENING, OPTIONS, SIMULATED, START, World, set_node
from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_operator.model import (
    ApplyObject,
    CreateKeys,
    CreateOnly,
    DeleteObject,
    OpenGate,
    Options,
    PatchStatus,
    ReleaseLease,
    TakeLease,
)
from queueserver_operator.names import FINALIZER, lease

OTHER_OPENING = "fedcba9876543210fedcba9876543210"
INSTRUMENT = lease("beamline/q")


def world(**spec: Any) -> World:
    return World({**SIMULATED, **spec})


def manifests(some: World, kind: str) -> list[dict[str, Any]]:
    return [body for (found, _, _), body in sorted(some.objects.items()) if found == kind]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def pods_of(some: World) -> list[dict[str, Any]]:
    """Specifications of all pods that the operator makes."""
    worker_pods = [body["spec"] for body in manifests(some, "Pod") if "schedulingGates" in body["spec"]]
    return [manifests(some, "StatefulSet")[0]["spec"]["template"]["spec"], *worker_pods]


def with_all_pods(**spec: Any) -> World:
    """A world in which the manager's StatefulSet and a worker's pod have been made."""
    some = world(**spec)
    some.settle()
    some.open_environment()
    while not some.names("Pod"):
        some.carry_out(some.plan())
    return some


# 1. Proof of death ---------------------------------------------------------------------------------------------------


def test_rule_01_proof_of_death_is_the_terminated_state_of_the_container():
    some = world()
    name = some.opened()
    some.end_worker(name)
    some.settle()
    assert some.status(name)["end"]["proof"] == "ContainerTerminated"
    assert some.leases() == {}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Unknown"])
def test_rule_01_proof_of_death_is_not_the_phase_of_the_pod(phase: str):
    some = world()
    name = some.opened()
    some.get("Pod", name)["status"]["phase"] = phase
    assert some.settle() == []
    assert some.leases() == {INSTRUMENT: f"beamline/{name}/{some.get('WorkerEnvironment', name)['metadata']['uid']}"}


def test_rule_01_proof_of_death_is_that_the_node_object_was_deleted():
    some = world()
    name = some.opened()
    set_node(some, "node-1", ready=False)
    some.settle()
    assert some.status(name)["phase"] == "unreachable"
    assert "deletion of Node node-1" in some.condition("Unreachable", name)[2]
    assert some.leases() != {}
    some.nodes["node-1"] = None
    some.settle()
    assert some.status(name)["end"]["proof"] == "NodeGone"
    assert some.leases() == {}


def test_rule_01_proof_of_death_is_the_out_of_service_taint():
    some = world()
    name = some.opened()
    set_node(some, "node-1", ready=False, out_of_service=True)
    some.settle()
    assert some.status(name)["end"]["proof"] == "OutOfService"


def test_rule_01_proof_of_death_is_a_forced_deletion_when_the_link_is_closed():
    some = world()
    name = some.opened()
    some.pod_vanishes(name)
    some.manager_says("idle", "idle", link="silent", environment_name=name)
    some.settle()
    assert some.status(name)["end"]["proof"] == "PodGone"
    assert some.leases() == {}


def test_rule_01_proof_of_death_is_not_a_pod_that_is_gone_while_its_link_lives():
    some = world()
    name = some.opened()
    some.pod_vanishes(name)
    some.settle()
    assert some.status(name)["phase"] == "unreachable"
    assert some.condition("Ready", name)[1] == "PodGone"
    assert len(some.leases()) == 1


def test_rule_01_proof_of_death_needs_a_manager_that_runs_to_know_that_the_link_is_closed():
    some = world()
    name = some.opened()
    some.manager_says()
    some.set_containers("q-manager-0", manager={"state": {"waiting": {"reason": "CrashLoopBackOff"}}})
    some.pod_vanishes(name, seen=False)
    some.settle()
    assert some.status(name)["phase"] == "unreachable"
    some.start_manager()
    some.settle()
    assert some.status(name)["end"]["proof"] == "PodGone"


def test_rule_01_proof_of_death_is_the_word_of_an_administrator_for_exactly_this_pod():
    some = world()
    name = some.opened()
    set_node(some, "node-1", ready=False)
    environment = some.get("WorkerEnvironment", name)
    environment["metadata"]["annotations"] = {CONFIRMED_DEAD_ANNOTATION: "uid-of-another-pod"}
    some.settle()
    assert some.status(name)["phase"] == "unreachable"
    environment["metadata"]["annotations"] = {CONFIRMED_DEAD_ANNOTATION: some.status(name)["pod"]["uid"]}
    some.settle()
    assert some.status(name)["end"]["proof"] == "Confirmed"
    assert some.leases() == {}


def test_rule_01_proof_of_death_comes_before_a_second_run_engine():
    some = world()
    first = some.opened()
    some.remove("WorkerEnvironment", first)  # destroyed, and its pod is still ending
    second = some.open_environment(OTHER_OPENING)
    some.settle()
    assert some.status(second)["phase"] == "waiting"
    assert not some.has("Pod", second)
    some.kubelet_ends(first)
    some.manager_says()
    some.settle()
    assert some.has("Pod", second)


def test_rule_01_proof_of_death_never_by_our_own_deletion_with_grace_0():
    assert [field.name for field in fields(DeleteObject)] == ["ref", "uid", "orphan"], "always with the pod's own grace"


# 2. The instrument's lock --------------------------------------------------------------------------------------------


def test_rule_02_the_lock_has_no_owner_no_expiry_and_is_never_applied():
    some = world(instrument="Beam line 7/ID")
    some.opened()
    (found,) = manifests(some, "Lease")
    assert found["metadata"].get("ownerReferences") is None
    assert set(found["spec"]) == {"holderIdentity"}
    assert found["metadata"]["name"] == lease("Beam line 7/ID")
    assert not any(isinstance(one, ApplyObject) and one.manifest["kind"] == "Lease" for one in some.done)


def test_rule_02_the_lock_is_released_with_its_resource_version_only():
    some = world()
    name = some.opened()
    some.end_worker(name)
    version = manifests(some, "Lease")[0]["metadata"]["resourceVersion"]
    (released,) = [one for one in some.settle() if isinstance(one, ReleaseLease)]
    assert released.resource_version == version


def test_rule_02_the_lock_lies_in_the_namespace_that_the_operator_was_told():
    some = world()
    some.opened()
    assert manifests(some, "Lease")[0]["metadata"]["namespace"] == "locks"
    alone = World(SIMULATED, options=Options("i", "1", "m", "w", lock_namespace=""))
    alone.opened()
    assert manifests(alone, "Lease")[0]["metadata"]["namespace"] == "beamline"


def test_rule_02_an_instrument_that_is_held_is_waited_for_and_its_holder_named():
    some = world(instrument="id7")
    some.settle()
    some.start_manager()
    some.manager_says()
    some.other_holder("id7")
    name = some.open_environment()
    some.settle()
    assert some.status(name)["phase"] == "waiting"
    status, reason, message = some.condition("Ready", name)
    assert (status, reason) == ("False", "InstrumentHeld")
    assert "held by environment elsewhere/other-0000000000" in message
    assert some.condition("Stalled", name)[0] == "False"
    assert some.plan().requeue == 2.0
    some.remove("Lease", lease("id7"), "locks")
    some.settle()
    assert some.has("Pod", name)


def test_rule_02_waiting_for_the_instrument_counts_against_the_deadline():
    some = world(instrument="id7")
    some.other_holder("id7")
    name = some.open_environment()
    some.settle()
    some.now = START + 539
    some.settle()
    assert some.status(name)["phase"] == "waiting"
    some.now = START + 540
    some.settle()
    assert some.status(name)["phase"] == "failed"
    status, reason, message = some.condition("Stalled", name)
    assert (status, reason) == ("True", "InstrumentHeld")
    assert "not open within 540 s" in message
    assert "elsewhere/other-0000000000" in message
    some.remove("Lease", lease("id7"), "locks")
    some.settle()
    assert not some.has("Pod", name), "what has failed stays failed"


def test_rule_02_who_loses_the_race_for_the_lock_makes_no_pod():
    some = world(instrument="id7")
    some.settle()
    name = some.open_environment()
    plan = some.plan()
    assert any(isinstance(action, TakeLease) for action in plan.actions())
    some.other_holder("id7")
    some.carry_out(plan)
    assert not some.has("Pod", name)
    assert not some.has("ConfigMap", name)
    some.settle()
    assert some.status(name)["phase"] == "waiting"


# 3. No finalizer on WorkerEnvironment --------------------------------------------------------------------------------


def test_rule_03_no_finalizer_on_an_environment():
    some = world()
    name = some.opened()
    assert "finalizers" not in some.get("WorkerEnvironment", name)["metadata"]
    assert some.queue_server["metadata"]["finalizers"] == [FINALIZER]


def test_rule_03_an_environment_takes_its_pod_and_config_map_with_it_without_the_operator():
    some = with_all_pods()
    (name,) = some.names("WorkerEnvironment")
    uid = some.get("WorkerEnvironment", name)["metadata"]["uid"]
    for kind in ("Pod", "ConfigMap"):
        (owner,) = some.get(kind, name)["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["blockOwnerDeletion"]) == ("WorkerEnvironment", uid, False)


def test_rule_03_the_finalizer_deletes_the_environment_and_waits_for_the_pod_and_the_manager():
    some = world()
    name = some.opened()
    some.delete_queue_server()
    some.settle()
    assert some.names("WorkerEnvironment") == []
    assert some.status()["phase"] == "deleting"
    assert f"the end of worker {name}" in some.condition("Reconciling")[2]
    some.kubelet_ends(name)
    some.settle()
    assert "the manager to write down" in some.condition("Reconciling")[2]
    assert some.leases() == {}
    some.manager_says()
    some.settle()
    assert some.names("QueueServer") == []


def test_rule_03_the_wait_of_the_finalizer_ends_after_grace_and_ten_seconds():
    some = world()
    name = some.opened()
    some.delete_queue_server()
    some.settle()
    some.now = START + 39
    some.settle()
    assert some.names("QueueServer") == ["q"]
    some.now = START + 40
    some.settle()
    assert some.names("QueueServer") == []
    assert len(some.leases()) == 1, "the lock waits for the proof, even without the QueueServer"
    some.kubelet_ends(name)
    some.settle()
    assert some.leases() == {}


def test_rule_03_a_deletion_makes_nothing():
    some = world()
    some.opened()
    some.delete_queue_server()
    for kind, name in [("ConfigMap", "q-manager"), ("NetworkPolicy", "q-worker"), ("Secret", "q-control")]:
        some.objects.pop((kind, "beamline", name))
    some.open_environment(OTHER_OPENING)
    done = some.settle()
    assert [one for one in done if isinstance(one, ApplyObject | CreateOnly | CreateKeys | TakeLease)] == []


# 4. Nothing evicts a plan --------------------------------------------------------------------------------------------


def test_rule_04_nothing_evicts_worker_or_manager_when_a_node_does_not_answer():
    for pod in pods_of(with_all_pods()):
        lasting = {one["key"] for one in pod["tolerations"] if one["effect"] == "NoExecute"}
        assert lasting == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
        assert not any("tolerationSeconds" in one for one in pod["tolerations"])


def test_rule_04_nothing_evicts_a_worker_with_an_item_in_hand():
    some = world()
    name = some.opened()
    assert some.names("PodDisruptionBudget") == []
    some.manager_says(
        "executing_queue", "executing_plan", link="connected", environment_name=name, running="count", items=3
    )
    some.settle()
    (budget,) = manifests(some, "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == 1
    labels = some.get("Pod", name)["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    some.manager_says("idle", "idle", link="connected", environment_name=name)
    some.settle()
    assert some.names("PodDisruptionBudget") == []


def test_rule_04_nothing_evicts_and_the_condition_says_that_a_drain_is_blocked():
    some = world()
    name = some.opened()
    some.manager_says("paused", "idle", link="connected", environment_name=name, running="count")
    set_node(some, "node-1", unschedulable=True)
    some.settle()
    assert some.condition("DrainBlocked")[:2] == ("True", "PlanInHand")
    assert some.condition("DrainBlocked", name)[0] == "True"
    some.manager_says("idle", "idle", link="connected", environment_name=name)
    some.settle()
    assert some.condition("DrainBlocked")[0] == ""


def test_rule_04_nothing_evicts_because_requests_equal_limits():
    for pod in pods_of(with_all_pods()):
        for container in containers(pod):
            limits, requests = (container["resources"][kind] for kind in ("limits", "requests"))
            assert limits["memory"] == requests["memory"]
            assert limits.items() <= requests.items()


# 5. A busy worker is never restarted ---------------------------------------------------------------------------------


def test_rule_05_a_worker_is_never_restarted_for_a_change_of_the_specification():
    some = world()
    name = some.opened()
    some.change_template(image="registry/worker:2")
    done = some.settle()
    assert not any(isinstance(one, DeleteObject) for one in done)
    assert some.condition("RolloutPending")[:2] == ("True", "EnvironmentOpen")
    assert "generation 2" in some.condition("RolloutPending", name)[2]
    some.end_worker(name)
    some.manager_says()
    some.settle()
    assert some.condition("RolloutPending")[0] == ""
    second = some.open_environment(OTHER_OPENING)
    some.settle()
    assert some.get("Pod", second)["spec"]["containers"][0]["image"] == "registry/worker:2"
    assert some.status(second)["template"]["generation"] == 2


def test_rule_05_a_change_of_the_startup_code_waits_for_the_next_opening():
    some = world(environment={"profile": {"configMap": {"name": "code"}}})
    some.put("ConfigMap", "code", {"data": {"plans.py": "a = 1"}})
    name = some.opened()
    assert some.condition("RolloutPending", name)[0] == ""
    some.put("ConfigMap", "code", {"data": {"plans.py": "a = 2"}})
    some.settle()
    assert "changed startup code" in some.condition("RolloutPending", name)[2]


@pytest.mark.parametrize(
    ("policy", "in_a_plan", "when_idle"),
    [("WhenIdle", False, True), ("Immediate", True, True), ("OnRestart", False, False)],
)
def test_rule_05_the_manager_rolls_by_the_update_policy(policy: str, in_a_plan: bool, when_idle: bool):
    some = world(updatePolicy=policy)
    name = some.opened()
    some.manager_says("executing_queue", "executing_plan", link="connected", environment_name=name, running="count")
    some.change_spec(manager={"image": "registry/manager:2"})

    def rolled() -> bool:
        deleted = [one.ref.name for one in some.settle() if isinstance(one, DeleteObject)]
        return "q-manager-0" in deleted

    assert rolled() is in_a_plan
    if not in_a_plan:
        assert some.condition("RolloutPending")[:2] == ("True", "ManagerWaits")
        some.manager_says("idle", "idle", link="connected", environment_name=name)
        assert rolled() is when_idle
    assert not some.get("Pod", name)["metadata"].get("deletionTimestamp")


def test_rule_05_a_manager_that_cannot_run_is_replaced_at_once_whatever_the_policy():
    some = world(updatePolicy="OnRestart", manager={"image": "registry/manager:missing"})
    some.settle()
    some.start_manager(ready=False)
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    some.set_containers("q-manager-0", manager={"state": pull})
    some.settle()
    assert some.condition("Stalled")[:2] == ("True", "ImageCannotBePulled")
    some.change_spec(manager={"image": "registry/manager:2"})
    deleted = [one.ref.name for one in some.settle() if isinstance(one, DeleteObject)]
    assert deleted == ["q-manager-0"]


# 6. Keys -------------------------------------------------------------------------------------------------------------


def test_rule_06_keys_are_made_once_and_never_overwritten():
    some = world()
    made = [one.manifest["metadata"]["name"] for one in some.settle() if isinstance(one, CreateKeys)]
    assert made == ["q-control", "q-link-server", "q-link-worker"]
    before = some.get("Secret", "q-control")["data"]
    some.change_spec(manager={"image": "registry/manager:2"})
    assert not any(isinstance(one, CreateKeys) for one in some.settle())
    assert some.get("Secret", "q-control")["data"] == before


def test_rule_06_keys_are_kept_with_the_data():
    some = world()
    some.opened()
    some.remove("WorkerEnvironment", *some.names("WorkerEnvironment"))
    some.kubelet_ends("q-0123456789")
    some.manager_says()
    some.settle()
    some.delete_queue_server()
    some.settle()
    assert some.names("Secret") == ["q-control", "q-link-server", "q-link-worker"]
    assert some.names("PersistentVolumeClaim") == ["data-q-manager-0", "q-home"]


def test_rule_06_keys_and_data_go_with_the_queue_server_when_it_says_so():
    some = world(storage={"reclaim": "Delete"})
    some.settle()
    some.start_manager()
    some.manager_says()
    some.settle()
    some.delete_queue_server()
    some.settle()
    assert some.names("Secret") == []
    assert some.names("PersistentVolumeClaim") == []


def test_rule_06_keys_of_somebody_else_are_used_and_left_alone():
    names = {"control": {"name": "a"}, "linkServer": {"name": "b"}, "linkWorker": {"name": "c"}}
    some = world(keys=names, storage={"reclaim": "Delete"})
    some.settle()
    assert some.condition("Stalled")[1:] == (
        "SecretNotFound",
        "The Secret a, which spec.keys.control names, does not exist.",
    )
    assert some.names("Secret") == []
    for name in "abc":
        some.put("Secret", name, {"data": some.new_keys()})
    with_keys = some.settle()
    assert not any(isinstance(one, CreateKeys) for one in with_keys)
    volumes = manifests(some, "StatefulSet")[0]["spec"]["template"]["spec"]["volumes"]
    assert [one["secret"]["secretName"] for one in volumes if "secret" in one] == ["a", "b", "c"]
    some.delete_queue_server()
    some.settle()
    assert some.names("Secret") == ["a", "b", "c"]


def test_rule_06_keys_the_client_secret_holds_nothing_private():
    some = world()
    some.settle()
    assert set(some.get("Secret", "q-client")["data"]) == {
        "QSERVER_ZMQ_CONTROL_ADDRESS",
        "QSERVER_ZMQ_INFO_ADDRESS",
        "QSERVER_ZMQ_PUBLIC_KEY",
    }


def test_rule_06_keys_the_manager_does_not_hold_the_workers_private_key():
    volumes = pods_of(with_all_pods())[0]["volumes"]
    (volume,) = [one for one in volumes if one["name"] == "link-worker-key"]
    assert [one["key"] for one in volume["secret"]["items"]] == ["public_key"]


def test_rule_06_keys_of_the_control_socket_change_with_a_roll_of_the_manager():
    some = world()
    some.opened()
    some.put("Secret", "q-control", {**some.get("Secret", "q-control"), "data": some.new_keys()})
    done = some.settle()
    assert [one.ref.name for one in done if isinstance(one, DeleteObject)] == ["q-manager-0"]
    client = some.get("Secret", "q-client")["data"]["QSERVER_ZMQ_PUBLIC_KEY"]
    assert client == some.get("Secret", "q-control")["data"]["public_key"]


@pytest.mark.parametrize("policy", ["WhenIdle", "Immediate", "OnRestart"])
def test_rule_06_keys_of_the_link_wait_until_no_environment_is_open(policy: str):
    some = world(updatePolicy=policy)
    name = some.opened()
    some.put("Secret", "q-link-server", {**some.get("Secret", "q-link-server"), "data": some.new_keys()})
    assert not any(isinstance(one, DeleteObject) for one in some.settle())
    assert some.condition("KeyRotationPending")[:2] == ("True", "EnvironmentOpen")
    some.end_worker(name)
    some.remove("WorkerEnvironment", name)
    some.pod_vanishes(name)
    some.manager_says()
    assert [one.ref.name for one in some.settle() if isinstance(one, DeleteObject)] == ["q-manager-0"]
    second = some.open_environment(OTHER_OPENING)
    some.settle()
    assert some.condition("Ready", second)[1] == "KeysChanging"
    some.start_manager()
    some.settle()
    assert some.has("Pod", second)


# 7. Services are found while not ready -------------------------------------------------------------------------------


def test_rule_07_services_lead_to_a_manager_that_is_not_ready():
    some = world()
    some.settle()
    found = {one["metadata"]["name"]: one["spec"] for one in manifests(some, "Service")}
    assert {name: spec["publishNotReadyAddresses"] for name, spec in found.items()} == {"q": True, "q-link": True}
    assert [one["port"] for one in found["q"]["ports"]] == [60615, 60625, 60626]
    assert [one["port"] for one in found["q-link"]["ports"]] == [60635]
    assert found["q-link"]["clusterIP"] == "None"
    labels = manifests(some, "StatefulSet")[0]["spec"]["template"]["metadata"]["labels"]
    assert all(spec["selector"].items() <= labels.items() for spec in found.values())


def test_rule_07_health_is_a_small_port_and_the_supervisor_is_process_1():
    (manager,) = pods_of(with_all_pods())[0]["containers"]
    assert "command" not in manager, "the image's entry point is the supervisor"
    assert manager["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert manager["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


# 8. A worker waits for its manager -----------------------------------------------------------------------------------


def test_rule_08_a_worker_waits_for_its_manager_without_limit():
    some = with_all_pods()
    (name,) = some.names("WorkerEnvironment")
    config = WorkerConfig.from_json(some.get("ConfigMap", name)["data"]["worker.json"])
    assert (config.orphan_timeout, config.busy_orphan_timeout) == (0, 0)
    assert config.link_address == "tcp://q-link.beamline.svc:60635"
    assert config.opening_id == OPENING


def test_rule_08_a_worker_stays_when_its_manager_is_gone():
    some = world()
    name = some.opened()
    some.pod_vanishes("q-manager-0")
    done = some.settle()
    assert not any(isinstance(one, DeleteObject | ReleaseLease) for one in done)
    assert some.status(name)["phase"] == "open"


# 9. The info socket --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("clear", "ports"), [(True, [60615, 60625, 60626]), (False, [60615, 60626])])
def test_rule_09_the_clear_info_socket_can_be_closed(clear: bool, ports: list[int]):
    some = world(network={"clearInfo": clear})
    some.settle()
    assert [one["port"] for one in some.get("Service", "q")["spec"]["ports"]] == ports
    config = yaml.safe_load(some.get("ConfigMap", "q-manager")["data"]["config.yml"])["kubernetes"]
    assert (config["clear_info"], config["encrypted_info_addr"]) == (clear, "tcp://*:60626")
    clients, _workers = some.get("NetworkPolicy", "q-manager")["spec"]["ingress"]
    assert [one["port"] for one in clients["ports"]] == ports


# 10. Permissions and lists before the first opening ------------------------------------------------------------------


def test_rule_10_permissions_and_lists_come_from_the_specification():
    some = world(
        permissions={"configMap": {"name": "who", "key": "p.yaml"}},
        existingPlansAndDevices={"configMap": {"name": "lists"}},
    )
    some.settle()
    config = yaml.safe_load(some.get("ConfigMap", "q-manager")["data"]["config.yml"])
    assert config["startup"] == {
        "user_group_permissions_path": "/etc/queueserver/permissions/p.yaml",
        "existing_plans_and_devices_path": "/etc/queueserver/lists/existing_plans_and_devices.yaml",
    }
    (manager,) = manifests(some, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"]
    mounts = {one["mountPath"] for one in manager["volumeMounts"]}
    assert {"/etc/queueserver/permissions", "/etc/queueserver/lists"} <= mounts


def test_rule_10_changed_permissions_restart_nothing():
    some = world(permissions={"inline": "user_groups: {}"})
    some.opened()
    some.change_spec(permissions={"inline": "user_groups: {root: {}}"})
    done = some.settle()
    assert [one.manifest["kind"] for one in done if isinstance(one, ApplyObject)] == ["ConfigMap"]
    assert not any(isinstance(one, DeleteObject) for one in done)
    assert some.get("ConfigMap", "q-manager")["data"]["user_group_permissions.yaml"] == "user_groups: {root: {}}"


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
