"""Version 0.0.1: what its README tells people to type, command by command, and its requests (cli 4)."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_manager import EMERGENCY_KEY, ContractManager, plan
from programs_of_tests import Programs, uids

SHORT = '{"name":"count", "args":[["det1", "det2"]]}'
SCAN = '{"name":"scan", "args":[["det1", "det2"], "motor", -1, 1, 10]}'
LONG = '{"name":"count", "args":[["det1", "det2"]], "kwargs":{"num":10, "delay":1}}'


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def old_manager() -> Iterator[tuple[ContractManager, str]]:
    address = free_address()
    environment = {"QSERVER_EMERGENCY_LOCK_KEY_FOR_SERVER": EMERGENCY_KEY}
    with ContractManager(options=["--legacy-addr", address], environment=environment) as manager:
        yield manager, address


@pytest.fixture
def old(old_manager: tuple[ContractManager, str]) -> tuple[ContractManager, Callable[..., Any]]:
    """A manager with an open environment and `qserver -c` of its second address."""
    manager, address = old_manager
    manager.reset(environment=True)
    programs = Programs(manager)

    def command(name: str, *parameters: str, code: int = 0) -> dict[str, Any]:
        words = ["-p", *parameters] if parameters else []
        return programs.old_qserver(name, *words, "-a", address, code=code)

    return manager, command


@pytest.mark.row("cli", "commands of environment and lists")
@pytest.mark.timeout(180)
def test_environment_and_lists_as_in_the_readme(old: Any) -> None:
    manager, command = old
    for name in ("ping", "status"):
        status = command(name)
        assert (status["manager_state"], status["plans_in_queue"], status["running_plan_uid"]) == ("idle", 0, None)
    assert command("environment_close")["success"]
    manager.wait_status(lambda s: s["worker_environment_state"] == "closed")
    assert command("environment_open")["success"]
    manager.wait_status(lambda s: s["worker_environment_exists"])
    assert command("environment_destroy")["success"]
    manager.wait_status(lambda s: s["worker_environment_state"] == "closed")
    assert "count" in command("plans_allowed")["plans_allowed"]
    assert "det1" in command("devices_allowed")["devices_allowed"]


@pytest.mark.row("cli", "commands of the queue, position -1")
@pytest.mark.timeout(180)
def test_the_queue_as_in_the_readme(old: Any) -> None:
    manager, command = old

    def add(*parameters: str) -> str:
        return str(command("queue_plan_add", *parameters)["item"]["item_uid"])

    a, b, c = add(SHORT), add(SCAN), add(LONG)
    assert manager.queue_uids == [a, b, c]
    front, back, second = add("front", SHORT), add("back", SHORT), add("2", SHORT)
    assert manager.queue_uids == [front, a, second, b, c, back]
    before_last = add("-1", SHORT)
    assert manager.queue_uids == [front, a, second, b, c, before_last, back]
    end, beyond = add("7", SHORT), add("100", SHORT)
    assert manager.queue_uids[-2:] == [end, beyond]
    assert uids(command("queue_get")["queue"]) == manager.queue_uids
    assert command("queue_plan_remove")["item"]["item_uid"] == beyond
    assert command("queue_plan_remove", "front")["item"]["item_uid"] == front
    assert command("queue_plan_remove", "-2")["item"]["item_uid"] == back
    assert command("queue_plan_remove", "50", code=2)["success"] is False
    last, first, previous = (command("queue_plan_get", *place)["item"] for place in ([], ["front"], ["-2"]))
    assert uids([first, previous, last]) == [a, before_last, end]
    assert (last["name"], last["user"], last["user_group"]) == ("count", "qserver-cli", "primary")
    for name in ("queue-clear", "queue_clear"):
        assert command(name)["success"]
    assert manager.queue == []


@pytest.mark.row("cli", "commands of execution and history")
@pytest.mark.timeout(180)
def test_execution_as_in_the_readme(old: Any) -> None:
    manager, command = old
    assert command("queue_start")["success"]  # an empty queue
    for parameters, ending in (("immediate", "re_resume"), ("deferred", "re_stop"), ("immediate", "re_abort")):
        command("queue_plan_add", LONG)
        command("queue_plan_add", SHORT)
        assert command("queue_start")["success"]
        manager.wait_status(lambda s: s["re_state"] == "running")
        assert command("queue_stop")["success"]
        assert command("queue_stop_cancel")["success"]
        assert command("re_pause", parameters)["success"]
        manager.wait_status(lambda s: s["manager_state"] == "paused")
        assert command(ending)["success"]
        if ending == "re_resume":
            manager.wait_status(lambda s: s["re_state"] == "running")
            manager.accepted("re_pause", option="immediate")
            manager.wait_status(lambda s: s["manager_state"] == "paused")
            assert command("re_halt")["success"]
        manager.wait_idle()
        command("queue_clear")
    history = command("history_get")["history"]
    assert [entry["exit_status"] for entry in history] == ["halted", "stopped", "aborted"]
    assert command("history_clear")["success"]
    assert manager.history == []


@pytest.mark.row("cli", "manager_stop, test_manager_kill")
@pytest.mark.timeout(180)
def test_the_end_of_the_manager_as_in_the_readme(start_manager: Callable[..., ContractManager]) -> None:
    address = free_address()
    manager = start_manager(options=["--legacy-addr", address])
    programs = Programs(manager)
    killed = programs.run("qserver", "-c", "test_manager_kill", "-a", address)
    assert (killed.returncode, "timeout occurred" in killed.stdout) == (3, True)
    manager.wait_idle()  # its supervisor has started it again
    manager.open_environment()
    manager.start_holding()
    refused = programs.old_qserver("manager_stop", "-p", "safe_on", "-a", address, code=2)
    assert "is allowed only in 'idle' state" in refused["msg"]
    assert programs.old_qserver("manager_stop", "-p", "safe_off", "-a", address)["success"]
    manager.wait_end()
    manager.assert_no_process_left()


@pytest.mark.row("cli", "exit codes of old commands")
def test_an_unknown_command_and_a_missing_one(closed_manager: ContractManager) -> None:
    programs = Programs(closed_manager)
    unknown = programs.run("qserver", "-c", "no_such_command")
    assert unknown.returncode == 1
    assert "Invalid command or parameters: Unrecognized command 'no_such_command'" in unknown.stderr
    for words in ([], ["-c", "ping", "status"], ["status", "-p", "x"]):
        assert programs.run("qserver", *words).returncode == 2


@pytest.mark.row("cli", "default address of that version")
def test_the_default_address_of_that_version() -> None:
    from queueserver_cli import legacy

    assert legacy.DEFAULT_ADDRESS == "tcp://localhost:5555"


_plans = st.sampled_from([json.loads(SHORT), {"name": "no_such_plan"}, {}]) | st.dictionaries(st.text(), st.text())
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_old_params = _anything | st.fixed_dictionaries(
    {},
    optional={
        "plan": _plans | _anything,
        "pos": st.integers(-4, 4) | st.sampled_from(["front", "back"]) | _anything,
        "item": _anything,
        "user": _anything,
        "user_group": _anything,
        "other": _anything,
    },
)


@pytest.mark.parametrize(
    "method", ["queue_plan_add", "queue_plan_get", "queue_plan_remove", "queue_get", "plans_allowed"]
)
def test_any_parameters_of_requests_of_that_version(old_manager: tuple[ContractManager, str], method: str) -> None:
    manager, address = old_manager
    manager.reset(environment=True)
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(address)

        @settings(max_examples=100, deadline=None, derandomize=True, database=None)
        @given(_old_params)
        def check(params: Any) -> None:
            before = manager.queue
            client.send(json.dumps({"method": method, "params": params}).encode())
            assert client.poll(30_000), params
            reply = client.recv_json()
            assert type(reply["success"]) is bool
            assert "error of the manager" not in reply["msg"]
            if not reply["success"]:
                assert (reply["msg"] != "", manager.queue) == (True, before)

        check()


@pytest.mark.row("cli", "requests of that version")
def test_requests_of_that_version(old_manager: tuple[ContractManager, str]) -> None:
    manager, address = old_manager
    manager.reset(environment=True)
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.linger = 0
        client.connect(address)

        def ask(method: str, **params: Any) -> Any:
            client.send_json({"method": method, "params": params})
            assert client.poll(30_000)
            return client.recv_json()

        caller = {"user": "qserver-cli", "user_group": "root"}
        first = ask("queue_plan_add", plan=json.loads(SHORT), **caller)
        assert (first["success"], first["qsize"], first["plan"]["plan_uid"]) == (True, 1, first["plan"]["item_uid"])
        assert (first["plan"]["item_type"], first["plan"]["user_group"]) == ("plan", "primary")
        before = ask("queue_plan_add", plan=json.loads(SHORT), pos=-1)["plan"]["plan_uid"]
        assert uids(ask("queue_get")["queue"]) == [before, first["plan"]["plan_uid"]]
        assert ask("queue_get")["running_plan"] == {}
        assert ask("queue_plan_get", pos="front")["plan"]["plan_uid"] == before
        assert ask("queue_item_add", item=plan("null"), pos=-1, **caller)["item"]["item_uid"] == manager.queue_uids[-1]
        assert ask("queue_plan_remove", pos=50)["success"] is False
        assert ask("queue_plan_add", plan={"name": "no_such_plan"})["success"] is False
        assert ask("queue_plan_add")["success"] is False
        assert "count" in ask("plans_allowed", user_group="root")["plans_allowed"]
        status = ask("status")
        assert (status["plans_in_queue"], status["plans_in_history"]) == (3, 0)
        assert ask("no_such_method")["msg"] == "Unknown method 'no_such_method'"
        client.send(b"not json")
        assert client.recv_json()["success"] is False
    assert manager.call("queue_plan_add", plan={})["msg"] == "Unknown method 'queue_plan_add'"
