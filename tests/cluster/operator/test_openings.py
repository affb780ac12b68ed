"""Openings from the WorkerEnvironment to the release of the lock; the test plays scheduler, kubelet and manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_server import ApiServer
from operator_process import Process, running_operator, until
from queueserver_common.cluster import environment_name
from queueserver_operator.kinds import (
    CONFIG_MAP,
    ENVIRONMENT,
    LEASE,
    NODE,
    POD,
    QUEUE_SERVER,
    SECRET,
    STATEFUL_SET,
    Kind,
)
from queueserver_operator.names import FINALIZER, lease

FIRST, SECOND = "aaaaaaaaaa", "bbbbbbbbbb"


class Beamline:
    """A namespace with an operator and helpers that play the rest of the cluster."""

    def __init__(self, server: ApiServer, namespace: str, operator: Process) -> None:
        self.server = server
        self.namespace = namespace
        self.operator = operator

    def read(self, kind: Kind, name: str) -> dict[str, Any]:
        answer = self.server.http.get(kind.path(self.namespace, name))
        return answer.json() if answer.is_success else {}

    def create(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": kind.api_version, "kind": kind.name, **body}
        answer = self.server.create(kind.path(self.namespace), body)
        assert answer.is_success, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def delete(self, kind: Kind, name: str, **options: Any) -> None:
        answer = self.server.http.request("DELETE", kind.path(self.namespace, name), json=options or None)
        assert answer.is_success, answer.text

    def queue_server(self, name: str, **spec: Any) -> dict[str, Any]:
        body = {"metadata": {"name": name}, "spec": {"environment": {"profile": {"simulated": {}}}, **spec}}
        made = self.create(QUEUE_SERVER, body)
        until(lambda: self.read(STATEFUL_SET, f"{name}-manager"), what="the StatefulSet")
        until(lambda: self.read(SECRET, f"{name}-client"), what="the client Secret")
        return made

    def environment(self, queue_server: str, opening: str) -> str:
        """What the manager does for environment_open."""
        name = environment_name(queue_server, opening)
        owner = self.read(QUEUE_SERVER, queue_server)
        reference = {
            "apiVersion": QUEUE_SERVER.api_version,
            "kind": "QueueServer",
            "name": queue_server,
            "uid": owner.get("metadata", {}).get("uid", "none"),
        }
        metadata = {"name": name, "ownerReferences": [reference] if owner else []}
        self.create(
            ENVIRONMENT,
            {"metadata": metadata, "spec": {"queueServerRef": {"name": queue_server}, "openingId": opening}},
        )
        return name

    def node(self, name: str, ready: str) -> None:
        """A node, or what its kubelet (or the lack of it) makes of it."""
        self.server.apply(NODE.path("", name), {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        self._patch_status(NODE.path("", name), {"conditions": [{"type": "Ready", "status": ready}]})

    def bound(self, name: str) -> dict[str, Any]:
        """Wait for a pod whose gate is open, and bind it to the node of this namespace like the scheduler does."""
        pod = until(lambda: self._startable(name), what=f"pod {name} may be scheduled")
        self.node(self.namespace, "True")
        target = {"kind": "Node", "name": self.namespace}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        answer = self.server.create(f"{POD.path(self.namespace, name)}/binding", binding)
        assert answer.is_success, answer.text
        return dict(pod)

    def _startable(self, name: str) -> dict[str, Any] | None:
        pod = self.read(POD, name)
        return pod if pod and "schedulingGates" not in pod["spec"] else None

    def container(self, pod: str, **state: Any) -> None:
        """Tell the state of the worker's container like the kubelet does."""
        phase = "Running" if "running" in state else "Succeeded" if not state["terminated"]["exitCode"] else "Failed"
        status = {"name": "worker", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state}
        self._patch_status(POD.path(self.namespace, pod), {"phase": phase, "containerStatuses": [status]})

    def _patch_status(self, path: str, status: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/strategic-merge-patch+json"}
        answer = self.server.http.patch(f"{path}/status", json={"status": status}, headers=headers)
        assert answer.is_success, answer.text

    def manager_serves(self, queue_server: str) -> None:
        """A pod of the manager that is ready, as the StatefulSet's controller and a kubelet make it."""
        template = self.read(STATEFUL_SET, f"{queue_server}-manager")["spec"]["template"]
        name = f"{queue_server}-manager-0"
        container = {"name": "manager", "image": "i"}
        spec = {**template["spec"], "volumes": [], "initContainers": [], "containers": [container]}
        self.create(POD, {"metadata": {**template["metadata"], "name": name}, "spec": spec})
        status = {**container, "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}
        self._patch_status(POD.path(self.namespace, name), {"phase": "Running", "containerStatuses": [status]})

    def phase(self, environment: str) -> str:
        return str(self.read(ENVIRONMENT, environment).get("status", {}).get("phase", ""))

    def ready_message(self, environment: str) -> str:
        conditions = self.read(ENVIRONMENT, environment).get("status", {}).get("conditions", [])
        return next((str(one["message"]) for one in conditions if one["type"] == "Ready"), "")

    def holder(self, instrument: str) -> str:
        found = self.server.http.get(LEASE.path("default", lease(instrument)))
        return str(found.json()["spec"]["holderIdentity"]) if found.is_success else ""


@pytest.fixture
def beamline(api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Beamline]:
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        yield Beamline(api_server, namespace, operator)


def instrument(beamline: Beamline, name: str = "2-ID") -> str:
    """A name that no other test uses: all locks lie in one namespace."""
    return f"{name} of {beamline.namespace}"


def test_an_environment_gets_lock_config_map_and_a_pod_that_waits_until_it_is_recorded(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    pod = beamline.bound(name)
    environment = beamline.read(ENVIRONMENT, name)
    assert environment["status"]["pod"]["uid"] == pod["metadata"]["uid"], "recorded before it may start"
    assert beamline.holder(instrument(beamline)) == (f"{beamline.namespace}/{name}/{environment['metadata']['uid']}")
    config_map = beamline.read(CONFIG_MAP, name)
    secret = beamline.read(SECRET, "q-link-worker")
    assert config_map["data"]["worker.json"]
    assert secret["data"]["private_key"] not in config_map["data"]["worker.json"]
    for child in (pod, config_map):
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("WorkerEnvironment", environment["metadata"]["uid"])


def test_a_worker_that_ends_in_order_frees_its_instrument(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    beamline.bound(name)
    beamline.container(name, running={})
    until(lambda: beamline.phase(name) == "loading", what="the environment is loading")
    assert beamline.holder(instrument(beamline))
    beamline.container(name, terminated={"exitCode": 0})
    until(lambda: beamline.phase(name) == "ended", what="the environment has ended")
    until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")


def test_a_killed_worker_is_told_with_its_cause_in_conditions_and_an_event(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    beamline.bound(name)
    beamline.container(name, running={})
    beamline.container(name, terminated={"exitCode": 137, "reason": "OOMKilled"})
    until(lambda: beamline.phase(name) == "failed", what="the environment has failed")
    assert "needed more memory" in beamline.ready_message(name)
    until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")

    def told() -> bool:
        events = beamline.server.http.get(f"/api/v1/namespaces/{beamline.namespace}/events").json()["items"]
        return any(one["reason"] == "OOMKilled" and one["involvedObject"]["name"] == name for one in events)

    until(told, what="an event tells it")


def test_a_second_queue_server_waits_for_the_instrument_and_names_the_holder(beamline: Beamline) -> None:
    for name in ("one", "two"):
        beamline.queue_server(name, instrument=instrument(beamline))
    first = beamline.environment("one", FIRST)
    beamline.bound(first)
    beamline.container(first, running={})
    second = beamline.environment("two", SECOND)
    until(lambda: "is held by environment" in beamline.ready_message(second), what="the second names the holder")
    assert f"{beamline.namespace}/{first}" in beamline.ready_message(second)
    assert not beamline.read(POD, second)
    beamline.container(first, terminated={"exitCode": 0})
    beamline.bound(second)
    assert f"/{second}/" in beamline.holder(instrument(beamline))


def test_a_pod_deleted_with_its_environment_frees_the_instrument_only_when_it_is_gone(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    beamline.bound(name)
    beamline.container(name, running={})
    until(lambda: beamline.phase(name) == "loading", what="the environment is loading")
    beamline.delete(ENVIRONMENT, name)
    until(lambda: not beamline.read(ENVIRONMENT, name), what="nothing holds the environment")
    beamline.delete(POD, name)  # what the garbage collector asks for
    assert beamline.read(POD, name)["metadata"]["deletionTimestamp"], "the container is still running"
    until(lambda: beamline.read(QUEUE_SERVER, "q")["status"]["environment"]["phase"] != "loading")
    assert beamline.holder(instrument(beamline)), "nothing proves that the worker has ended"
    beamline.container(name, terminated={"exitCode": 0})
    until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")


def test_a_deleted_node_is_a_proof_of_death(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    beamline.bound(name)
    beamline.container(name, running={})
    node = beamline.namespace
    beamline.node(node, "Unknown")
    until(lambda: beamline.phase(name) == "unreachable", what="the environment is unreachable")
    assert f"the deletion of Node {node}" in beamline.ready_message(name)
    assert beamline.holder(instrument(beamline))
    assert beamline.server.http.delete(NODE.path("", node)).is_success
    until(lambda: beamline.phase(name) == "failed", what="the environment has failed")
    until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")


def test_the_deletion_of_a_queue_server_waits_for_its_worker(beamline: Beamline) -> None:
    beamline.queue_server("q", instrument=instrument(beamline))
    name = beamline.environment("q", FIRST)
    beamline.bound(name)
    beamline.container(name, running={})
    until(lambda: beamline.phase(name) == "loading", what="the environment is loading")
    beamline.delete(QUEUE_SERVER, "q")
    until(lambda: not beamline.read(ENVIRONMENT, name), what="the environment is deleted")
    assert FINALIZER in beamline.read(QUEUE_SERVER, "q")["metadata"]["finalizers"]
    beamline.container(name, terminated={"exitCode": 0})
    until(lambda: not beamline.read(QUEUE_SERVER, "q"), what="the QueueServer is gone")
    until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")


def test_an_environment_of_a_queue_server_that_does_not_exist_fails_and_says_so(beamline: Beamline) -> None:
    name = beamline.environment("nobody", FIRST)
    until(lambda: beamline.phase(name) == "failed", what="the environment has failed")
    assert beamline.ready_message(name) == f"There is no QueueServer nobody in namespace {beamline.namespace}."


def test_what_ended_while_the_operator_was_away_is_settled_when_it_returns(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        beamline = Beamline(api_server, namespace, operator)
        beamline.queue_server("q", instrument=instrument(beamline))
        name = beamline.environment("q", FIRST)
        beamline.bound(name)
        beamline.container(name, running={})
        until(lambda: beamline.phase(name) == "loading", what="the environment is loading")
    beamline.container(name, terminated={"exitCode": 0})
    beamline.delete(ENVIRONMENT, name)
    beamline.delete(POD, name, gracePeriodSeconds=0)
    assert beamline.holder(instrument(beamline)), "only the operator releases it"
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        beamline.manager_serves("q")
        until(lambda: not beamline.holder(instrument(beamline)), what="the lock is free")
