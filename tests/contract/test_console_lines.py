"""Names of loggers and lines of the console that people and tools look for (zmq-api 1.4, cli 2; tutorials)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_manager import COUNT, ContractManager

LINE = re.compile(r"^\[([DIWEC]) \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([\w.]+)\] (.*)$", re.MULTILINE)

MANAGER, WORKER = "bluesky_queueserver.manager.manager", "bluesky_queueserver.manager.worker"

START = [
    (MANAGER, "Starting ZMQ server at '{address}'"),
    (MANAGER, "ZMQ control channels: encryption disabled"),
    (MANAGER, "Starting RE Manager process"),
    (MANAGER, "Loading the lists of allowed plans and devices ..."),
    (MANAGER, "Starting ZeroMQ server ..."),
    (MANAGER, "ZeroMQ server is waiting on {address}"),
]


def lines(manager: ContractManager) -> list[tuple[str, str]]:
    """Logger and text of every log line so far."""
    return [(name, text) for _, name, text in LINE.findall(manager.log_text)]


def wait_for(manager: ContractManager, name: str, text: str) -> None:
    manager.wait_status(lambda _: (name, text) in lines(manager))


def started(start_manager: Callable[..., ContractManager]) -> ContractManager:
    """A manager that has written all it has to say of its start, which it may do after its first reply."""
    manager = start_manager()
    name, text = START[-1]
    wait_for(manager, name, text.format(address=manager.control_address))
    return manager


def in_order(found: list[tuple[str, str]], expected: list[tuple[str, str]]) -> bool:
    """Whether the lines are there, one after the other."""
    rest = iter(found)
    return all(line in rest for line in expected)


@pytest.mark.row("cli", "the log at the start")
def test_the_lines_of_a_start(start_manager: Callable[..., ContractManager]) -> None:
    manager = started(start_manager)
    expected = [(name, text.format(address=manager.control_address)) for name, text in START]
    assert in_order(lines(manager), expected)
    assert "RE Manager configuration:\n    config_path: None\n" in manager.log_text
    manager.stop()


@pytest.mark.row("cli", "lines of environment and pause")
def test_the_lines_of_an_environment_and_of_a_paused_plan(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    manager.open_environment()
    held = manager.start_holding()
    held.pause()
    manager.accepted("re_resume")
    held.end()
    held = manager.start_holding()
    held.pause()
    manager.accepted("re_stop")
    manager.wait_idle()
    manager.close_environment()
    expected = [
        (MANAGER, "Opening the new RE environment ..."),
        (WORKER, "The environment is open."),
        (MANAGER, "Starting the queue ..."),
        (MANAGER, "Pausing the queue (currently running plan) ..."),
        (WORKER, "Pausing Run Engine ..."),
        (MANAGER, "Resuming paused plan ..."),
        (WORKER, "Run Engine: resume"),
        (WORKER, "Continue plan execution with the option 'resume'"),
        (MANAGER, "Stopping paused plan ..."),
        (WORKER, "Run Engine: stop"),
        (MANAGER, "Closing existing RE environment ..."),
    ]
    for line in expected:
        wait_for(manager, *line)
    managers = [line for line in expected if line[0] == MANAGER]
    workers = [line for line in expected if line[0] == WORKER]
    assert in_order(lines(manager), managers)
    assert in_order(lines(manager), workers)
    manager.stop()


@pytest.mark.row("cli", "names of loggers")
def test_all_loggers_have_names_of_the_contract(start_manager: Callable[..., ContractManager], tmp_path: Path) -> None:
    manager = start_manager(startup_dir=tmp_path)
    manager.accepted("environment_open")
    manager.wait_idle()  # the directory holds no startup code
    manager.call("environment_destroy")
    manager.stop()
    names = {name for name, _ in lines(manager)}
    assert {MANAGER, WORKER} <= names
    assert {name for name in names if not name.startswith("bluesky_queueserver.manager.")} == set()


def test_a_refused_request_announces_nothing(start_manager: Callable[..., ContractManager]) -> None:
    manager = started(start_manager)
    before = [line for line in lines(manager) if line[0] == MANAGER]
    for method in ("queue_start", "re_pause", "re_resume", "environment_close", "environment_destroy"):
        assert not manager.call(method)["success"]
    assert manager.call("queue_item_add", item=COUNT)["success"] is False
    assert [line for line in lines(manager) if line[0] == MANAGER] == before
    manager.stop()
