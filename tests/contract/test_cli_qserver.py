"""`qserver` and `qserver-console-monitor` as installed programs, with a real manager, worker and store."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queueserver_cli.client import ManagerClient, NoReply
from queueserver_cli.demo.manager_process import ManagerProcess

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def manager() -> Iterator[ManagerProcess]:
    manager = ManagerProcess()
    manager.start()
    try:
        with ManagerClient(manager.control_address) as client:
            deadline = time.monotonic() + DEADLINE_S
            while True:
                manager.check()
                try:
                    if client.request("status")["manager_state"] == "idle":
                        break
                except NoReply:
                    assert time.monotonic() < deadline, manager.log.read_text()
        yield manager
    finally:
        manager.stop()
        manager.remove_data()


class Qserver:
    """Runs the program against one manager."""

    def __init__(self, manager: ManagerProcess) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("QSERVER_")},
            "QSERVER_ZMQ_CONTROL_ADDRESS": manager.control_address,
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("qserver")), *words],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=self._environment,
            check=False,
        )

    def reply(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The reply that the program prints; checks the lines before it and the exit code."""
        done = self.run(*words)
        assert (done.returncode, done.stderr) == (code, ""), done.stdout
        first, second, rest = done.stdout.split("\n", 2)
        assert first == f"Arguments: {list(words)}"
        assert re.fullmatch(r"\d\d:\d\d:\d\d - MESSAGE: ", second)
        reply: dict[str, Any] = ast.literal_eval(rest)
        return reply

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while not condition(status := self.reply("status")):
            assert time.monotonic() < deadline, status
        return status


@pytest.fixture
def qserver(manager: ManagerProcess) -> Iterator[Qserver]:
    program = Qserver(manager)
    program.reply("queue", "clear")
    program.reply("history", "clear")
    yield program
    status = program.reply("status")
    if status["manager_state"] == "paused":
        program.reply("re", "abort")
        program.wait(lambda status: status["manager_state"] == "idle")


@pytest.fixture
def open_environment(qserver: Qserver) -> None:
    if not qserver.reply("status")["worker_environment_exists"]:
        assert qserver.reply("environment", "open") == {"success": True, "msg": ""}
        qserver.wait(lambda status: status["worker_environment_exists"] and status["manager_state"] == "idle")


COUNT = '{"name": "count", "args": [["det1", "det2"]], "kwargs": {"num": 2, "md": null}}'


def test_the_queue_of_the_tutorial(qserver: Qserver) -> None:
    added = qserver.reply("queue", "add", "plan", COUNT)
    assert (added["success"], added["qsize"]) == (True, 1)
    assert added["item"]["user"] == "qserver-cli"
    assert added["item"]["user_group"] == "primary"
    assert qserver.reply("queue", "add", "plan", "front", "{'name': 'scan', 'args': [['det1'], 'motor', -2, 2, 5]}")
    assert qserver.reply("queue", "add", "instruction", "-2", "queue-stop")["qsize"] == 3
    names = [item["name"] for item in qserver.reply("queue", "get")["items"]]
    assert names == ["scan", "queue_stop", "count"]
    uid = added["item"]["item_uid"]
    assert qserver.reply("queue", "item", "move", uid, "front")["success"]
    assert qserver.reply("queue", "item", "get", "front")["item"]["item_uid"] == uid
    assert qserver.reply("queue", "update", "plan", uid, "{'name': 'count', 'args': [['det3']]}")["success"]
    assert qserver.reply("queue", "item", "remove", uid)["item"]["args"] == [["det3"]]
    assert [item["name"] for item in qserver.reply("queue", "get")["items"]] == ["scan", "queue_stop"]


@pytest.mark.row("cli", "exit code 2")
def test_a_refusal_is_printed_and_exits_with_2(qserver: Qserver) -> None:
    refused = qserver.reply("queue", "add", "plan", "{'name': 'no_such_plan'}", code=2)
    assert (refused["success"], refused["qsize"]) == (False, None)
    assert "no_such_plan" in refused["msg"]
    assert qserver.reply("queue", "item", "get", "50", code=2)["item"] == {}
    assert qserver.reply("re", "resume", code=2)["msg"].startswith("RE Manager is not paused")


def test_plans_and_devices_are_named(qserver: Qserver) -> None:
    plans = qserver.reply("allowed", "plans")["plans_allowed"]
    assert plans["count"] == plans["scan"] == "{...}"
    assert len(plans) > 30
    assert qserver.reply("existing", "devices")["devices_existing"]["det1"] == "{...}"


@pytest.mark.usefixtures("open_environment")
def test_the_queue_runs_pauses_resumes_and_stops_and_the_history_tells(qserver: Qserver) -> None:
    qserver.reply("queue", "add", "plan", '{"name": "count", "args": [["det1"]], "kwargs": {"num": 999, "delay": 0.1}}')
    qserver.reply("queue", "start")
    qserver.wait(lambda status: status["re_state"] == "running")
    qserver.reply("re", "pause")
    qserver.wait(lambda status: status["manager_state"] == "paused")
    assert qserver.reply("queue", "start", code=2)["msg"] == "RE Manager is busy."
    runs = qserver.reply("re", "runs", "open")["run_list"]
    assert [run["is_open"] for run in runs] == [True]
    qserver.reply("re", "resume")
    qserver.wait(lambda status: status["re_state"] == "running")
    qserver.reply("re", "pause", "immediate")
    qserver.wait(lambda status: status["manager_state"] == "paused")
    qserver.reply("re", "stop")
    qserver.wait(lambda status: status["manager_state"] == "idle" and status["items_in_history"] == 1)
    (item,) = qserver.reply("history", "get")["items"]
    assert item["result"]["exit_status"] == "stopped"
    assert item["result"]["run_uids"] == [runs[0]["uid"]]


@pytest.mark.usefixtures("open_environment")
def test_the_console_monitor_shows_what_a_plan_prints(manager: ManagerProcess, qserver: Qserver) -> None:
    monitor = subprocess.Popen(
        [str(Path(sys.executable).with_name("qserver-console-monitor")), "--zmq-info-addr", manager.info_address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert monitor.stdout is not None
    try:
        deadline = time.monotonic() + DEADLINE_S
        text = b""
        os.set_blocking(monitor.stdout.fileno(), False)
        while b"|         2 |" not in text:  # 0MQ tells nobody that a subscription has arrived
            assert time.monotonic() < deadline, text
            if qserver.reply("status")["manager_state"] == "idle":
                qserver.reply("queue", "execute", "plan", COUNT)
            with contextlib.suppress(BlockingIOError):
                text += os.read(monitor.stdout.fileno(), 65536)
    finally:
        monitor.send_signal(signal.SIGINT)
        _, err = monitor.communicate(timeout=DEADLINE_S)
    assert monitor.returncode == 1
    assert b"Traceback" not in err
    qserver.wait(lambda status: status["manager_state"] == "idle")


@pytest.mark.row("cli", "exit code 3")
def test_a_manager_that_hangs_is_no_answer(qserver: Qserver) -> None:
    done = qserver.run("manager", "kill", "test")
    assert done.returncode == 3
    assert done.stdout.endswith(" - ERROR: ZMQ communication error: timeout occurred\n")
    deadline = time.monotonic() + DEADLINE_S
    while qserver.run("ping").returncode != 0:
        assert time.monotonic() < deadline


@pytest.mark.usefixtures("open_environment")
def test_scripts_functions_and_tasks(qserver: Qserver, tmp_path: Path) -> None:
    def result(started: dict[str, Any]) -> dict[str, Any]:
        uid = started["task_uid"]
        deadline = time.monotonic() + DEADLINE_S
        while qserver.reply("task", "status", uid)["status"] == "running":
            assert time.monotonic() < deadline
        reply = qserver.reply("task", "result", uid)
        assert (reply["success"], reply["task_uid"], reply["status"]) == (True, uid, "completed")
        found: dict[str, Any] = reply["result"]
        return found

    script = tmp_path / "script.py"
    script.write_text("def from_a_script():\n    yield from []\n")
    assert result(qserver.reply("script", "upload", str(script), "keep-lists"))["success"] is True
    assert "from_a_script" not in qserver.reply("existing", "plans")["plans_existing"]
    assert result(qserver.reply("environment", "update"))["success"] is True
    assert "from_a_script" in qserver.reply("allowed", "plans")["plans_allowed"]
    assert result(qserver.reply("script", "upload", str(script), "update-re", "background"))["success"] is True
    assert result(qserver.reply("environment", "update", "background"))["success"] is True

    script.write_text("1/0")
    failed = result(qserver.reply("script", "upload", str(script)))
    assert failed["msg"] == "Error occurred while executing 'Load script': Failed to execute stript: division by zero"

    sleep = '{"name": "function_sleep", "args": [0]}'
    started = qserver.reply("function", "execute", sleep)
    assert list(started) == ["success", "msg", "item", "task_uid"]
    assert started["item"]["user"] == "qserver-cli"
    assert result(started)["return_value"] == {"success": True, "time": 0}
    assert result(qserver.reply("function", "execute", sleep, "background"))["success"] is True
    assert qserver.reply("task", "list")["tasks"][0]["name"] == "function_sleep"
    assert qserver.reply("function", "execute", '{"name": "no_such"}', code=2)["task_uid"] is None
    assert qserver.reply("task", "status", "unknown")["status"] == "not_found"
    assert qserver.reply("task", "cancel", "unknown", code=2)["msg"].startswith("Error: There is no running task")
