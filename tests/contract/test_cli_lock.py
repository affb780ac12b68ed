"""The lock, permissions and history from the command line (cli.md 1.3 and 3)."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract_manager import ContractManager
from queueserver_cli.grammar import COMMANDS
from queueserver_manager.core.methods import METHODS


class Program:
    """Runs programs against one manager."""

    def __init__(self, manager: ContractManager) -> None:
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")}
        self._environment["QSERVER_ZMQ_CONTROL_ADDRESS"] = manager.control_address

    def run(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *words], capture_output=True, text=True, timeout=60, env=self._environment
        )

    def qserver(self, *words: str, code: int = 0) -> dict[str, Any]:
        done = self.run("queueserver_cli.qserver", *words)
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
        reply: dict[str, Any] = ast.literal_eval(done.stdout.split("\n", 2)[2])
        return reply


@pytest.fixture
def program(closed_manager: ContractManager) -> Program:
    return Program(closed_manager)


@pytest.mark.row("cli", "the lock key goes with every command that takes it")
def test_the_lock_key_goes_with_every_command_whose_method_accepts_it() -> None:
    for command in COMMANDS:
        if command.method in METHODS:
            names = [parameter.name for parameter in METHODS[command.method].parameters]
            assert command.takes_lock_key is ("lock_key" in names), command.words


@pytest.mark.row("cli", "lock, unlock")
def test_lock_and_unlock(program: Program) -> None:
    reply = program.qserver("lock", "all", "Changing the sample", "-k", "90g94")
    info = reply["lock_info"]
    assert (info["environment"], info["queue"], info["user"], info["note"]) == (
        True,
        True,
        "qserver-cli",
        "Changing the sample",
    )
    for words in (("queue", "clear"), ("queue", "start"), ("queue", "autostart", "disable"), ("permissions", "reload")):
        assert "Invalid lock key" in program.qserver(*words, code=2)["msg"]
    program.qserver("queue", "clear", "-k", "90g94")
    program.qserver("permissions", "reload", "-k", "90g94")
    program.qserver("queue", "autostart", "disable", "-k", "90g94")
    assert program.qserver("lock", "info")["lock_info"] == info
    assert "Invalid lock key" in program.qserver("lock", "info", "-k", "x", code=2)["msg"]
    assert program.qserver("lock", "environment", "-k", "90g94")["lock_info"]["queue"] is False
    assert program.qserver("lock", "queue", "-k", "90g94")["lock_info"]["environment"] is False
    assert "different key" in program.qserver("lock", "queue", "-k", "x", code=2)["msg"]
    assert "Invalid lock key" in program.qserver("unlock", "-k", "x", code=2)["msg"]
    assert "Lock key is not specified" in program.qserver("lock", "queue", code=2)["msg"]
    program.qserver("unlock", "-k", "90g94")
    assert program.qserver("lock", "info")["lock_info"]["queue"] is False


@pytest.mark.row("cli", "permissions set FILE")
def test_permissions_set_and_reload(program: Program, closed_manager: ContractManager, tmp_path: Path) -> None:
    before = program.qserver("permissions", "get")["user_group_permissions"]
    file = tmp_path / "permissions.yaml"
    file.write_text(yaml.safe_dump({"user_groups": {"root": {"allowed_plans": [None]}, "primary": {}}}))
    program.qserver("permissions", "set", str(file))
    assert closed_manager.accepted("plans_allowed", user_group="primary")["plans_allowed"] == {}
    program.qserver("permissions", "reload")
    assert program.qserver("permissions", "get")["user_group_permissions"] == before
    file.write_text("user_groups: {}")
    assert "Missing required user group: 'root'" in program.qserver("permissions", "set", str(file), code=2)["msg"]


def test_a_part_of_the_history(program: Program, manager: ContractManager) -> None:
    here = Program(manager)
    uids = manager.fill(3)
    manager.run()
    reply = here.qserver("history", "get", "newest-first", "limit", "1", "plan", "null", "from", "2000-01-01")
    assert ([item["item_uid"] for item in reply["items"]], reply["total"]) == ([uids[2]], 3)
    assert here.qserver("history", "get", "uid", uids[1])["items"][0]["item_uid"] == uids[1]
    assert here.qserver("history", "get", "to", "2000-01-01T10:00", "exit-status", "completed")["total"] == 0
    done = here.run("queueserver_cli.qserver", "history", "get", "limit", "many")
    assert done.returncode == 1
    assert "'many' is not an integer" in done.stderr


@pytest.mark.row("cli", "qserver-clear-lock")
def test_clear_lock(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    program = Program(manager)

    def clear() -> subprocess.CompletedProcess[str]:
        (socket,) = manager.runtime_dir.rglob("redis-*.sock")
        return program.run("queueserver_manager.clear_lock", "--redis-addr", f"unix://{socket}")

    done = clear()
    assert (done.returncode, done.stdout, done.stderr) == (0, "No lock was detected.\n", "")
    info = manager.accepted("lock", lock_key="lost", user="Maria", queue=True)["lock_info"]
    done = clear()
    assert (done.returncode, done.stderr) == (0, "")
    first, *shown = done.stdout.splitlines()
    assert first == "Detected lock info:"
    assert ast.literal_eval("\n".join(shown[:-2])) == {
        name: value for name, value in info.items() if name != "emergency_lock_key_is_set"
    }
    assert shown[-2:] == [
        "Clearing the lock ...",
        "RE Manager lock was cleared. Restart RE Manager service to unlock the manager!",
    ]
    assert manager.status()["lock"]["queue"] is True
    manager.stop()
    manager.start()
    assert manager.status()["lock"]["queue"] is False
    manager.accepted("queue_clear")
    manager.stop()


@pytest.mark.row("cli", "qserver-clear-lock: failure")
def test_clear_lock_without_a_redis_server(program: Program) -> None:
    done = program.run("queueserver_manager.clear_lock", "--redis-addr", "localhost:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Failed to clear RE Manager lock: " in done.stderr
    assert "Traceback" not in done.stderr
