"""The manager cannot reach the API server: plans and queue go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from cluster_beamline import DEADLINE, Beamline
from cluster_node import NodeShell
from deadline import wait_until

pytestmark = pytest.mark.timeout(500)

Shell = Callable[[Beamline], NodeShell]

MINUTE = 60.0

ASK = """
import socket, os
try:
    socket.create_connection((os.environ["KUBERNETES_SERVICE_HOST"], 443), 2).close()
    print("reached")
except OSError:
    print("away")
"""


def reaches(beamline: Beamline) -> bool:
    """Whether a connection from the manager's pod to the API server succeeds."""
    return beamline.cluster.run_in(beamline.manager_pod, "python", "-c", ASK, container="manager").strip() == "reached"


@contextmanager
def api_server_away(beamline: Beamline, shell: NodeShell) -> Iterator[None]:
    """Drop every packet from the manager's pod to the API server, on the pod's node."""
    pod = beamline.cluster.get("pod", beamline.manager_pod)
    service = beamline.cluster.within("default").get("service", "kubernetes")
    assert pod
    assert service
    rule = ("PREROUTING", "--source", pod["status"]["podIP"], "--destination", service["spec"]["clusterIP"])
    shell.run("iptables", "--wait", "--table", "raw", "--insert", *rule, "--jump", "DROP")
    try:
        assert not reaches(beamline)
        yield
    finally:
        shell.run("iptables", "--wait", "--table", "raw", "--delete", *rule, "--jump", "DROP")


def test_plan_and_queue_go_on_for_a_minute_without_the_api_server(open_beamline: Beamline, shell_beside: Shell):
    worker = open_beamline.environment
    shell = shell_beside(open_beamline)
    assert reaches(open_beamline)
    uid = open_beamline.run_held_plan("after")
    open_beamline.add_plan("last", MINUTE)
    open_beamline.add_plan("mark", "end")
    with api_server_away(open_beamline, shell):
        assert open_beamline.status()["running_item_uid"] == uid
        open_beamline.let_go()
        history = open_beamline.wait_history(4, MINUTE + DEADLINE)
        assert [item["result"]["exit_status"] for item in history] == ["completed"] * 4
        assert open_beamline.wait_idle()["worker_environment_exists"]
    assert open_beamline.environment == worker
    wait_until(lambda: reaches(open_beamline), "the API server can be reached again", DEADLINE)
    wait_until(lambda: _items(open_beamline) == 0, "the status in the cluster is up to date", DEADLINE)
    open_beamline.close_environment()


def test_an_opening_that_was_asked_for_without_the_api_server_happens_when_it_is_back(
    beamline: Beamline, shell_beside: Shell
):
    with api_server_away(beamline, shell_beside(beamline)):
        beamline.accepted("environment_open")
        assert beamline.status()["manager_state"] == "creating_environment"
    status = beamline.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]
    assert len(beamline.environments()) == 1


def _items(beamline: Beamline) -> int:
    found = beamline.cluster.get("queueserver", beamline.name)
    return int(found["status"]["queue"]["items"]) if found else -1
