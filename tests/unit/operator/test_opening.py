"""From a WorkerEnvironment to a running worker, and what is said when that does not go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from operator_world import OPENING, SIMULATED, START, World, refusal, set_node
from queueserver_common.cluster import environment_name
from queueserver_common.link.messages import ExitStatus, ItemEnded
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.spool import TerminationMessage
from queueserver_operator.model import CreateOnly, DeleteObject, OpenGate, PatchStatus, PostEvent, TakeLease
from queueserver_operator.observed import PodEvent

OTHER_OPENING = "fedcba9876543210fedcba9876543210"


def ready_world(**spec: Any) -> World:
    some = World({**SIMULATED, **spec})
    some.settle()
    some.start_manager()
    some.manager_says()
    some.settle()
    return some


def starting(**spec: Any) -> tuple[World, str]:
    """A pod that may run and has no node yet."""
    some = ready_world(**spec)
    name = some.open_environment()
    some.settle()
    return some, name


def waiting_container(some: World, name: str, reason: str, message: str = "") -> None:
    some.get("Pod", name)["spec"]["nodeName"] = "node-1"
    set_node(some, "node-1")
    some.set_containers(name, worker={"state": {"waiting": {"reason": reason, "message": message}}})


def test_the_order_of_an_opening():
    some = ready_world()
    name = some.open_environment()
    done = [one for one in some.settle() if not isinstance(one, PatchStatus) or one.ref.name == name]
    kinds = [type(one) for one in done]
    assert kinds == [TakeLease, CreateOnly, CreateOnly, PatchStatus, PatchStatus, OpenGate]
    assert [one.manifest["kind"] for one in done if isinstance(one, CreateOnly)] == ["ConfigMap", "Pod"]
    assert some.status(name)["phase"] == "starting"


def test_the_phases_of_an_environment():
    some, name = starting()
    phases = [some.status(name)["phase"]]
    some.run_worker(name)
    some.settle()
    phases.append(some.status(name)["phase"])
    some.manager_says("creating_environment", "initializing", link="connected", environment_name=name)
    some.settle()
    phases.append(some.status(name)["phase"])
    some.manager_says("idle", "idle", link="connected", environment_name=name)
    some.settle()
    phases.append(some.status(name)["phase"])
    some.manager_says("closing_environment", "closing", link="connected", environment_name=name)
    some.settle()
    phases.append(some.status(name)["phase"])
    some.end_worker(name)
    some.settle()
    phases.append(some.status(name)["phase"])
    assert phases == ["starting", "loading", "loading", "open", "closing", "ended"]


def test_a_queue_server_shows_its_environment():
    some = World(SIMULATED)
    name = some.opened()
    assert some.status()["environment"] == {"name": name, "phase": "open", "pod": name, "node": "node-1"}
    assert some.status()["instrument"]["holder"] == f"beamline/{name}"
    some.remove("WorkerEnvironment", name)
    some.kubelet_ends(name)
    some.manager_says()
    some.settle()
    assert some.status()["environment"] == {"phase": "closed"}
    assert "holder" not in some.status()["instrument"]


def test_an_open_environment_is_ready_and_an_ended_one_neither_ready_nor_stalled():
    some = World(SIMULATED)
    name = some.opened()
    assert some.condition("Ready", name)[:2] == ("True", "Open")
    some.end_worker(name)
    some.settle()
    assert [some.condition(kind, name)[0] for kind in ("Ready", "Reconciling", "Stalled")] == ["False"] * 3


def test_a_paused_plan_leaves_the_environment_open():
    some = World(SIMULATED)
    name = some.opened()
    some.manager_says("paused", "idle", link="connected", environment_name=name, running="scan")
    some.settle()
    assert some.status(name)["phase"] == "open"


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_pulled_is_named(reason: str):
    some, name = starting()
    waiting_container(some, name, reason, "manifest unknown")
    some.settle()
    status, cause, message = some.condition("Stalled", name)
    assert (status, cause) == ("True", "ImageCannotBePulled")
    assert "registry/worker:1" in message
    assert "manifest unknown" in message


def test_attempts_to_pull_an_image_do_not_make_the_status_flicker():
    some, name = starting()
    waiting_container(some, name, "ErrImagePull", "not found")
    some.settle()
    assert some.condition("Reconciling", name)[:2] == ("True", "ImageCannotBePulled")
    waiting_container(some, name, "ImagePullBackOff", "back-off")
    some.settle()
    assert some.condition("Stalled", name)[0] == "True"
    waiting_container(some, name, "ErrImagePull", "not found")
    assert some.settle() == []
    some.run_worker(name)
    some.settle()
    assert some.condition("Stalled", name)[0] == "False"


def test_a_pod_that_no_node_can_take_counts_as_stalled_after_a_minute():
    some, name = starting()
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes: no memory",
    }
    some.get("Pod", name)["status"] = {"conditions": [condition]}
    some.settle()
    assert some.condition("Reconciling", name)[:2] == ("True", "Unschedulable")
    assert "0/1 nodes: no memory" in some.condition("Ready", name)[2]
    some.now = START + 60
    some.settle()
    assert some.condition("Stalled", name)[:2] == ("True", "Unschedulable")
    some.now += 60
    some.get("WorkerEnvironment", name)["metadata"]["generation"] += 1  # its status is written once more
    some.settle()
    assert [(one.type, one.ref.name) for one in some.posted if one.reason == "Unschedulable"] == [("Warning", name)]


@pytest.mark.parametrize("reason", ["TriggeredScaleUp", "Nominated"])
def test_a_pod_for_which_a_node_is_being_added_has_until_its_deadline(reason: str):
    some, name = starting()
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: full"}
    some.get("Pod", name)["status"] = {"conditions": [condition]}
    some.events.append(PodEvent("Pod", name, reason, "pod triggered scale-up"))
    some.now = START + 120
    some.settle()
    assert some.condition("Reconciling", name)[:2] == ("True", "Unschedulable")
    assert "one is being added: 0/1 nodes: full" in some.condition("Ready", name)[2]
    some.events.clear()
    some.now += 1
    some.settle()
    assert some.condition("Stalled", name)[:2] == ("True", "Unschedulable")


def test_a_volume_that_is_not_provided_is_named_with_its_event():
    some, name = starting()
    some.put("PersistentVolumeClaim", "q-home", {"status": {"phase": "Pending"}})
    message = "pod has unbound immediate PersistentVolumeClaims"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    some.get("Pod", name)["status"] = {"conditions": [condition]}
    some.events.append(
        PodEvent("PersistentVolumeClaim", "q-home", "ProvisioningFailed", 'storageclass "fast" not found')
    )
    some.settle()
    assert some.condition("Ready", name)[1:] == (
        "VolumePending",
        'The volume of claim q-home is not there yet: storageclass "fast" not found',
    )


def test_a_volume_that_cannot_be_mounted_is_named():
    some, name = starting()
    waiting_container(some, name, "ContainerCreating")
    some.events.append(PodEvent("Pod", name, "FailedMount", 'configmap "extra" not found', START))
    some.settle()
    assert some.condition("Ready", name)[1] == "VolumeCannotBeMounted"
    assert 'configmap "extra" not found' in some.condition("Ready", name)[2]


@pytest.mark.parametrize(
    ("profile", "missing", "message"),
    [
        ({"configMap": {"name": "code"}}, None, "The ConfigMap code with the startup code does not exist."),
        (
            {"configMap": {"name": "code", "path": "b.py"}},
            ("ConfigMap", {"data": {"a.py": ""}}),
            "The ConfigMap code has no key 'b.py', which is to be the startup code.",
        ),
        (
            {"persistentVolumeClaim": {"claimName": "code"}},
            None,
            "The claim code with the startup code does not exist.",
        ),
    ],
)
def test_startup_code_that_is_not_there_is_named(profile: Any, missing: Any, message: str):
    some = ready_world(environment={"profile": profile})
    if missing:
        some.put(missing[0], "code", missing[1])
    name = some.open_environment()
    some.settle()
    assert some.condition("Stalled", name) == ("True", "ProfileNotFound", message)
    assert some.condition("Stalled") == ("True", "ProfileNotFound", message)
    assert some.leases() == {}
    assert some.status()["phase"] == "idle", "the manager works"


def test_startup_code_that_appears_in_time_is_loaded():
    some = ready_world(environment={"profile": {"configMap": {"name": "code"}}})
    name = some.open_environment()
    some.settle()
    assert not some.has("Pod", name)
    some.put("ConfigMap", "code", {"data": {"a.py": ""}})
    some.settle()
    assert some.has("Pod", name)
    assert some.status(name)["profile"]["source"] == "configMap/code"
    assert some.condition("Ready")[0] == "True"


@pytest.mark.parametrize(
    ("profile", "kind", "value"),
    [
        ({"simulated": {}}, "directory", "/opt/queueserver/sim_profile"),
        ({"configMap": {"name": "code"}}, "directory", "/opt/queueserver/startup"),
        ({"configMap": {"name": "code", "path": "a.py"}}, "script", "/opt/queueserver/startup/a.py"),
        ({"persistentVolumeClaim": {"claimName": "code"}}, "directory", "/opt/queueserver/startup"),
        ({"persistentVolumeClaim": {"claimName": "code", "path": "x/y"}}, "directory", "/opt/queueserver/startup/x/y"),
        ({"image": {"path": "/opt/id7/startup.ipy"}}, "script", "/opt/id7/startup.ipy"),
        ({"image": {"module": "id7.startup"}}, "module", "id7.startup"),
    ],
)
def test_each_source_of_startup_code_reaches_the_worker(profile: Any, kind: str, value: str):
    some = ready_world(environment={"profile": profile})
    some.put("ConfigMap", "code", {"data": {"a.py": ""}})
    some.put("PersistentVolumeClaim", "code", {})
    name = some.open_environment()
    some.settle()
    config = WorkerConfig.from_json(some.get("ConfigMap", name)["data"]["worker.json"])
    assert config.startup.as_mapping() == {"kind": kind, "value": value}
    mounts = {one["mountPath"] for one in some.get("Pod", name)["spec"]["containers"][0]["volumeMounts"]}
    assert ("/opt/queueserver/startup" in mounts) is value.startswith("/opt/queueserver/startup")


def test_a_lock_that_the_api_server_refuses_is_told_in_its_words():
    some = ready_world()
    name = some.open_environment()
    (take,) = [one for one in some.plan().actions() if isinstance(one, TakeLease)]
    some.refusals.append(refusal(take.manifest, 'namespaces "locks" not found', some.now, 404))
    some.settle()
    assert some.condition("Stalled", name)[:2] == ("True", "LeaseRefused")
    assert 'namespaces "locks" not found' in some.condition("Stalled", name)[2]
    assert some.condition("Ready")[0] == "True", "the QueueServer itself is well"
    some.now += 15
    assert any(isinstance(one, TakeLease) for one in some.plan().actions())


def test_a_pod_that_the_api_server_refuses_is_told_in_its_words_and_tried_again_later():
    some = ready_world()
    name = some.open_environment()
    (pod,) = [
        one.manifest for one in some.plan().actions() if isinstance(one, CreateOnly) and one.manifest["kind"] == "Pod"
    ]
    some.refusals.append(refusal(pod, "exceeded quota: memory", some.now, 403))
    some.settle()
    assert some.condition("Stalled", name)[:2] == ("True", "PodRefused")
    assert "exceeded quota: memory" in some.condition("Stalled", name)[2]
    assert some.worker_pods_made() == 0
    some.now += 15
    some.settle()
    assert some.worker_pods_made() == 1


def test_a_pod_that_was_never_started_goes_when_the_deadline_passes():
    some, name = starting()
    waiting_container(some, name, "ImagePullBackOff", "not found")
    some.settle()
    some.now = START + 540
    done = some.settle()
    assert [one.ref.name for one in done if isinstance(one, DeleteObject)] == [name]
    assert some.status(name)["phase"] == "failed"
    assert some.condition("Stalled", name)[1] == "ImageCannotBePulled"
    assert len(some.leases()) == 1, "not before its end is proved"
    some.pod_vanishes(name)
    some.settle()
    assert some.status(name)["end"]["proof"] == "PodGone"
    assert some.leases() == {}


def test_a_worker_that_runs_is_never_deleted_for_the_deadline():
    some, name = starting()
    some.run_worker(name)
    some.now = START + 10_000
    assert not any(isinstance(one, DeleteObject) for one in some.settle())
    assert some.status(name)["phase"] == "loading"


def test_the_deadline_of_the_moment_of_opening_counts():
    some, name = starting()
    some.change_template(openingDeadlineSeconds=10)
    some.now = START + 100
    some.settle()
    assert some.status(name)["phase"] == "starting"
    assert some.status(name)["deadline"] == "2027-01-15T08:09:00Z"


def test_an_environment_waits_for_the_pod_of_an_earlier_opening_with_the_same_id():
    some = World(SIMULATED)
    name = some.opened()
    some.remove("WorkerEnvironment", name)
    some.manager_says()
    some.settle()
    assert some.open_environment() == name
    some.settle()
    assert some.status(name)["phase"] == "waiting"
    assert some.condition("Ready", name)[1] == "PodOfEarlierOpening"
    some.kubelet_ends(name)
    some.settle()
    assert some.status(name)["phase"] == "starting"


def test_an_environment_of_a_queue_server_that_does_not_exist_fails():
    some = World()
    name = some.open_environment(queue_server="missing")
    some.settle("missing")
    assert some.condition("Stalled", name) == (
        "True",
        "QueueServerNotFound",
        "There is no QueueServer missing in namespace beamline.",
    )


def test_an_environment_of_a_suspended_queue_server_fails():
    some = World({**SIMULATED, "suspend": True})
    some.settle()
    name = some.open_environment()
    some.settle()
    assert some.condition("Stalled", name)[1] == "Suspended"
    assert not some.has("Pod", name)


def test_nothing_is_heard_of_a_worker():
    some = World(SIMULATED)
    name = some.opened()
    some.manager_says("executing_queue", "executing_plan", link="silent", environment_name=name, running="scan")
    some.settle()
    for resource in ("", name):
        assert some.condition("Unreachable", resource)[:2] == ("True", "WorkerSilent")
    assert some.condition("Ready", name)[0] == "False"
    assert some.status()["environment"]["phase"] == "unreachable"
    assert "confirmed-dead=" in some.condition("Unreachable", name)[2]
    some.manager_says("executing_queue", "executing_plan", link="connected", environment_name=name, running="scan")
    some.settle()
    assert some.condition("Unreachable")[0] == ""
    assert some.condition("Ready", name)[0] == "True"


def test_events_tell_what_a_person_wants_to_know():
    some, name = starting(instrument="id7")
    some.run_worker(name)
    some.manager_says("idle", "idle", link="connected", environment_name=name)
    some.settle()
    some.end_worker(name, 1, message="Traceback …\nValueError: no such motor")
    some.settle()
    told = [(one.type, one.reason) for one in some.posted if one.ref.kind == "WorkerEnvironment"]
    assert told == [("Normal", "Open"), ("Warning", "Error")]
    (event,) = [one for one in some.posted if one.reason == "Error"]
    assert isinstance(event, PostEvent)
    assert event.message.endswith("ValueError: no such motor")


def test_an_end_that_waits_for_the_manager_in_the_termination_message_is_not_told_to_people(tmp_path: Path):
    some = World(SIMULATED)
    name = some.opened()
    config = WorkerConfig.from_json(some.get("ConfigMap", name)["data"]["worker.json"])
    assert config.termination_message == "/dev/termination-log"
    file = tmp_path / "termination-log"
    TerminationMessage(str(file)).write(ItemEnded("item", ExitStatus.COMPLETED, 1.0, 2.0))
    some.end_worker(name, 1, message=file.read_text())
    some.settle()
    assert some.status(name)["end"]["message"] == "The worker ended with exit code 1."


@pytest.mark.parametrize(
    ("exit_code", "reason", "pod_status", "deleted", "expected", "words"),
    [
        (137, "OOMKilled", {}, False, "OOMKilled", "more memory"),
        (0, "", {}, True, "Deleted", "was deleted"),
        (143, "", {"reason": "Evicted", "message": "node was low on memory"}, False, "Evicted", "low on memory"),
        (137, "", {}, False, "Killed", "signal 9"),
        (3, "", {}, False, "EnvironmentFailed", "startup code"),
        (1, "", {}, False, "Error", "exit code 1"),
    ],
)
def test_how_a_worker_ended(
    exit_code: int, reason: str, pod_status: dict[str, str], deleted: bool, expected: str, words: str
):
    some = World(SIMULATED)
    name = some.opened()
    some.get("Pod", name)["status"] |= pod_status
    if deleted:
        some.delete_pod(name)
    some.end_worker(name, exit_code, reason=reason)
    some.settle()
    end = some.status(name)["end"]
    assert (end["reason"], end["exitCode"]) == (expected, exit_code)
    assert words in end["message"]
    assert some.status(name)["phase"] == "failed"
    assert some.condition("Stalled", name)[1] == expected


def test_an_eviction_is_told_by_the_condition_of_the_pod():
    some = World(SIMULATED)
    name = some.opened()
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    some.get("Pod", name)["status"]["conditions"] = [condition]
    some.end_worker(name, 143)
    some.settle()
    assert some.status(name)["end"]["reason"] == "Evicted"


def test_two_openings_of_one_queue_server_have_different_names():
    assert environment_name("q", OPENING) != environment_name("q", OTHER_OPENING)
