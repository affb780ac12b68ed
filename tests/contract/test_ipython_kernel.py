"""Workers in an IPython kernel: profiles with magics, consoles, `kernel_interrupt` (zmq-api 3, 5.1, 5.3, 5.8, 7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console_of_kernel import FILES, IDLE, SEEN_IN_A_KERNEL, KernelConsole, run_console
from contract_manager import CALLER, PROFILE, QUICK, ContractClient, ContractManager
from faulty_manager import PROFILE as SMALL
from faulty_manager import FaultyManager, wait_until
from ports import free_ports
from queueserver_worker.runtime.kernel import own_address
from running_manager import SIMULATED_PROFILE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def shared_manager() -> Iterator[FaultyManager]:
    with FaultyManager(options=["--use-ipython-kernel=ON"], startup_files=SMALL | FILES) as manager:
        yield manager


@pytest.fixture
def manager(shared_manager: FaultyManager) -> FaultyManager:
    """Idle, with an open environment in a kernel that is idle."""
    shared_manager.reset(environment=True)
    shared_manager.wait_status(lambda status: IDLE.items() <= status.items())
    return shared_manager


@pytest.fixture
def release(manager: FaultyManager) -> Iterator[Path]:
    """What lets code of `waiting_for` go on; it is there at the end in any case."""
    file = manager.release_file()
    yield file
    file.touch()


def waiting_for(release: Path) -> str:
    """What somebody types that goes on until the file exists."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(release)!r}).exists(): time.sleep(0.01)"


@pytest.fixture
def console(manager: FaultyManager) -> Iterator[KernelConsole]:
    console = KernelConsole(manager.accepted("config_get")["config"]["ip_connect_info"])
    yield console
    console.close()


@pytest.mark.row("zmq-api", "fields of the status")
def test_the_status_tells_of_the_kernel(manager: FaultyManager) -> None:
    held = manager.start_holding()
    status = manager.wait_status(lambda s: s["worker_environment_state"] == "executing_plan")
    assert (status["ip_kernel_state"], status["ip_kernel_captured"]) == ("busy", True)
    held.end()
    manager.wait_status(lambda s: IDLE.items() <= s.items())
    manager.close_environment()
    status = manager.status()
    assert (status["ip_kernel_state"], status["ip_kernel_captured"]) == (None, None)
    assert manager.accepted("config_get")["config"] == {"ip_connect_info": {}}


@pytest.mark.row("zmq-api", "config_get with a kernel")
def test_config_get_tells_how_to_connect(manager: FaultyManager) -> None:
    info = manager.accepted("config_get")["config"]["ip_connect_info"]
    ports = {name: info.pop(name) for name in list(info) if name.endswith("_port")}
    assert set(ports) == {"shell_port", "iopub_port", "stdin_port", "hb_port", "control_port"}
    assert all(isinstance(port, int) and port > 0 for port in ports.values())
    assert info.pop("key")
    assert info == {"transport": "tcp", "ip": "127.0.0.1", "signature_scheme": "hmac-sha256"}


@pytest.mark.row("plans-and-permissions", "IPython profile")
def test_profiles_with_magics_load_and_helpers_know_the_mode(manager: FaultyManager) -> None:
    item = {"item_type": "function", "name": "func_for_test_shell"}
    uid = manager.accepted("function_execute", item=item, **CALLER)["task_uid"]
    result = manager.task_result(uid)
    assert result["return_value"] == SEEN_IN_A_KERNEL, result
    assert manager.upload("%env ANOTHER=one\nimport os\nassert os.environ['MADE_BY_A_MAGIC'] == 'yes'")["success"]
    manager.wait_status(lambda s: IDLE.items() <= s.items())  # the end of what was typed is told a moment later
    assert manager.run(QUICK)["items_in_history"] == 1


def test_a_console_sees_the_namespace_and_its_output_is_published(
    manager: FaultyManager, console: KernelConsole
) -> None:
    assert console.type("assert RE.state == 'idle'; typed = 5; print('printed in a console')")["status"] == "ok"
    assert manager.upload("assert typed == 5; print('printed by a script')")["success"] is True
    wait_until(lambda: "printed by a script" in manager.log_text, "text of the script")
    assert "printed in a console" in manager.log_text
    assert console.type("1/0")["status"] == "error"
    manager.wait_status(lambda s: IDLE.items() <= s.items())  # the end of what was typed is told a moment later
    assert manager.run(QUICK)["items_in_history"] == 1


@pytest.mark.row("zmq-api", "a console that is busy")
def test_a_console_that_is_busy_keeps_plans_and_tasks_away(
    manager: FaultyManager, console: KernelConsole, release: Path
) -> None:
    uid = console.start(waiting_for(release))
    status = manager.wait_status(lambda s: s["ip_kernel_state"] == "busy")
    assert (status["ip_kernel_captured"], status["manager_state"]) == (False, "idle")
    busy = "Worker IPython kernel is busy"
    assert manager.refused("environment_close")["msg"] == busy
    assert manager.refused("queue_start")["msg"] == busy
    assert busy in manager.refused("queue_item_execute", item=QUICK, **CALLER)["msg"]
    assert busy in manager.refused("manager_test", test_name="reserve_kernel")["msg"]
    assert manager.refused("script_upload", script="")["msg"] == f"Failed to start the task: {busy}"
    assert manager.upload("", run_in_background=True)["success"] is True
    manager.accepted("queue_autostart", enable=True)
    manager.add(QUICK)
    assert manager.status()["items_in_queue"] == 1
    release.touch()
    assert console.reply(uid)["status"] == "ok"
    manager.wait_status(lambda s: s["items_in_history"] == 1)


@pytest.mark.parametrize(("ending", "status_of_code"), [("", "ok"), ("\n1/0", "error")])
def test_a_queue_that_runs_goes_on_after_what_a_person_typed_meanwhile(
    manager: FaultyManager, console: KernelConsole, release: Path, ending: str, status_of_code: str
) -> None:
    manager.fill(200)  # what is typed arrives while some of them are still to be run
    held = manager.start_holding()
    uid = console.start(waiting_for(release) + ending)
    held.release()
    status = manager.wait_status(lambda s: s["ip_kernel_state"] == "busy" and not s["ip_kernel_captured"])
    assert 1 <= status["items_in_history"] < 201
    release.touch()
    assert console.reply(uid)["status"] == status_of_code
    manager.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] == 201)
    assert {entry["result"]["exit_status"] for entry in manager.history} == {"completed"}


@pytest.mark.row("zmq-api", "kernel_interrupt")
def test_kernel_interrupt_ends_what_a_person_runs(manager: FaultyManager, console: KernelConsole) -> None:
    manager.accepted("kernel_interrupt")  # nothing is there to be interrupted
    uid = console.start("import time\nwhile True: time.sleep(0.01)")
    manager.wait_status(lambda s: s["ip_kernel_state"] == "busy")
    manager.accepted("kernel_interrupt")
    assert console.reply(uid)["ename"] == "KeyboardInterrupt"
    manager.wait_status(lambda s: IDLE.items() <= s.items())


@pytest.mark.row("zmq-api", "kernel_interrupt: a task")
def test_kernel_interrupt_ends_a_task_only_when_it_may(manager: FaultyManager) -> None:
    started = manager.release_file()
    script = f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\nwhile True: time.sleep(0.01)"
    uid = manager.accepted("script_upload", script=script)["task_uid"]
    wait_until(started.exists, "start of the script")
    assert manager.refused("kernel_interrupt")["msg"] == (
        "Failed to interrupt IPython kernel: Not allowed to interrupt running task"
    )
    assert manager.refused("kernel_interrupt", interrupt_plan=True)["msg"].endswith("running task")
    manager.accepted("kernel_interrupt", interrupt_task=True)
    result = manager.task_result(uid)
    assert result["success"] is False
    assert "KeyboardInterrupt" in result["traceback"]


@pytest.mark.row("zmq-api", "kernel_interrupt: a plan")
def test_kernel_interrupt_pauses_a_plan_only_when_it_may(manager: FaultyManager) -> None:
    held = manager.start_holding()
    assert manager.refused("kernel_interrupt", interrupt_task=True)["msg"] == (
        "Failed to interrupt IPython kernel: Not allowed to interrupt running plan"
    )
    manager.accepted("kernel_interrupt", interrupt_plan=True)
    manager.wait_status(lambda s: s["manager_state"] == "paused")
    manager.accepted("re_resume")
    held.end()
    assert manager.history[-1]["result"]["exit_status"] == "completed"


@pytest.mark.row("zmq-api", "a paused plan that a person ends")
@pytest.mark.parametrize(
    ("code", "exit_status"),
    [("RE.abort()", "aborted"), ("RE.halt()", "aborted"), ("RE.resume()", "unknown"), ("RE.stop()", "unknown")],
)
def test_a_paused_plan_that_a_person_ends_is_at_the_front_again(
    manager: FaultyManager, console: KernelConsole, code: str, exit_status: str
) -> None:
    waiting = manager.fill(1)
    held = manager.start_holding()
    held.pause()
    held.release()
    console.type(code)
    status = manager.wait_idle()
    (entry,) = manager.history
    assert (entry["item_uid"], entry["result"]["exit_status"]) == (held.uid, exit_status)
    assert entry["result"]["msg"] == "The plan is completed outside RE Manager"
    first, *others = manager.queue_uids
    assert manager.queue[0]["name"] == "hold"
    assert first != held.uid
    assert others == waiting
    assert status["queue_autostart_enabled"] is False


@pytest.mark.row("zmq-api", "kernel_interrupt without an environment")
def test_without_an_environment_there_is_no_kernel(manager: FaultyManager) -> None:
    manager.accepted("manager_test", test_name="reserve_kernel")
    manager.close_environment()
    missing = "Worker environment does not exist"
    assert manager.refused("kernel_interrupt")["msg"] == f"Failed to interrupt IPython kernel: {missing}"
    assert manager.refused("manager_test", test_name="reserve_kernel")["msg"] == f"Error: {missing}"


def test_a_kernel_that_a_console_ends_takes_the_environment_with_it(manager: FaultyManager) -> None:
    console = KernelConsole(manager.accepted("config_get")["config"]["ip_connect_info"])
    console.start("quit()")
    status = manager.wait_status(lambda s: not s["worker_environment_exists"])
    assert status["environment_error"].startswith("The RE Worker environment was lost")
    console.close()


CHANNELS = ("shell", "iopub", "stdin", "hb", "control")


@pytest.mark.row("cli", "kernel options")
def test_ports_address_file_and_backend_are_those_of_the_settings(
    start_manager: Callable[..., ContractManager], tmp_path: Path
) -> None:
    numbers = dict(zip(CHANNELS, free_ports(len(CHANNELS)), strict=True))
    manager = start_manager(
        options=[
            "--use-ipython-kernel=ON",
            *(f"--ipython-{channel}-port={numbers[channel]}" for channel in CHANNELS[:3]),
            "--ipython-connection-file=kernel-of-tests.json",
            "--ipython-kernel-ip=auto",
            "--ipython-matplotlib=svg",
        ],
        environment={
            "QSERVER_IPYTHON_KERNEL_CONNECTION_DIR": str(tmp_path),
            **{f"QSERVER_IPYTHON_KERNEL_{channel.upper()}_PORT": str(numbers[channel]) for channel in CHANNELS[3:]},
        },
        startup_files=PROFILE,
    )
    manager.open_environment()
    info = manager.accepted("config_get")["config"]["ip_connect_info"]
    assert {channel: info[f"{channel}_port"] for channel in CHANNELS} == numbers
    assert info["ip"] == own_address()
    file = tmp_path / "kernel-of-tests.json"
    assert (file.stat().st_mode & 0o077, json.loads(file.read_text())["key"]) == (0, info["key"])
    console = KernelConsole(info)
    reply = console.type("import matplotlib; assert matplotlib.get_backend() == 'svg', matplotlib.get_backend()")
    assert reply["status"] == "ok", reply
    console.close()
    manager.stop()


@pytest.mark.row("plans-and-permissions", "IPython profile: a script or module after it")
@pytest.mark.parametrize("kind", ["script", "module", "nothing before"])
def test_a_script_or_module_goes_after_the_profile_in_the_same_namespace(
    start_manager: Callable[..., ContractManager], tmp_path: Path, kind: str
) -> None:
    startup = tmp_path / "profile_lab" / "startup"
    startup.mkdir(parents=True)
    if kind != "nothing before":
        (startup / "00-engine.ipy").write_text(SMALL["00-engine.py"] + "%env MADE_BY_A_PROFILE=yes\n")
    made = "RE" if kind == "script" else "None"
    after = f"import os\nseen = [os.environ.get('MADE_BY_A_PROFILE'), {made} is not None]\ndef own_plan():\n    yield\n"
    (tmp_path / "after_the_profile.py").write_text(after)
    source = f"--startup-script={tmp_path}/after_the_profile.py"
    if kind == "module":
        source = "--startup-module=after_the_profile"
    permissions = Path(SIMULATED_PROFILE) / "user_group_permissions.yaml"
    manager = start_manager(
        options=[
            *("--use-ipython-kernel=ON", "--startup-profile=lab", f"--ipython-dir={tmp_path}", source),
            f"--user-group-permissions={permissions}",
        ],
        environment={"PYTHONPATH": str(tmp_path)},
        startup_files=None,
    )
    status = manager.open_environment()
    assert status["re_state"] == (None if kind == "nothing before" else "idle")
    assert "own_plan" in manager.accepted("plans_existing")["plans_existing"]
    told = {"script": ["yes", True], "module": ["yes", False], "nothing before": [None, False]}[kind]
    assert manager.upload(f"assert seen == {told}, seen")["success"] is True
    manager.stop()


@pytest.mark.method("kernel_interrupt")
@pytest.mark.row("zmq-api", "kernel_interrupt without a kernel")
def test_without_a_kernel_there_is_nothing_to_interrupt(closed_manager: ContractClient) -> None:
    assert closed_manager.refused("kernel_interrupt")["msg"] == (
        "Failed to interrupt IPython kernel: RE Manager is not in IPython mode: IPython kernel is not used"
    )


@pytest.mark.method("config_get")
def test_without_a_kernel_there_is_nothing_to_connect_to(closed_manager: ContractClient) -> None:
    assert closed_manager.accepted("config_get")["config"] == {"ip_connect_info": {}}


@pytest.mark.row("cli", "qserver-console")
def test_qserver_console_opens_a_console_of_the_kernel(manager: FaultyManager) -> None:
    done = run_console(manager.control_address, "print('engine:', RE.state)\n")
    assert "engine: idle" in done.stdout, (done.returncode, done.stdout, done.stderr)
    manager.wait_status(lambda s: IDLE.items() <= s.items())


@pytest.mark.row("cli", "qserver-console: no kernel")
@pytest.mark.row("cli", "qserver-qtconsole: no kernel")
@pytest.mark.parametrize(("program", "name"), [("main", "qserver-console"), ("main_qt", "qserver-qtconsole")])
def test_consoles_say_that_there_is_no_kernel(closed_manager: ContractManager, program: str, name: str) -> None:
    done = run_console(closed_manager.control_address, program=program)
    assert done.returncode == 5
    assert done.stderr.startswith(f"{name}: The worker has no IPython kernel")


@pytest.mark.row("cli", "qserver-console: no answer")
def test_consoles_say_that_nobody_answers() -> None:
    done = run_console("tcp://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (
        3,
        "qserver-console: ZMQ communication error: timeout occurred\n",
    )
