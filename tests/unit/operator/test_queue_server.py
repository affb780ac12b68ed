"""The manager of a QueueServer: its pod, its conditions, suspension, and rest when there is nothing to do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from operator_world import SIMULATED, START, World, refusal, set_node
from queueserver_operator.model import ApplyObject, DeleteObject, PatchStatus
from queueserver_operator.names import HASH_ANNOTATION
from queueserver_operator.observed import PodEvent

OTHER_OPENING = "fedcba9876543210fedcba9876543210"


def world(**spec: Any) -> World:
    return World({**SIMULATED, **spec})


def ready_world(**spec: Any) -> World:
    some = world(**spec)
    some.settle()
    some.start_manager()
    some.manager_says()
    some.settle()
    return some


def manager_waits(some: World, reason: str, message: str = "") -> None:
    some.set_containers("q-manager-0", manager={"state": {"waiting": {"reason": reason, "message": message}}})


# Rest ----------------------------------------------------------------------------------------------------------------


def test_idle_means_no_writes():
    some = world()
    some.opened()
    for seconds in (1, 60, 300):
        some.now += seconds
        assert some.plan().chains == ()


def test_a_suspended_queue_server_means_no_writes():
    some = world(suspend=True)
    some.settle()
    some.now += 300
    assert some.plan().chains == ()
    assert some.plan().requeue is None


def test_the_order_of_conditions_is_no_reason_to_write():
    some = ready_world()
    some.queue_server["status"]["conditions"].reverse()
    assert some.plan().chains == ()


def test_what_somebody_else_changed_is_put_right():
    some = ready_world()
    some.drifted.add(("Service", "q"))
    assert [one.manifest["kind"] for one in some.settle() if isinstance(one, ApplyObject)] == ["Service"]
    some.drifted.add(("StatefulSet", "q-manager"))
    assert [one.manifest["kind"] for one in some.settle() if isinstance(one, ApplyObject)] == ["StatefulSet"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "q-manager"),
        ("NetworkPolicy", "q-worker"),
        ("PersistentVolumeClaim", "q-home"),
        ("Role", "q-manager"),
        ("RoleBinding", "q-manager"),
        ("Secret", "q-client"),
        ("Secret", "q-link-worker"),
        ("Service", "q-link"),
        ("ServiceAccount", "q-worker"),
        ("StatefulSet", "q-manager"),
    ],
)
def test_what_somebody_deleted_is_made_again(kind: str, name: str):
    some = ready_world()
    some.objects.pop((kind, "beamline", name))
    some.settle()
    assert some.has(kind, name)


def test_every_applied_object_bears_its_hash_and_belongs_to_the_queue_server():
    some = ready_world()
    applied = [one.manifest for one in some.done if isinstance(one, ApplyObject)]
    assert len(applied) >= 10
    for manifest in applied:
        assert manifest["metadata"]["annotations"][HASH_ANNOTATION]
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("QueueServer", some.queue_server["metadata"]["uid"])
        assert owner["blockOwnerDeletion"] is False


def test_labels_of_the_queue_server_are_not_copied():
    some = world()
    some.queue_server["metadata"]["labels"] = {"argocd.argoproj.io/instance": "x"}
    some.settle()
    assert not any("argocd.argoproj.io/instance" in str(one) for one in some.done)


def test_network_policies_go_when_they_are_switched_off():
    some = ready_world()
    some.change_spec(network={"policy": {"enabled": False}})
    some.settle()
    assert some.names("NetworkPolicy") == []


# Conditions ----------------------------------------------------------------------------------------------------------


def test_a_new_queue_server_is_reconciling_and_then_ready():
    some = world()
    some.settle()
    assert some.status()["phase"] == "starting"
    assert some.condition("Reconciling")[:2] == ("True", "ManagerStarting")
    some.start_manager()
    some.manager_says()
    some.settle()
    assert some.status()["phase"] == "idle"
    assert some.condition("Ready") == ("True", "ManagerReady", "The manager answers its clients.")
    assert [some.condition(kind)[0] for kind in ("Reconciling", "Stalled")] == ["False", "False"]
    assert some.status()["observedGeneration"] == 1
    assert some.status()["images"] == {
        "manager": "registry/manager:1",
        "redis": "registry/manager:1",
        "worker": "registry/worker:1",
    }


def test_the_phase_is_the_managers_state():
    some = world()
    name = some.opened()
    some.manager_says("paused", "idle", link="connected", environment_name=name, running="scan")
    some.settle()
    assert some.status()["phase"] == "paused"


def test_the_time_of_a_transition_changes_with_the_status_only():
    some = world()
    some.settle()
    some.now = START + 10
    some.start_manager(ready=False)
    manager_waits(some, "ContainerCreating")
    some.settle()
    before = {one["type"]: one["lastTransitionTime"] for one in some.status()["conditions"]}
    some.now = START + 20
    some.start_manager()
    some.settle()
    after = {one["type"]: one["lastTransitionTime"] for one in some.status()["conditions"]}
    assert before["Ready"] == "2027-01-15T08:00:00Z"
    assert after["Ready"] == after["Reconciling"] == "2027-01-15T08:00:20Z"
    assert after["Stalled"] == before["Stalled"]


def test_a_manager_that_crashes_is_told_with_its_last_words():
    some = ready_world()
    ended = {"exitCode": 2, "reason": "Error", "message": "config.yml: unknown key 'networc'"}
    crashed = {"restartCount": 4, "lastState": {"terminated": ended}, "ready": False}
    some.set_containers("q-manager-0", manager={"state": {"waiting": {"reason": "CrashLoopBackOff"}}, **crashed})
    some.settle()
    status, reason, message = some.condition("Stalled")
    assert (status, reason) == ("True", "CrashLoop")
    assert message.endswith("with exit code 2: config.yml: unknown key 'networc'")
    assert [one.type for one in some.posted if one.reason == "CrashLoop"] == ["Warning"]
    some.set_containers("q-manager-0", manager={"state": {"running": {}}, **crashed})
    assert some.settle() == [], "between two crashes nothing has changed"


def test_redis_that_crashes_is_named():
    some = ready_world()
    ended = {"exitCode": 1, "message": "Bad file format reading the append only file"}
    some.set_containers(
        "q-manager-0",
        manager={"state": {"waiting": {"reason": "PodInitializing"}}},
        redis={
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "restartCount": 3,
            "lastState": {"terminated": ended},
        },
    )
    some.settle()
    assert "container redis" in some.condition("Stalled")[2]
    assert "append only file" in some.condition("Stalled")[2]


def test_a_claim_that_is_pending_is_named():
    some = world()
    some.settle()
    some.start_manager(ready=False)
    pod = some.get("Pod", "q-manager-0")
    pod["spec"].pop("nodeName")
    message = "pod has unbound immediate PersistentVolumeClaims"
    pod["status"] = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    }
    some.put("PersistentVolumeClaim", "data-q-manager-0", {"status": {"phase": "Pending"}})
    some.events.append(PodEvent("PersistentVolumeClaim", "data-q-manager-0", "ProvisioningFailed", "no capacity"))
    some.settle()
    assert some.condition("Ready")[1:] == (
        "VolumePending",
        "The volume of claim data-q-manager-0 is not there yet: no capacity",
    )
    assert some.status()["phase"] == "starting"
    some.now += 60
    some.settle()
    assert some.status()["phase"] == "stalled"


def test_a_pod_of_the_manager_that_kubernetes_cannot_make_is_told_in_its_words():
    some = world(manager={"serviceAccountName": "nobody"})
    some.settle()
    assert some.condition("Reconciling")[:2] == ("True", "ManagerStarting")
    said = 'create Pod q-manager-0 in StatefulSet q-manager failed error: serviceaccount "nobody" not found'
    some.events.append(PodEvent("StatefulSet", "q-manager", "FailedCreate", said, START))
    some.settle()
    assert some.condition("Reconciling") == (
        "True",
        "PodCannotBeMade",
        f"The pod of the manager cannot be made: {said}",
    )
    some.now += 30
    some.settle()
    assert some.condition("Stalled")[:2] == ("True", "PodCannotBeMade")
    assert some.status()["phase"] == "stalled"
    some.change_spec(updatePolicy="Immediate")  # the status is written once more
    some.settle()
    assert [one.type for one in some.posted if one.reason == "PodCannotBeMade"] == ["Warning"]
    some.start_manager()
    some.manager_says()
    some.settle()
    assert some.condition("Ready")[0] == "True"


def test_what_kubernetes_said_of_an_earlier_pod_is_over():
    some = ready_world()
    some.events.append(PodEvent("StatefulSet", "q-manager", "FailedCreate", "exceeded quota", START - 60))
    some.now += 10
    some.pod_vanishes("q-manager-0")
    some.settle()
    assert some.condition("Reconciling")[:2] == ("True", "ManagerStarting")


def test_a_node_of_the_manager_that_does_not_answer():
    some = ready_world()
    set_node(some, "node-1", ready=False)
    some.settle()
    assert some.condition("Ready")[:2] == ("False", "NodeNotReady")
    assert some.status()["phase"] == "unavailable"


def test_a_manager_without_redis_is_not_ready():
    some = ready_world()
    some.manager_says(redis_connected=False)
    some.set_containers("q-manager-0", manager={"state": {"running": {}}, "ready": False})
    some.settle()
    assert some.condition("Reconciling")[:2] == ("True", "RedisAway")


def test_an_object_that_is_refused_is_told_and_not_tried_again_at_once():
    some = ready_world()
    some.change_spec(network={"service": {"type": "LoadBalancer"}})
    (service,) = [
        one.manifest
        for one in some.plan().actions()
        if isinstance(one, ApplyObject) and one.manifest["kind"] == "Service"
    ]
    some.refusals.append(refusal(service, "load balancers are not allowed here", some.now, 403))
    done = some.settle()
    assert not any(isinstance(one, ApplyObject) for one in done)
    assert some.condition("Stalled")[:2] == ("True", "ObjectRefused")
    assert "Service q: load balancers are not allowed here" in some.condition("Stalled")[2]
    some.now += 30
    assert any(isinstance(one, ApplyObject) for one in some.plan().actions())
    some.refusals.clear()
    some.settle()
    assert some.condition("Ready")[0] == "True"


def test_a_changed_refused_object_is_tried_at_once():
    some = ready_world()
    some.change_spec(network={"service": {"type": "LoadBalancer"}})
    (service,) = [
        one.manifest
        for one in some.plan().actions()
        if isinstance(one, ApplyObject) and one.manifest["kind"] == "Service"
    ]
    some.refusals.append(refusal(service, "no", some.now))
    some.change_spec(network={"service": {"type": "NodePort"}})
    kinds = [one.manifest["kind"] for one in some.plan().actions() if isinstance(one, ApplyObject)]
    assert kinds == ["Service"]


def test_a_refused_object_that_is_not_wanted_any_more_is_no_trouble():
    some = ready_world()
    home = some.get("PersistentVolumeClaim", "q-home")
    some.refusals.append(refusal(home, "exceeded quota: no volumes here", some.now, 403))
    some.settle()
    assert some.condition("Stalled")[:2] == ("True", "ObjectRefused")
    assert "exceeded quota" in some.condition("Stalled")[2]
    some.change_template(home={"emptyDir": {}})
    some.settle()
    assert some.condition("Ready")[:2] == ("True", "ManagerReady")


def test_a_secret_without_its_keys_is_named():
    some = world(keys={"control": {"name": "mine"}})
    some.put("Secret", "mine", {"data": {"public_key": "cHVibGlj"}})
    some.settle()
    assert some.condition("Stalled") == (
        "True",
        "SecretIncomplete",
        "The Secret mine has no private_key; both keys of a CURVE pair belong in it.",
    )


def test_the_manager_s_part_of_the_status_is_never_written():
    some = world()
    some.opened()
    written = [one.status for one in some.done if isinstance(one, PatchStatus)]
    assert written
    assert not any({"queue", "state"} & status.keys() for status in written)


def test_a_stateful_set_whose_fixed_parts_differ_is_made_anew_around_its_pod():
    some = ready_world()
    some.get("StatefulSet", "q-manager")["metadata"]["annotations"]["queueserver.blueskyproject.io/immutable-hash"] = (
        "x"
    )
    done = some.settle()
    (deleted,) = [one for one in done if isinstance(one, DeleteObject)]
    assert (deleted.ref.kind, deleted.orphan) == ("StatefulSet", True)
    assert some.has("StatefulSet", "q-manager")
    assert some.has("Pod", "q-manager-0")


# Suspension ----------------------------------------------------------------------------------------------------------


def test_suspension_waits_for_the_plan_then_closes_then_stops():
    some = world()
    name = some.opened()
    some.manager_says("executing_queue", "executing_plan", link="connected", environment_name=name, running="count")
    some.change_spec(suspend=True)
    some.settle()
    assert some.status()["phase"] == "suspending"
    assert some.condition("Reconciling")[1] == "WaitingForIdle"
    assert some.has("WorkerEnvironment", name)
    some.manager_says("idle", "idle", link="connected", environment_name=name)
    some.settle()
    assert not some.has("WorkerEnvironment", name)
    assert some.condition("Reconciling")[1] == "ClosingEnvironment"
    some.kubelet_ends(name)
    some.settle()
    assert some.get("StatefulSet", "q-manager")["spec"]["replicas"] == 1, "the manager has not seen the end yet"
    some.manager_says()
    some.settle()
    assert some.get("StatefulSet", "q-manager")["spec"]["replicas"] == 0
    assert some.leases() == {}
    some.pod_vanishes("q-manager-0")
    some.settle()
    assert some.status()["phase"] == "suspended"
    assert some.condition("Ready")[:2] == ("True", "Suspended")
    assert some.names("PersistentVolumeClaim") == ["data-q-manager-0", "q-home"]


def test_a_suspended_queue_server_starts_again():
    some = world(suspend=True)
    some.settle()
    assert some.get("StatefulSet", "q-manager")["spec"]["replicas"] == 0
    some.change_spec(suspend=False)
    some.settle()
    assert some.get("StatefulSet", "q-manager")["spec"]["replicas"] == 1
    assert some.status()["phase"] == "starting"


# Totality ------------------------------------------------------------------------------------------------------------


def test_a_change_of_one_queue_server_leaves_others_alone():
    some = ready_world()
    before = copy.deepcopy(some.objects)
    other = World(SIMULATED, name="other")
    other.objects |= some.objects
    other.settle()
    assert {key: body for key, body in other.objects.items() if key in before} == before
