"""The HTTP server of a QueueServer: `spec.http`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from operator_objects import manifests, world
from operator_world import World, refusal

PREFIX = "queueserver.blueskyproject.io"
OBJECTS = ("Deployment", "Service", "ServiceAccount", "ConfigMap", "NetworkPolicy")


def with_http(**http: Any) -> World:
    some = world(http=http)
    some.settle()
    return some


def server_pod(some: World) -> dict[str, Any]:
    pod: dict[str, Any] = some.get("Deployment", "q-http")["spec"]["template"]["spec"]
    return pod


def server(some: World) -> dict[str, Any]:
    container: dict[str, Any] = server_pod(some)["containers"][0]
    return container


def volume(some: World, name: str) -> dict[str, Any]:
    return next(one for one in server_pod(some)["volumes"] if one["name"] == name)


def run_server(some: World, *, ready: bool = True, **state: Any) -> None:
    """The Deployment's controller makes a pod."""
    template = some.get("Deployment", "q-http")["spec"]["template"]
    some.put("Pod", "q-http-1", {"metadata": template["metadata"], "spec": {**template["spec"], "nodeName": "node-1"}})
    some.set_containers("q-http-1", http={"state": {"running": {}}, "ready": ready, **state})


def test_there_is_none_unless_it_is_wanted():
    some = world()
    some.settle()
    assert [name for kind in OBJECTS for name in some.names(kind) if name.endswith("-http")] == []
    assert "q-http" not in some.names("Secret")


def test_it_is_a_client_of_the_manager_like_any_other():
    some = with_http()
    container = server(some)
    assert container["command"] == ["start-bluesky-httpserver"]
    assert {"secretRef": {"name": "q-client"}} in container["envFrom"]
    assert {"name": "QSERVER_ZMQ_INFO_ADDRESS", "value": "tcp://q.beamline.svc:60626"} in container["env"]
    assert container["image"] == "registry/manager:1"
    service = some.get("Service", "q-http")["spec"]
    assert [one["port"] for one in service["ports"]] == [60610]
    labels = some.get("Deployment", "q-http")["spec"]["template"]["metadata"]["labels"]
    assert service["selector"].items() <= labels.items()


def test_its_keys_are_made_once_and_are_files():
    some = with_http()
    before = some.get("Secret", "q-http")["data"]
    assert sorted(before) == ["api_key", "token_key"]
    some.change_spec(http={"rootPath": "/x"})
    some.settle()
    assert some.get("Secret", "q-http")["data"] == before
    assert volume(some, "keys")["secret"]["defaultMode"] == 0o440
    values = {one["name"]: one["value"] for one in server(some)["env"]}
    assert values["QSERVER_HTTP_SERVER_SINGLE_USER_API_KEY_FILE"].endswith("/api_key")
    assert not any("secretKeyRef" in str(one) for one in server(some)["env"])


def test_keys_may_be_somebody_elses():
    some = world(http={"keys": {"name": "mine"}})
    some.settle()
    assert "q-http" not in some.names("Secret")
    assert volume(some, "keys")["secret"]["secretName"] == "mine"
    assert some.condition("HttpUnavailable")[1] == "SecretNotFound"
    some.put("Secret", "mine", {"data": {"api_key": ""}})
    some.settle()
    assert some.condition("HttpUnavailable")[1:] == ("SecretIncomplete", "The Secret mine has no token_key.")


def test_its_settings_never_touch_the_managers_pod():
    some = world()
    some.settle()
    before = some.get("StatefulSet", "q-manager")
    some.change_spec(http={"rootPath": "/x"})
    some.settle()
    assert some.get("StatefulSet", "q-manager") == before


def test_a_changed_configuration_rolls_its_pods():
    some = world(http={"configuration": {"configMap": {"name": "settings"}}})
    some.put("ConfigMap", "settings", {"data": {"a.yml": "x"}})
    some.settle()
    before = some.get("Deployment", "q-http")["spec"]["template"]["metadata"]["annotations"]
    assert {"configMap": {"name": "settings"}} in volume(some, "config")["projected"]["sources"]
    some.put("ConfigMap", "settings", {"data": {"a.yml": "y"}})
    some.settle()
    assert some.get("Deployment", "q-http")["spec"]["template"]["metadata"]["annotations"] != before


def test_its_objects_go_when_it_is_not_wanted_any_more():
    some = with_http()
    assert all(some.has(kind, "q-http") for kind in OBJECTS)
    body = some.queue_server
    spec = {key: value for key, value in body["spec"].items() if key != "http"}
    some.put("QueueServer", "q", {**body, "spec": spec})
    some.settle()
    assert not any(some.has(kind, "q-http") for kind in OBJECTS)
    assert some.has("Secret", "q-http"), "keys are kept, as data are"
    assert some.has("Service", "q")


# Database ------------------------------------------------------------------------------------------------------------


def test_accounts_are_on_a_claim_that_outlives_the_queue_server():
    some = with_http(database={"claim": {"size": "1Gi"}})
    claim = some.get("PersistentVolumeClaim", "q-http")
    assert claim["spec"]["resources"] == {"requests": {"storage": "1Gi"}}
    assert "ownerReferences" not in claim["metadata"]
    assert some.get("Deployment", "q-http")["spec"]["strategy"] == {"type": "Recreate"}
    assert volume(some, "data") == {"name": "data", "persistentVolumeClaim": {"claimName": "q-http"}}


def test_what_is_kept_goes_with_the_queue_server_when_it_is_to():
    some = world(http={"database": {"claim": {}}}, storage={"reclaim": "Delete"})
    some.settle()
    some.delete_queue_server()
    some.settle()
    assert not some.has("PersistentVolumeClaim", "q-http")
    assert not some.has("Secret", "q-http")


def test_several_servers_share_an_external_database():
    some = world(http={"replicas": 3, "database": {"uriSecret": {"name": "accounts", "key": "address"}}})
    some.put("Secret", "accounts", {"data": {"address": ""}})
    some.settle()
    deployment = some.get("Deployment", "q-http")["spec"]
    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert volume(some, "database")["secret"]["items"] == [{"key": "address", "path": "uri"}]
    assert not some.has("PersistentVolumeClaim", "q-http")
    assert some.get("Service", "q-http")["spec"]["sessionAffinity"] == "ClientIP"


def test_drains_take_one_of_several_servers_at_a_time():
    external = {"database": {"uriSecret": {"name": "accounts"}}}
    some = world(http={"replicas": 2, **external})
    some.put("Secret", "accounts", {"data": {"uri": ""}})
    some.settle()
    budget = some.get("PodDisruptionBudget", "q-http")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert budget["selector"] == some.get("Deployment", "q-http")["spec"]["selector"]
    some.change_spec(http={"replicas": 1, **external})
    some.settle()
    assert not some.has("PodDisruptionBudget", "q-http")
    some.change_spec(http={"replicas": 2, **external})
    some.settle()
    some.change_spec(http=None)
    some.settle()
    assert not some.has("PodDisruptionBudget", "q-http")


# Security ------------------------------------------------------------------------------------------------------------


def test_a_token_is_mounted_only_for_token_review():
    assert "serviceAccountToken" not in str(server_pod(with_http()))
    some = with_http(tokenReview={"groups": {"staff": ["expert"]}})
    assert "serviceAccountToken" in str(volume(some, "token"))
    assert server_pod(some)["automountServiceAccountToken"] is False
    settings = yaml.safe_load(some.get("ConfigMap", "q-http")["data"]["operator.yml"])
    assert settings["kubernetes"] == {"enabled": True, "groups": {"staff": ["expert"]}}


def test_the_operator_gives_it_no_rights():
    some = with_http(tokenReview={})
    assert some.names("Role") == some.names("RoleBinding") == ["q-manager"]
    assert some.names("ClusterRoleBinding") == []


def test_clients_reach_it_and_it_reaches_the_manager():
    clients = [{"podSelector": {"matchLabels": {"role": "client"}}}]
    some = world(http={}, network={"policy": {"clients": clients}})
    some.settle()
    (rule,) = some.get("NetworkPolicy", "q-http")["spec"]["ingress"]
    assert rule == {"ports": [{"port": 60610, "protocol": "TCP"}], "from": clients}
    to_manager = some.get("NetworkPolicy", "q-manager")["spec"]["ingress"][0]["from"]
    labels = {f"{PREFIX}/queueserver": "q", f"{PREFIX}/component": "http"}
    assert to_manager == [*clients, {"podSelector": {"matchLabels": labels}}]


# State ---------------------------------------------------------------------------------------------------------------


def test_a_suspended_queue_server_has_none_that_runs():
    some = with_http()
    some.start_manager()
    some.manager_says()
    some.settle()
    some.change_spec(suspend=True)
    some.settle()
    assert some.get("Deployment", "q-http")["spec"]["replicas"] == 0
    some.change_spec(suspend=False)
    some.settle()
    assert some.get("Deployment", "q-http")["spec"]["replicas"] == 1


def test_a_server_that_ends_again_and_again_is_told_and_the_manager_stays_ready():
    some = with_http()
    some.start_manager()
    some.manager_says()
    run_server(some, ready=False, restarts=2)
    crash = {"terminated": {"exitCode": 2, "message": "The configuration cannot be used: uvicorn/port"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    some.set_containers("q-http-1", http={"state": waiting, "restartCount": 3, "lastState": crash})
    some.settle()
    status, reason, message = some.condition("HttpUnavailable")
    assert (status, reason) == ("True", "CrashLoop")
    assert "uvicorn/port" in message
    assert some.condition("Ready")[0] == "True"
    some.set_containers("q-http-1", http={"state": {"running": {}}, "ready": True})
    some.settle()
    assert some.condition("HttpUnavailable") == ("", "", "")


def test_new_settings_that_fail_are_told_while_the_server_before_them_answers_on():
    some = with_http()
    some.start_manager()
    some.manager_says()
    run_server(some)
    template = some.get("Deployment", "q-http")["spec"]["template"]
    some.put("Pod", "q-http-2", {"metadata": template["metadata"], "spec": {**template["spec"], "nodeName": "node-1"}})
    ended = {"terminated": {"exitCode": 2, "message": "nomodule cannot be imported"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    some.set_containers("q-http-2", http={"state": waiting, "restartCount": 3, "lastState": ended})
    some.settle()
    assert some.condition("HttpUnavailable") == ("", "", "")
    status, reason, message = some.condition("RolloutPending")
    assert (status, reason) == ("True", "CrashLoop")
    assert message.startswith("The HTTP server runs with earlier settings.")
    assert "nomodule" in message
    assert some.condition("Ready")[0] == "True"


EXTERNAL: dict[str, Any] = {"database": {"uriSecret": {"name": "accounts"}}, "replicas": 2}


def with_external_database() -> World:
    some = world(http=EXTERNAL)
    some.put("Secret", "accounts", {"data": {"uri": ""}})
    some.settle()
    some.start_manager()
    some.manager_says()
    return some


def test_a_server_that_waits_for_its_database_is_told_after_a_while_and_looked_at_again_in_time():
    some = with_external_database()
    run_server(some, ready=False)
    some.settle()
    assert some.condition("HttpUnavailable") == ("", "", "")
    pause = some.plan().requeue
    assert pause is not None
    assert pause <= 30
    some.now += 31
    some.settle()
    status, reason, message = some.condition("HttpUnavailable")
    assert (status, reason) == ("True", "DatabaseAway")
    assert "Secret accounts" in message
    assert some.condition("Ready")[0] == "True"
    run_server(some)
    some.settle()
    assert some.condition("HttpUnavailable") == ("", "", "")


def test_pods_are_made_once_when_the_key_of_the_manager_is_known():
    some = world(http={})
    templates = []
    for _ in range(20):
        plan = some.plan()
        some.carry_out(plan)
        if found := some.objects.get(("Deployment", some.namespace, "q-http")):
            templates.append(found["spec"]["template"]["metadata"]["annotations"])
        if not plan.chains:
            break
    assert templates
    assert templates.count(templates[0]) == len(templates)


def test_of_several_servers_one_that_is_to_end_answers_until_nobody_is_led_to_it():
    assert server(with_external_database())["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "5"]}}}
    assert "lifecycle" not in server(with_http())


def test_a_server_replaces_another_only_when_it_has_reached_its_database():
    container = server(with_external_database())
    assert container["readinessProbe"]["httpGet"]["path"] == "/startupz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_a_manifest_that_is_refused_concerns_the_http_server_alone():
    some = with_http()
    some.start_manager()
    some.manager_says()
    some.refusals.append(refusal(some.get("Deployment", "q-http"), "no such class", some.now))
    some.settle()
    assert some.condition("HttpUnavailable")[1] == "ObjectRefused"
    assert some.condition("Ready")[0] == "True"


def test_pods_that_kubernetes_cannot_make_are_told_in_its_words():
    some = with_http(serviceAccountName="nobody")
    some.start_manager()
    some.manager_says()
    some.http_failure = 'pods "q-http-1-" is forbidden: serviceaccount "nobody" not found'
    some.settle()
    status, reason, message = some.condition("HttpUnavailable")
    assert (status, reason) == ("True", "PodCannotBeMade")
    assert 'serviceaccount "nobody" not found' in message
    assert some.condition("Ready")[0] == "True"


def test_a_refused_claim_that_is_not_wanted_any_more_is_no_trouble():
    some = with_http(database={"claim": {}})
    some.refusals.append(refusal(some.get("PersistentVolumeClaim", "q-http"), "exceeded quota", some.now, 403))
    some.settle()
    assert some.condition("HttpUnavailable")[1] == "ObjectRefused"
    some.put("Secret", "elsewhere", {"data": {"uri": "eA=="}})
    some.change_spec(http={"database": {"uriSecret": {"name": "elsewhere"}}})
    some.settle()
    assert some.condition("HttpUnavailable")[0] == ""


@pytest.mark.parametrize("missing", ["configMap", "secret"])
def test_a_configuration_that_is_not_there_is_told(missing: str):
    some = with_http(configuration={missing: {"name": "settings"}})
    status, reason, message = some.condition("HttpUnavailable")
    assert (status, reason) == ("True", "ConfigurationNotFound" if missing == "configMap" else "SecretNotFound")
    assert "settings" in message


def test_its_image_stands_in_the_status():
    assert with_http().status()["images"]["http"] == "registry/manager:1"
    assert with_http(image="mine:1").status()["images"]["http"] == "mine:1"
    assert len(manifests(with_http(image="mine:1"), "Deployment")) == 1
