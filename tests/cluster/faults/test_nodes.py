"""A node loses its power while a plan runs; in a cluster with a second node, which is made when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import KUBECONFIG_VARIABLE, OUTPUT, ROOT, Kubectl, find_kubectl, image_names
from deadline import wait_until
from helm_charts import find_helm
from helm_release import Releases
from queueserver_common.cluster import COMPONENT_LABEL, QUEUE_SERVER_LABEL

pytestmark = [pytest.mark.timeout(900), pytest.mark.alone]

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
OWN_CLUSTER = "two-nodes"
STEADY: dict[str, Any] = {"nodeSelector": {CONTROL_PLANE: ""}, "tolerations": [{"operator": "Exists"}]}
"""On the node that keeps its power."""
UNREACHABLE = 10.0
"""Seconds until a worker whose node has lost its power is called unreachable."""


def kind(command: str, *words: str) -> None:
    """Run the program that makes the clusters of tests."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests" / "cluster")}
    environment.pop(KUBECONFIG_VARIABLE, None)
    done = subprocess.run(
        [sys.executable, "-m", "kind", command, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command} {' '.join(words)}\n{done.stdout}{done.stderr}"


def weak_nodes(cluster: Kubectl) -> list[str]:
    """Names of the nodes beside the control plane."""
    nodes = cluster.find("nodes")
    return [one["metadata"]["name"] for one in nodes if CONTROL_PLANE not in one["metadata"]["labels"]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Kubectl]:
    """The cluster of the other tests when it has two nodes, else one of this module's own."""
    found = find_kubectl()
    if weak_nodes(found):
        yield found
        return
    kind("up", "--name", OWN_CLUSTER, "--workers", "1")
    named = os.environ.get(KUBECONFIG_VARIABLE)
    os.environ[KUBECONFIG_VARIABLE] = str(OUTPUT / f"{OWN_CLUSTER}.kubeconfig")
    yield find_kubectl()
    del os.environ[KUBECONFIG_VARIABLE]
    if named:
        os.environ[KUBECONFIG_VARIABLE] = named
    kind("down", "--name", OWN_CLUSTER)


@pytest.fixture(scope="module")
def images(cluster: Kubectl) -> dict[str, str]:
    return image_names()


@pytest.fixture(scope="module")
def operator(cluster: Kubectl, images: dict[str, str]) -> Iterator[Releases]:
    """The operator, on the node that keeps its power."""
    program = find_helm()
    assert program
    releases = Releases(cluster, images, program)
    releases.install_operator({"pod": STEADY})
    yield releases
    if not releases.cluster.kubeconfig.name.startswith(OWN_CLUSTER):
        releases.install_operator()


@pytest.fixture
def weak_node(cluster: Kubectl) -> str:
    """The node that loses its power."""
    return weak_nodes(cluster)[0]


def ready(cluster: Kubectl, node: str) -> bool:
    """Whether a node is there and well."""
    found = cluster.get("node", node)
    return bool(found) and any(
        one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"]
    )


@contextmanager
def without_power(cluster: Kubectl, node: str) -> Iterator[None]:
    """Cut the power of a node until the end of the block."""
    kind("stop-node", node)
    try:
        yield
    finally:
        kind("start-node", node)
        wait_until(lambda: ready(cluster, node), f"{node} is ready again", 3 * DEADLINE)


def beamline_on(new_beamline: Callable[[], Beamline], *, manager: dict[str, Any], worker: dict[str, Any]) -> Beamline:
    """An open environment with manager and worker on chosen nodes; the client keeps its power."""
    beamline = new_beamline()
    beamline.start(
        client=STEADY,
        manager=manager,
        environment=beamline.environment_with(**worker),
    )
    beamline.open_environment()
    return beamline


def on(node: str) -> dict[str, Any]:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def test_a_drain_of_the_workers_node_waits_for_the_plan(
    new_beamline: Callable[[], Beamline], cluster: Kubectl, weak_node: str
):
    beamline = beamline_on(new_beamline, manager=STEADY, worker=on(weak_node))
    uid = beamline.run_held_plan()
    wait_until(lambda: beamline.cluster.find("poddisruptionbudgets"), "a budget protects the worker", DEADLINE)
    # The node's other pods have nothing to do with this.
    workers = f"--pod-selector={QUEUE_SERVER_LABEL}={beamline.name},{COMPONENT_LABEL}=worker"
    command = cluster.command("drain", weak_node, workers, "--force", "--delete-emptydir-data")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drain:
        try:
            assert drain.stdout is not None
            refused = next((line for line in drain.stdout if "disruption budget" in line), "")
            assert beamline.environment in refused
            wait_until(
                lambda: beamline.condition("queueserver", beamline.name, "DrainBlocked")[0] == "True",
                "the condition says what the drain waits for",
                DEADLINE,
            )
            assert beamline.status()["running_item_uid"] == uid
            beamline.let_go()
            assert beamline.wait_history(1)[0]["result"]["exit_status"] == "completed"
            assert drain.wait(DEADLINE) == 0
        finally:
            drain.kill()
            cluster("uncordon", weak_node)
    status = beamline.wait_closed()
    assert "evicted" in status["environment_error"]


def test_a_plan_goes_on_while_the_managers_node_has_no_power_and_its_result_is_taken(
    new_beamline: Callable[[], Beamline], cluster: Kubectl, weak_node: str
):
    beamline = beamline_on(new_beamline, manager=on(weak_node), worker=STEADY)
    uid = beamline.run_held_plan("after")
    worker = beamline.environment
    with without_power(cluster, weak_node):
        wait_until(lambda: not ready(cluster, weak_node), "the node is missed", 2 * DEADLINE)
        assert beamline.diary() == ["plan started"]
        beamline.let_go()
        wait_until(lambda: beamline.diary() == ["plan started", "plan left"], "the plan ends", DEADLINE)
    first, second = beamline.wait_history(2, 3 * DEADLINE)
    assert (first["item_uid"], first["result"]["exit_status"]) == (uid, "completed")
    assert second["result"]["exit_status"] == "completed"
    assert beamline.environment == worker
    assert beamline.diary() == ["plan started", "plan left", "after started"]


def test_a_worker_without_power_is_unreachable_until_its_end_is_proved(
    new_beamline: Callable[[], Beamline], cluster: Kubectl, weak_node: str
):
    beamline = beamline_on(new_beamline, manager=STEADY, worker=on(weak_node))
    uid = beamline.run_held_plan("after")
    name = beamline.environment
    with without_power(cluster, weak_node):
        stopped = time.time()
        beamline.wait_status(lambda status: status["worker_link"] == "silent", "nothing is heard of the worker")

        def unreachable() -> tuple[str, str, str]:
            return beamline.condition("queueserver", beamline.name, "Unreachable")

        wait_until(lambda: unreachable()[0] == "True", "the condition says so", DEADLINE)
        assert beamline.told_at(name, "Unreachable") - stopped <= UNREACHABLE
        assert weak_node in unreachable()[2]
        assert beamline.status()["running_item_uid"] == uid
        beamline.refused("environment_open")
        beamline.accepted("environment_destroy")
        status = beamline.wait_status(
            lambda status: status["manager_state"] == "destroying_environment", "it is being destroyed"
        )
        assert status["worker_environment_exists"]
        wait_until(lambda: f"Node {weak_node}" in unreachable()[2], "it names the proof that is missing", DEADLINE)
        beamline.refused("environment_open")
        cluster.delete("node", weak_node)
        status = beamline.wait_closed()
        assert status["queue_autostart_enabled"] is False
        (item,) = beamline.history()
        assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
        assert [one["name"] for one in beamline.queue()] == ["hold", "mark"]
        wait_until(lambda: beamline.cluster.get("pod", name) is None, "the pod is gone", 2 * DEADLINE)
        # The home lies on the node without power; the next worker gets another one, elsewhere.
        beamline.change(**STEADY, home={"emptyDir": {}})
        beamline.open_environment()
        assert beamline.diary() == []


def test_an_environment_is_opened_again_on_a_node_that_came_back(
    new_beamline: Callable[[], Beamline], cluster: Kubectl, weak_node: str
):
    beamline = beamline_on(new_beamline, manager=STEADY, worker=on(weak_node))
    uid = beamline.run_held_plan("after")
    name = beamline.environment
    with without_power(cluster, weak_node):
        beamline.wait_status(lambda status: status["worker_link"] == "silent", "nothing is heard of the worker")
        assert beamline.status()["running_item_uid"] == uid
    # Nobody has to confirm anything: the node tells that the container has ended.
    status = beamline.wait_status(
        lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"],
        "the end of the worker is proved",
        3 * DEADLINE,
    )
    assert status["queue_autostart_enabled"] is False
    (item,) = beamline.history()
    assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
    assert [one["name"] for one in beamline.queue()] == ["hold", "mark"]
    beamline.open_environment()
    worker = beamline.cluster.get("pod", beamline.environment)
    assert worker
    assert worker["metadata"]["name"] != name
    assert worker["spec"]["nodeName"] == weak_node
    assert beamline.diary() == ["plan started"], "the home is the one that the worker had before"
    beamline.accepted("queue_start")
    wait_until(lambda: beamline.diary()[1:] == ["plan started"], "the plan runs anew", DEADLINE)
    beamline.let_go()
    results = [one["result"]["exit_status"] for one in beamline.wait_history(3, 2 * DEADLINE)]
    assert results == ["failed", "completed", "completed"]
    assert beamline.diary()[-2:] == ["plan left", "after started"]
