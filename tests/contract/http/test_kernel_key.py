"""`/api/config/get` hands the key of the IPython kernel only to those who may execute code (scope write:scripts)."""

from __future__ import annotations

from pathlib import Path

from contract_manager import ContractManager
from faulty_manager import PROFILE, FaultyManager
from http_accounts import CONFIGURATION, log_in
from running_http_server import RunningHttpServer


def connection_info(server: RunningHttpServer, user: str) -> dict[str, object]:
    token = log_in(server, user).json()["access_token"]
    with server.client(Authorization=f"Bearer {token}") as client:
        reply = client.get("/api/config/get")
    assert reply.status_code == 200, reply.text
    assert reply.json()["success"] is True
    info: dict[str, object] = reply.json()["config"]["ip_connect_info"]
    return info


def test_the_key_of_the_kernel_is_for_those_who_may_execute_code(tmp_path: Path) -> None:
    with FaultyManager(options=["--use-ipython-kernel=ON"], startup_files=PROFILE) as manager:
        manager.open_environment()
        told = manager.accepted("config_get")["config"]["ip_connect_info"]
        with RunningHttpServer(manager, configuration=CONFIGURATION, directory=tmp_path) as server:
            assert connection_info(server, "bob") == told
            assert connection_info(server, "alice") == {}


def test_without_a_kernel_there_is_nothing_to_hand_out(manager: ContractManager, accounts: RunningHttpServer) -> None:
    assert connection_info(accounts, "bob") == connection_info(accounts, "alice") == {}
