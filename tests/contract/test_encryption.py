"""CURVE on the control socket; the info socket is clear text unless another is asked for (zmq-api 1.3)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
import zmq

from manager_client import ManagerClient
from ports import free_ports
from running_manager import RunningManager

KNOWN_CLIENT = (b"wt8[6a8eoXFRVL<l2JBbOzs(hcI%kRBIr0Do/eLC", b"=@e7WwVuz{*eGcnv{AL@x2hmX!z^)wP3vKsQ{S7s")
"""The constant key pair of the published clients."""

Keys = tuple[bytes, bytes]


def answers(address: str, server_key: bytes | None, client_keys: Keys, seconds: float) -> bool:
    """Whether a client with these keys gets an answer in time; no server key: a client without encryption."""
    with zmq.Context() as context, context.socket(zmq.REQ) as requests:
        requests.linger = 0
        if server_key is not None:
            requests.curve_publickey, requests.curve_secretkey = client_keys
            requests.curve_serverkey = server_key
        requests.connect(address)
        requests.send(b'{"method": "status"}')
        return bool(requests.poll(seconds * 1000)) and b"RE Manager v" in requests.recv()


@pytest.fixture(params=["QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER", "QSERVER_ZMQ_PRIVATE_KEY"])
def encrypted(request: pytest.FixtureRequest) -> Iterator[tuple[RunningManager, bytes]]:
    """A manager with a private key, and its public key."""
    public, private = zmq.curve_keypair()
    manager = RunningManager(environment={request.param: private.decode()}).start(wait=False)
    try:
        yield manager, public
        manager.kill(manager.supervisor_pid, signal.SIGTERM)
        manager.wait_end()
        manager.assert_no_process_left()
    finally:
        manager.close()


@pytest.mark.row("zmq-api", "CURVE: clients that know the public key")
def test_only_clients_that_know_the_public_key_get_an_answer(encrypted: tuple[RunningManager, bytes]) -> None:
    manager, public = encrypted
    assert answers(manager.control_address, public, zmq.curve_keypair(), 20)
    assert answers(manager.control_address, public, KNOWN_CLIENT, 20)
    another, _ = zmq.curve_keypair()
    assert not answers(manager.control_address, another, KNOWN_CLIENT, 0.5)
    assert not answers(manager.control_address, None, KNOWN_CLIENT, 0.5)
    with closing(manager.subscribe("QS_Info")) as subscriber:
        assert subscriber.poll(10_000)
        assert "status" in manager.decode(subscriber.recv_multipart()[1])["msg"]


@pytest.mark.row("zmq-api", "CURVE on the info socket (addition)")
@pytest.mark.parametrize("clear", ["ON", "OFF"])
def test_console_and_status_are_published_encrypted_when_that_is_asked_for(clear: str) -> None:
    public, private = zmq.curve_keypair()
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    options = [f"--encrypted-info-addr={address}", f"--clear-info={clear}"]
    secret = {"QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": private.decode()}
    manager = RunningManager(environment=secret, options=options).start(wait=False)
    client = ManagerClient(manager.control_address, address, server_key=public.decode())
    without_key = ManagerClient(manager.control_address, address)
    try:
        client.watch()
        assert client.all_statuses()[-1] == client.status()
        with closing(without_key.subscribe("QS_Info")) as subscriber, closing(manager.subscribe("QS_Info")) as old:
            assert bool(old.poll(10_000 if clear == "ON" else 1500)) is (clear == "ON")
            assert not subscriber.poll(500)
        client.accepted("manager_stop", option="safe_off")
        assert manager.wait_end() == 0
        manager.assert_no_process_left()
    finally:
        client.disconnect()
        without_key.disconnect()
        manager.close()


def test_an_encrypted_info_socket_without_a_private_key_is_refused_at_the_start() -> None:
    manager = RunningManager(options=["--encrypted-info-addr=tcp://127.0.0.1:9"]).start(wait=False)
    try:
        assert manager.wait_end() == 1
        assert "--encrypted-info-addr needs the private key of the control address" in manager.log_text
        assert "QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER" in manager.log_text
    finally:
        manager.close()


@pytest.mark.row("zmq-api", "CURVE: a mismatch looks like a time-out")
def test_an_encrypted_client_of_a_manager_without_a_key_gets_no_answer() -> None:
    public, _ = zmq.curve_keypair()
    with RunningManager() as manager:
        assert not answers(manager.control_address, public, KNOWN_CLIENT, 0.5)
        assert manager.status()["manager_state"] == "idle"


@pytest.mark.row("zmq-api", "CURVE: bad text of a key")
def test_a_private_key_that_is_none_is_refused_at_the_start() -> None:
    manager = RunningManager(environment={"QSERVER_ZMQ_PRIVATE_KEY_FOR_SERVER": "too short"}).start(wait=False)
    try:
        assert manager.wait_end() == 1
        assert "the key must be a 40 byte z85 encoded string" in manager.log_text
        assert "Traceback" not in manager.log_text
    finally:
        manager.close()
