"""The operator as a process with its own decisions, against an API server without nodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api_server import CRDS, ApiServer
from operator_process import Process, running_operator, until
from queueserver_operator.kinds import (
    AUDITED,
    CONFIG_MAP,
    EVENT,
    LEASE,
    QUEUE_SERVER,
    ROLE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    STATEFUL_SET,
    WATCHED,
    Kind,
)
from queueserver_operator.names import FINALIZER, NAMESPACE_LABEL, labels


def ready(operator: Process) -> bool:
    return operator.get("/readyz").is_success


def queue_server(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": QUEUE_SERVER.api_version,
        "kind": "QueueServer",
        "metadata": {"name": name},
        "spec": {"environment": {"profile": {"simulated": {}}}, **spec},
    }


def read(server: ApiServer, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
    answer = server.http.get(kind.path(namespace, name))
    return answer.json() if answer.is_success else None


def test_a_queue_server_gets_all_its_objects(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        until(lambda: ready(operator))
        assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
        until(lambda: read(api_server, STATEFUL_SET, namespace, "q-manager"))
        for kind, name in (
            (SERVICE_ACCOUNT, "q-manager"),
            (SERVICE_ACCOUNT, "q-worker"),
            (ROLE, "q-manager"),
            (CONFIG_MAP, "q-manager"),
            (SERVICE, "q"),
            (SERVICE, "q-link"),
            (SECRET, "q-control"),
            (SECRET, "q-client"),
        ):
            assert read(api_server, kind, namespace, name), (kind, name)

        def told() -> dict[str, Any] | None:
            present = read(api_server, QUEUE_SERVER, namespace, "q")
            return present if present and present.get("status", {}).get("operator") else None

        present = until(told)
        assert present["metadata"]["finalizers"] == [FINALIZER]
        assert "annotations" not in present["metadata"], "kopf leaves no traces"
        secret = read(api_server, SECRET, namespace, "q-control")
        assert secret is not None
        assert secret["data"]["private_key"] not in operator.log.read_text()


def test_an_object_that_somebody_deletes_or_changes_is_made_as_it_should_be(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = STATEFUL_SET.path(namespace, "q-manager")
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
        first = until(lambda: read(api_server, STATEFUL_SET, namespace, "q-manager"))
        changed = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "q-manager"},
            "spec": {"replicas": 3},
        }
        assert api_server.apply(path, changed).is_success
        until(lambda: (read(api_server, STATEFUL_SET, namespace, "q-manager") or {})["spec"]["replicas"] == 1)
        assert api_server.http.delete(path).is_success
        again = until(lambda: read(api_server, STATEFUL_SET, namespace, "q-manager"))
        assert again["metadata"]["uid"] != first["metadata"]["uid"]


def test_a_queue_server_deleted_while_the_operator_was_away_is_cleaned_up_when_it_returns(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    path = QUEUE_SERVER.path(namespace, "q")
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
        until(lambda: FINALIZER in api_server.http.get(path).json()["metadata"].get("finalizers", []))
    assert api_server.http.delete(path).is_success
    assert api_server.http.get(path).is_success, "the finalizer holds it"
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        until(lambda: api_server.http.get(path).status_code == 404)


def test_a_lock_left_behind_while_the_operator_was_away_is_released_when_it_returns(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    of_family = labels("q") | {NAMESPACE_LABEL: namespace}
    name = f"instrument-left-{namespace}"
    lease = {
        "apiVersion": LEASE.api_version,
        "kind": "Lease",
        "metadata": {"name": name, "labels": of_family},
        "spec": {"holderIdentity": f"{namespace}/q-0123456789/uid"},
    }
    assert api_server.create(LEASE.path("default"), lease).is_success
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        until(lambda: read(api_server, LEASE, "default", name) is None)


def test_a_lock_of_a_namespace_that_is_not_served_is_left_alone(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    of_family = labels("q") | {NAMESPACE_LABEL: "somewhere-else"}
    name = f"instrument-theirs-{namespace}"
    lease = {
        "apiVersion": LEASE.api_version,
        "kind": "Lease",
        "metadata": {"name": name, "labels": of_family},
        "spec": {"holderIdentity": "somewhere-else/q-0123456789/uid"},
    }
    assert api_server.create(LEASE.path("default"), lease).is_success
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        until(lambda: ready(operator))
        assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
        until(lambda: read(api_server, STATEFUL_SET, namespace, "q-manager"))
        assert read(api_server, LEASE, "default", name)


@pytest.mark.parametrize(
    ("template", "word"),
    [({"containers": [{"name": "manager", "image": ""}]}, "image"), ({"nodeSelectr": {"disk": "fast"}}, "nodeSelectr")],
    ids=["a value", "a field"],
)
def test_one_bad_queue_server_leaves_the_others_alone(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path, template: dict[str, Any], word: str
) -> None:
    bad = queue_server("bad", manager={"podTemplate": {"spec": template}})
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        until(lambda: ready(operator))
        assert api_server.create(QUEUE_SERVER.path(namespace), bad).is_success
        assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("good")).is_success
        until(lambda: read(api_server, STATEFUL_SET, namespace, "good-manager"))

        def stalled() -> str:
            present = read(api_server, QUEUE_SERVER, namespace, "bad") or {}
            conditions = {one["type"]: one for one in present.get("status", {}).get("conditions", [])}
            stalled = conditions.get("Stalled", {})
            return str(stalled["message"]) if stalled.get("status") == "True" else ""

        assert word in until(stalled)


def test_a_queue_server_made_anew_gets_everything_anew(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    kinds = ((SECRET, "q-control"), (SECRET, "q-client"), (SERVICE, "q"), (STATEFUL_SET, "q-manager"))
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace):
        for _ in range(2):
            assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
            for kind, name in kinds:
                until(lambda kind=kind, name=name: read(api_server, kind, namespace, name), what=name)
            assert api_server.http.delete(QUEUE_SERVER.path(namespace, "q")).is_success
            until(lambda: not read(api_server, QUEUE_SERVER, namespace, "q"))
            for kind, name in kinds:  # the namespace was emptied, or the garbage collector was here
                assert api_server.http.delete(kind.path(namespace, name)).is_success


def test_in_a_namespace_that_is_being_deleted_nothing_is_tried_and_the_queue_server_can_go(
    api_server: ApiServer, kubeconfig: Path, namespace: str, tmp_path: Path
) -> None:
    path = QUEUE_SERVER.path(namespace, "q")
    assert api_server.create(QUEUE_SERVER.path(namespace), queue_server("q")).is_success
    assert api_server.http.delete(f"/api/v1/namespaces/{namespace}").is_success
    with running_operator(kubeconfig, tmp_path, NAMESPACES=namespace) as operator:
        until(lambda: "the namespace is being deleted" in operator.log.read_text())
        assert api_server.http.delete(path).is_success  # what the namespace's controller does
        until(lambda: api_server.http.get(path).status_code == 404)
        assert '"severity": "error"' not in operator.log.read_text()


def test_without_definitions_it_waits_alive_and_begins_when_they_are_installed(
    fresh_api_server: ApiServer, fresh_kubeconfig: Path, tmp_path: Path
) -> None:
    with running_operator(fresh_kubeconfig, tmp_path) as operator:
        until(lambda: "CRDs of queueservers and workerenvironments are not installed" in operator.get("/readyz").text)
        assert operator.get("/readyz").status_code == 500
        assert operator.get("/healthz").is_success
        fresh_api_server.install(CRDS)
        assert fresh_api_server.create(QUEUE_SERVER.path("default"), queue_server("q", suspend=True)).is_success
        until(lambda: read(fresh_api_server, SERVICE, "default", "q"))
        assert ready(operator)


def test_a_variable_that_makes_no_sense_ends_the_start_with_a_sentence() -> None:
    command = [sys.executable, "-P", "-m", "queueserver_operator"]
    ended = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr == (
        "queueserver-operator: QUEUESERVER_OPERATOR_MANAGER_IMAGE is not set; it names the image of manager pods.\n"
    )


WRITING = ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION")


def writes(server: ApiServer) -> dict[tuple[str, str], float]:
    """Write requests that the API server has answered, by resource and verb; only of kinds that the operator writes."""
    ours = {kind.plural for kind in (*WATCHED, *AUDITED, SECRET, EVENT)}
    counted: dict[tuple[str, str], float] = {}
    for line in server.http.get("/metrics").text.splitlines():
        if found := re.fullmatch(r"apiserver_request_total\{(.*)\} (\S+)", line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
            if labels["verb"] in WRITING and labels["resource"] in ours:
                key = (labels["resource"], labels["verb"])
                counted[key] = counted.get(key, 0.0) + float(found[2])
    return counted


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_suspended_queue_servers_cost_little_memory_and_no_writes(
    fresh_api_server: ApiServer, fresh_kubeconfig: Path, tmp_path: Path
) -> None:
    server = fresh_api_server
    server.install(CRDS)
    with running_operator(fresh_kubeconfig, tmp_path) as operator:
        until(lambda: ready(operator))
        names = [f"q{number}" for number in range(200)]
        for name in names:
            assert server.create(QUEUE_SERVER.path("default"), queue_server(name, suspend=True)).is_success

        def suspended() -> bool:
            items = server.http.get(QUEUE_SERVER.path("default")).json()["items"]
            return [one.get("status", {}).get("phase") for one in items] == ["suspended"] * len(names)

        until(suspended, 200.0, "the first reconciliation of all")
        until(lambda: nothing_is_written(server, operator, len(names)), 400.0, "a look at all that writes nothing")
        assert operator.memory() <= 150
        assert operator.get("/healthz").is_success


def nothing_is_written(server: ApiServer, operator: Process, queue_servers: int) -> bool:
    """Whether nothing was written while the operator looked at each QueueServer again."""
    before, looked = writes(server), rounds(operator)
    until(lambda: rounds(operator) >= looked + queue_servers, 200.0, "another look at all")
    return writes(server) == before


def rounds(operator: Process) -> float:
    found = re.search(r'qs_operator_reconcile_total\{result="done"\} (\S+)', operator.get("/metrics").text)
    return float(found[1]) if found else 0.0
