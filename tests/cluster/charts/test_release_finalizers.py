"""Before the operator is uninstalled it lets go of its QueueServers, and of nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from api_server import ApiServer, running_api_server
from deadline import wait_until
from queueserver_common.cluster import API_VERSION
from queueserver_operator.names import FINALIZER

DEADLINE = 30.0
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "operator"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "operator"}},
        "template": {
            "metadata": {"labels": {"app": "operator"}},
            "spec": {"containers": [{"name": "operator", "image": "x"}]},
        },
    },
}


def pod(name: str, app: str) -> dict[str, Any]:
    container = {"name": "operator", "image": "x"}
    metadata = {"name": name, "labels": {"app": app}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


class Cluster:
    """A namespace of the API server, and the program as the Job runs it."""

    def __init__(self, server: ApiServer, namespace: str, kubeconfig: Path) -> None:
        self.server = server
        self.namespace = namespace
        self._kubeconfig = kubeconfig

    def create_queue_server(self, name: str, identity: str, *finalizers: str) -> None:
        path = self._path()
        metadata = {"name": name, "finalizers": [*finalizers]}
        spec = {"environment": {"profile": {"simulated": {}}}}
        body = {"apiVersion": API_VERSION, "kind": "QueueServer", "metadata": metadata, "spec": spec}
        answer = self.server.create(path, body)
        assert answer.is_success, answer.text
        status = {"phase": "idle"} | ({"operator": {"identity": identity, "version": "1"}} if identity else {})
        body["metadata"] = {"name": name, "uid": answer.json()["metadata"]["uid"]}
        answer = self.server.apply(f"{path}/{name}/status", {**body, "status": status, "spec": spec})
        assert answer.is_success, answer.text

    def queue_server(self, name: str) -> dict[str, Any]:
        return self.server.http.get(f"{self._path()}/{name}").json()

    def _path(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/queueservers"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "queueserver_operator.release_finalizers", *words]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("KUBERNETES_")}
        environment["KUBECONFIG"] = str(self._kubeconfig)
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def write_kubeconfig(server: ApiServer, path: Path) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": server.url, "insecure-skip-tls-verify": True}}],
                "users": [{"name": "test", "user": {"token": server.token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }
        )
    )
    return path


@pytest.fixture
def cluster(api_server: ApiServer, tmp_path: Path) -> Cluster:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "release-"}}
    name = api_server.create("/api/v1/namespaces", body).json()["metadata"]["name"]
    return Cluster(api_server, name, write_kubeconfig(api_server, tmp_path / "kubeconfig"))


def test_a_queue_server_loses_our_finalizer_and_our_name_and_nothing_else(cluster: Cluster):
    cluster.create_queue_server("q", "me", "example.org/first", FINALIZER, "example.org/last")
    before = cluster.queue_server("q")
    done = cluster.run("--identity=me", f"--namespace={cluster.namespace}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "Released 1 QueueServer.\n", "")
    after = cluster.queue_server("q")
    assert after["metadata"]["finalizers"] == ["example.org/first", "example.org/last"]
    assert after["status"] == {key: value for key, value in before["status"].items() if key != "operator"}
    assert after["status"]["phase"] == "idle"
    assert after["spec"] == before["spec"]
    assert "deletionTimestamp" not in after["metadata"]


def test_queue_servers_of_another_operator_are_left_alone(cluster: Cluster):
    cluster.create_queue_server("q", "somebody-else", FINALIZER)
    done = cluster.run("--identity=me", f"--namespace={cluster.namespace}")
    assert done.returncode == 0
    assert f"{cluster.namespace}/q belongs to the operator somebody-else and is left alone." in done.stdout
    assert cluster.queue_server("q")["metadata"]["finalizers"] == [FINALIZER]


def test_a_queue_server_that_no_operator_has_taken_is_released_too(cluster: Cluster):
    cluster.create_queue_server("q", "", FINALIZER)
    assert cluster.run("--identity=me", f"--namespace={cluster.namespace}").returncode == 0
    assert "finalizers" not in cluster.queue_server("q")["metadata"]


def test_a_queue_server_whose_deletion_waits_goes(cluster: Cluster):
    cluster.create_queue_server("q", "me", FINALIZER)
    path = f"/apis/{API_VERSION}/namespaces/{cluster.namespace}/queueservers/q"
    cluster.server.http.delete(path)
    assert "deletionTimestamp" in cluster.queue_server("q")["metadata"]
    assert cluster.run("--identity=me", f"--namespace={cluster.namespace}").returncode == 0
    assert cluster.server.http.get(path).status_code == 404


def test_without_namespaces_all_are_looked_through_and_other_namespaces_are_not_touched_with_them(cluster: Cluster):
    cluster.create_queue_server("q", "one-of-a-kind", FINALIZER)
    assert "Released 0 " in cluster.run("--identity=one-of-a-kind", "--namespace=default").stdout
    assert "Released 1 " in cluster.run("--identity=one-of-a-kind").stdout


def test_it_can_be_run_again(cluster: Cluster):
    cluster.create_queue_server("q", "me", FINALIZER)
    for expected in ("Released 1 QueueServer.\n", "Released 0 QueueServers.\n"):
        assert cluster.run("--identity=me", f"--namespace={cluster.namespace}").stdout == expected


def test_the_operator_is_stopped_before_anything_is_released(cluster: Cluster):
    cluster.create_queue_server("q", "me", FINALIZER)
    deployments = f"/apis/apps/v1/namespaces/{cluster.namespace}/deployments"
    pods = f"/api/v1/namespaces/{cluster.namespace}/pods"
    cluster.server.create(deployments, DEPLOYMENT)
    for name, app in (("operator-1", "operator"), ("bystander", "other")):
        assert cluster.server.create(pods, pod(name, app)).is_success
    words = (f"--deployment={cluster.namespace}/operator", "--identity=me", f"--namespace={cluster.namespace}")
    done: list[subprocess.CompletedProcess[str]] = []
    runner = threading.Thread(target=lambda: done.append(cluster.run(*words)))
    runner.start()

    def replicas() -> int:
        return int(cluster.server.http.get(f"{deployments}/operator").json()["spec"]["replicas"])

    wait_until(lambda: replicas() == 0, "the Deployment is scaled to zero")
    assert cluster.queue_server("q")["metadata"]["finalizers"] == [FINALIZER], "the pod is still there"
    cluster.server.http.delete(f"{pods}/operator-1")
    runner.join(DEADLINE)
    assert (done[0].returncode, done[0].stdout) == (0, "The operator is stopped.\nReleased 1 QueueServer.\n")
    assert cluster.server.http.get(f"{pods}/bystander").is_success


def test_an_operator_that_is_gone_already_is_no_obstacle(cluster: Cluster):
    done = cluster.run(
        f"--deployment={cluster.namespace}/operator", "--identity=me", f"--namespace={cluster.namespace}"
    )
    assert done.returncode == 0
    assert f"There is no Deployment {cluster.namespace}/operator to stop." in done.stdout


def test_without_the_definitions_there_is_nothing_to_release(tmp_path: Path):
    with running_api_server(tmp_path) as server:
        done = Cluster(server, "default", write_kubeconfig(server, tmp_path / "kubeconfig")).run("--identity=me")
    assert done.returncode == 0
    assert done.stdout == "The definition of QueueServer is not installed; there is nothing to release.\n"


def test_an_api_server_that_does_not_answer_is_told_in_a_sentence(cluster: Cluster, tmp_path: Path):
    nobody = ApiServer("https://127.0.0.1:1", "token", cluster.server.http)
    done = Cluster(nobody, "default", write_kubeconfig(nobody, tmp_path / "nobody")).run("--identity=me")
    assert done.returncode == 1
    assert done.stderr.startswith("The QueueServers could not be released: discover QueueServer ")
    assert "did not answer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("value", ["operator", "/operator", "namespace/"])
def test_a_deployment_is_named_with_its_namespace(cluster: Cluster, value: str):
    done = cluster.run(f"--deployment={value}", "--identity=me")
    assert done.returncode == 2
    assert "is not of the form NAMESPACE/NAME" in done.stderr
