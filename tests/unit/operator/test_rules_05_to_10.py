"""The rules that decide the hard cases, as far as the operator carries them: 5 to 10."""

from __future__ import annotations

import base64

import pytest
import yaml

from operator_objects import OTHER_OPENING, manifests, pods_of, with_all_pods, world
from operator_world import OPENING
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_operator.model import (
    ApplyObject,
    CreateKeys,
    DeleteObject,
    ReleaseLease,
)

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


def test_rule_05_the_revision_of_the_startup_code_is_the_same_in_the_status_and_in_the_runs():
    some = world(environment={"profile": {"configMap": {"name": "code"}}})
    some.put("ConfigMap", "code", {"data": {"plans.py": "a = 1"}})
    name = some.opened()
    config = WorkerConfig.from_json(some.get("ConfigMap", name)["data"]["worker.json"])
    assert config.startup_revision
    assert some.status(name)["profile"]["revision"] == config.startup_revision
    assert some.status()["profile"]["revision"] == config.startup_revision


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


def test_rule_06_keys_that_were_deleted_are_made_anew_and_taken_over():
    some = world()
    name = some.opened()
    some.end_worker(name)
    some.manager_says()
    some.settle()
    before = some.get("Secret", "q-client")["data"]["QSERVER_ZMQ_PUBLIC_KEY"]
    some.remove("Secret", "q-control")
    done = some.settle()
    assert [one.manifest["metadata"]["name"] for one in done if isinstance(one, CreateKeys)] == ["q-control"]
    assert [one.ref.name for one in done if isinstance(one, DeleteObject)] == ["q-manager-0"]
    assert some.get("Secret", "q-client")["data"]["QSERVER_ZMQ_PUBLIC_KEY"] != before
    some.start_manager()
    some.settle()
    some.remove("Secret", "q-link-server")
    some.remove("Secret", "q-link-worker")
    assert [one.ref.name for one in some.settle() if isinstance(one, DeleteObject)] == ["q-manager-0"]
    some.start_manager()
    some.settle()
    assert some.condition("Ready")[0] == "True"
    second = some.open_environment(OTHER_OPENING)
    some.settle()
    assert some.has("Pod", second)


@pytest.mark.parametrize("policy", ["WhenIdle", "Immediate", "OnRestart"])
def test_rule_06_keys_of_the_link_that_are_noticed_at_an_opening_come_first(policy: str):
    some = world(updatePolicy=policy)
    some.settle()
    some.start_manager()
    some.manager_says()
    some.settle()
    some.put("Secret", "q-link-worker", {**some.get("Secret", "q-link-worker"), "data": some.new_keys()})
    name = some.open_environment()
    some.manager_says("creating_environment", "initializing", environment_name=name)
    done = some.settle()
    assert [one.ref.name for one in done if isinstance(one, DeleteObject)] == ["q-manager-0"]
    assert some.condition("Ready", name)[1] == "KeysChanging"
    some.start_manager()
    some.settle()
    assert some.has("Pod", name)


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
    told = some.get("Secret", "q-client")["data"].get("QSERVER_ZMQ_INFO_ENCRYPTED", "")
    assert base64.b64decode(told) == (b"" if clear else b"ON")
    config = yaml.safe_load(some.get("ConfigMap", "q-manager")["data"]["config.yml"])["kubernetes"]
    assert (config["clear_info"], config["encrypted_info_addr"]) == (clear, "tcp://*:60626")
    clients, _workers = some.get("NetworkPolicy", "q-manager")["spec"]["ingress"]
    assert [one["port"] for one in clients["ports"]] == ports


def test_requests_of_version_0_0_1_are_answered_when_that_is_asked_for():
    plain, some = world(), world(network={"legacy": True})
    for one in (plain, some):
        one.settle()
    assert 5555 not in [one["port"] for one in plain.get("Service", "q")["spec"]["ports"]]
    service = yaml.safe_load(plain.get("ConfigMap", "q-manager")["data"]["config.yml"])["service"]
    assert "legacy_addr" not in service  # an image of an older release does not know it
    assert 5555 in [one["port"] for one in some.get("Service", "q")["spec"]["ports"]]
    service = yaml.safe_load(some.get("ConfigMap", "q-manager")["data"]["config.yml"])["service"]
    assert service["legacy_addr"] == "tcp://*:5555"
    clients, _workers = some.get("NetworkPolicy", "q-manager")["spec"]["ingress"]
    assert 5555 in [one["port"] for one in clients["ports"]]


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
