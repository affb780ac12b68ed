"""Clients of a queue server in a cluster: in a pod, from outside, with and without the right key, several at once."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl
from deadline import wait_until
from helm_release import Releases
from port_forward import forwarded
from queueserver_common.cluster import CONTROL_PORT, ENCRYPTED_INFO_PORT, INFO_PORT, LEGACY_PORT
from queueserver_operator.names import client_secret

pytestmark = pytest.mark.timeout(400)

SIMULATED = {"profile": {"simulated": {}}, "resources": {"requests": {"cpu": "20m"}}}

DRIVE = """
from bluesky_queueserver_api import BPlan
from bluesky_queueserver_api.zmq import REManagerAPI

manager = REManagerAPI()
manager.environment_open()
manager.wait_for_idle(timeout=120)
manager.item_add(BPlan("count", ["det1", "det2"], num=3))
manager.queue_start()
manager.wait_for_idle(timeout=120)
(item,) = manager.history_get()["items"]
print(item["name"], item["result"]["exit_status"])
manager.environment_close()
manager.wait_for_idle(timeout=120)
print(manager.status()["worker_environment_exists"])
"""
"""Nothing in it names an address or a key: they come from the pod's environment."""

REFUSED = """
import os, sys, zmq
manager = zmq.Context.instance().socket(zmq.REQ)
manager.linger = 0
if key := sys.argv[1]:
    manager.curve_publickey, manager.curve_secretkey = zmq.curve_keypair()
    manager.curve_serverkey = key.encode()
monitor = manager.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_DISCONNECTED)
manager.connect(os.environ["QSERVER_ZMQ_CONTROL_ADDRESS"])
assert monitor.poll(60000), "nothing happened"
print("admitted" if zmq.utils.monitor.recv_monitor_message(monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
    else "refused")
""".replace("import os, sys, zmq", "import os, sys, zmq, zmq.utils.monitor")


def connected(kind: int, port: int, key: str = "") -> zmq.Socket[bytes]:
    """A socket of a client outside of the cluster."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.linger = 0
    if key:
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = key.encode()
    if kind == zmq.SUB:
        socket.subscribe(b"")
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket


def public_key(cluster: Kubectl, name: str) -> str:
    secret = cluster.get("secret", client_secret(name))
    assert secret
    assert sorted(secret["data"]) == [
        "QSERVER_ZMQ_CONTROL_ADDRESS",
        "QSERVER_ZMQ_INFO_ADDRESS",
        "QSERVER_ZMQ_PUBLIC_KEY",
    ]
    return base64.b64decode(secret["data"]["QSERVER_ZMQ_PUBLIC_KEY"]).decode()


@pytest.fixture(scope="module")
def beamline_spec() -> dict[str, Any]:
    return {"environment": SIMULATED, "network": {"legacy": True}}


def test_the_published_client_and_qserver_need_nothing_but_the_client_secret(beamline: Beamline):
    cluster, client = beamline.cluster, beamline.client
    pod = cluster.get("pod", client)
    assert pod
    assert pod["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": client_secret(beamline.name)}}]
    assert "env" not in pod["spec"]["containers"][0]
    driven = cluster.run_in(client, "/opt/client/bin/python", "-c", DRIVE, seconds=400)
    assert driven.splitlines() == ["count completed", "False"]
    seen = cluster.run_in(client, "qserver", "history", "get")
    assert "'exit_status': 'completed'" in seen
    plan = """{"name": "count", "args": [["det1"]]}"""
    assert "'success': True" in cluster.run_in(client, "qserver", "queue", "add", "plan", plan)
    assert [item["name"] for item in beamline.queue()] == ["count"]


def test_a_client_without_the_right_key_is_not_admitted(beamline: Beamline):
    cluster, client = beamline.cluster, beamline.client
    key = public_key(cluster, beamline.name)
    other = zmq.curve_keypair()[0].decode()

    def outcome(key: str) -> str:
        return cluster.run_in(client, "python", "-c", REFUSED, key, seconds=90).strip()

    assert outcome(key) == "admitted"
    assert outcome(other) == "refused"
    assert outcome("") == "refused"
    wrong = cluster.run_in(client, "env", f"QSERVER_ZMQ_PUBLIC_KEY={other}", "qserver", "status", check=False)
    assert "manager_state" not in wrong
    assert "manager_state" in cluster.run_in(client, "qserver", "status")


def test_a_laptop_reaches_it_by_forwarded_ports(beamline: Beamline):
    cluster = beamline.cluster
    key = public_key(cluster, beamline.name)
    with forwarded(cluster, beamline.name, CONTROL_PORT, INFO_PORT, ENCRYPTED_INFO_PORT) as ports:
        with connected(zmq.REQ, ports[CONTROL_PORT], key) as control:
            control.send_json({"method": "status", "params": {}})
            assert control.poll(DEADLINE * 1000)
            reply: Any = control.recv_json()
            assert reply["manager_state"] == "idle"
        with connected(zmq.SUB, ports[INFO_PORT]) as info:
            assert info.poll(DEADLINE * 1000), "nothing is published in clear"
        with connected(zmq.SUB, ports[ENCRYPTED_INFO_PORT], key) as info:
            assert info.poll(DEADLINE * 1000), "nothing is published with encryption"


def test_commands_of_version_0_0_1_reach_it_on_the_port_of_their_time(beamline: Beamline):
    address = f"tcp://{beamline.name}:{LEGACY_PORT}"

    def old(*words: str) -> str:
        return beamline.cluster.run_in(beamline.client, "qserver", *words, "-a", address)

    plan = """{"name":"count", "args":[["det1", "det2"]]}"""
    for position in ("back", "back", "-1"):
        assert "'success': True" in old("-c", "queue_plan_add", "-p", position, plan)
    uids = [item["item_uid"] for item in beamline.queue()]
    assert [uid for uid in uids if uid in old("-c", "queue_plan_get", "-p", "-2")] == uids[1:2]
    assert "'plans_in_queue': 3" in old("-c", "status")


@pytest.fixture
def other_namespace(cluster: Kubectl) -> Iterator[Kubectl]:
    name = f"test-clients-{uuid.uuid4().hex[:8]}"
    cluster("create", "namespace", name)
    own = cluster.within(name)
    own.wait("serviceaccount", "default", "create")
    yield own
    cluster.delete("namespace", name)


def test_releases_side_by_side_keep_their_environments_queues_and_keys_apart(
    operator: Releases, namespace: Kubectl, other_namespace: Kubectl, images: dict[str, str]
):
    small = {"resources": {"requests": {"cpu": "20m"}}}
    values = {"environment": SIMULATED, "manager": small, "redis": small}
    beamlines = [Beamline(namespace, images, "one"), Beamline(namespace, images, "two")]
    beamlines.append(Beamline(other_namespace, images, "one"))
    try:
        for beamline in beamlines:
            operator.install(beamline.name, beamline.cluster, values, wait=False)
        for beamline in beamlines:
            beamline.start_client()
            beamline.wait_ready()
            beamline.accepted("environment_open")
        for number, beamline in enumerate(beamlines, 1):
            assert beamline.wait_idle()["worker_environment_exists"]
            for _ in range(number):
                beamline.add_plan("count", ["det1"])
        assert [len(beamline.queue()) for beamline in beamlines] == [1, 2, 3]
        assert len({public_key(beamline.cluster, beamline.name) for beamline in beamlines}) == 3
        assert [len(beamline.environments()) for beamline in beamlines] == [2, 2, 1]

        beamlines[0].accepted("queue_start")
        beamlines[0].wait_history(1)
        beamlines[0].close_environment()
        assert [beamline.status()["worker_environment_exists"] for beamline in beamlines] == [False, True, True]
        assert [len(beamline.queue()) for beamline in beamlines] == [0, 2, 3]
        wait_until(lambda: len(namespace.find("workerenvironments")) == 1, "one is left in the namespace", DEADLINE)
    finally:
        for beamline in beamlines:
            beamline.disconnect()
