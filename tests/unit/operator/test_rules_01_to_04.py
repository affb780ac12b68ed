"""The rules that decide the hard cases, as far as the operator carries them: 1 to 4."""

from __future__ import annotations

from dataclasses import fields

import pytest

from operator_objects import OTHER_OPENING, containers, manifests, pods_of, with_all_pods, world
from operator_world import SIMULATED, START, World, set_node
from queueserver_common.cluster import CONFIRMED_DEAD_ANNOTATION
from queueserver_operator.model import (
    ApplyObject,
    CreateKeys,
    CreateOnly,
    DeleteObject,
    Options,
    ReleaseLease,
    TakeLease,
)
from queueserver_operator.names import FINALIZER, lease

INSTRUMENT = lease("beamline/q")


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


def test_rule_01_the_missing_proof_is_named_also_when_the_environment_was_destroyed():
    some = world()
    name = some.opened()
    set_node(some, "node-1", ready=False)
    some.manager_says("destroying_environment", "closing", link="silent", environment_name=name)
    some.remove("WorkerEnvironment", name)
    some.settle()
    status, reason, message = some.condition("Unreachable")
    assert (status, reason) == ("True", "NodeNotReady")
    assert "deletion of Node node-1" in message
    assert f"deletion of pod {name} by force" in message
    assert some.leases() != {}
    some.nodes["node-1"] = None
    some.settle()
    assert some.condition("Unreachable")[0] == ""
    assert some.leases() == {}


def test_rule_01_a_worker_that_is_leaving_after_its_environment_was_deleted_is_not_unreachable():
    some = world()
    name = some.opened()
    some.manager_says("destroying_environment", "closing", link="connected", environment_name=name)
    some.remove("WorkerEnvironment", name)
    some.settle()
    assert some.condition("Unreachable")[0] == ""


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
    assert [one.type for one in some.posted if one.reason == "InstrumentHeld"] == ["Normal", "Warning"]
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


def test_rule_03_the_wait_of_the_finalizer_is_that_of_the_worker_which_runs():
    some = world(environment={**SIMULATED["environment"], "terminationGracePeriodSeconds": 300})
    some.opened()
    some.change_template(terminationGracePeriodSeconds=30)
    some.delete_queue_server()
    some.settle()
    some.now = START + 309
    some.settle()
    assert some.names("QueueServer") == ["q"]
    some.now = START + 310
    some.settle()
    assert some.names("QueueServer") == []


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
