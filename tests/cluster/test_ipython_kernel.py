"""A worker's pod with an IPython kernel: startup code with magics, consoles through forwarded ports, interrupts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from console_of_kernel import FILES, IDLE, SEEN_IN_A_KERNEL, KernelConsole, run_console
from contract_manager import COUNT
from faulty_manager import PROFILE
from manager_in_cluster import ManagerInCluster, manager_in_cluster
from port_forward import PortForward

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]

PLANS = {"05-plans.py": "from bluesky.plans import count\nfrom ophyd.sim import det\n"}

REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"


@pytest.fixture(scope="module")
def open_manager() -> Iterator[ManagerInCluster]:
    with manager_in_cluster(PROFILE | PLANS | FILES, ipythonKernel=True) as manager:
        manager.open_environment()
        yield manager


@pytest.fixture
def manager(open_manager: ManagerInCluster) -> ManagerInCluster:
    """Idle, with an open environment in a kernel that is idle."""
    open_manager.reset(environment=True)
    open_manager.wait_status(lambda status: IDLE.items() <= status.items())
    return open_manager


@pytest.fixture
def info(manager: ManagerInCluster) -> Iterator[dict[str, Any]]:
    """What `config_get` tells, while the kernel's ports are forwarded under the same numbers."""
    told: dict[str, Any] = manager.accepted("config_get")["config"]["ip_connect_info"]
    ports = [number for name, number in told.items() if name.endswith("_port")]
    forward = PortForward(manager.cluster, f"pod/{manager.worker_pod}", {port: port for port in ports})
    yield told
    forward.end()


@pytest.fixture
def console(info: dict[str, Any]) -> Iterator[KernelConsole]:
    console = KernelConsole(info)
    yield console
    console.close()


def test_magics_load_and_plans_and_functions_run(manager: ManagerInCluster):
    assert manager.run(COUNT)["items_in_history"] == 1
    assert manager.history[0]["result"]["exit_status"] == "completed"
    result = manager.execute("func_for_test_shell")
    assert result["return_value"] == SEEN_IN_A_KERNEL, result


def test_a_console_sees_the_namespace_through_forwarded_ports(manager: ManagerInCluster, console: KernelConsole):
    assert console.type("assert RE.state == 'idle'; typed = 5")["status"] == "ok"
    assert manager.upload("assert typed == 5")["success"] is True
    assert console.type("1/0")["ename"] == "ZeroDivisionError"
    assert manager.run(COUNT)["items_in_history"] == 1


def test_qserver_console_connects_as_the_page_says(manager: ManagerInCluster, info: dict[str, Any]):
    variables = {"QSERVER_ZMQ_PUBLIC_KEY": manager.public_key}
    done = run_console(manager.control_address, "print('engine:', RE.state)\n", **variables)
    assert "engine: idle" in done.stdout, (done.returncode, done.stdout, done.stderr)
    manager.wait_status(lambda status: IDLE.items() <= status.items())


def test_kernel_interrupt_ends_what_a_person_runs_and_leaves_plans(manager: ManagerInCluster, console: KernelConsole):
    uid = console.start("import time\nwhile True: time.sleep(0.01)")
    manager.wait_status(lambda status: status["ip_kernel_state"] == "busy")
    manager.accepted("kernel_interrupt")
    assert console.reply(uid)["ename"] == "KeyboardInterrupt"
    held = manager.start_holding()
    assert "Not allowed to interrupt running plan" in manager.refused("kernel_interrupt")["msg"]
    manager.accepted("kernel_interrupt", interrupt_plan=True)
    manager.wait_status(lambda status: status["manager_state"] == "paused")
    manager.accepted("re_resume")
    held.end()
    assert manager.history[-1]["result"]["exit_status"] == "completed"


def test_nothing_but_the_pod_itself_reaches_the_kernel(manager: ManagerInCluster, info: dict[str, Any]):
    pod = manager.cluster.get("pod", manager.worker_pod)
    assert pod
    port = str(info["shell_port"])
    manager.in_worker("python", "-c", REACH, info["ip"], port)
    with pytest.raises(AssertionError, match="ConnectionRefusedError"):
        manager.in_worker("python", "-c", REACH, pod["status"]["podIP"], port)


def test_with_the_environment_the_kernel_is_gone(manager: ManagerInCluster):
    status = manager.close_environment()
    assert (status["ip_kernel_state"], status["ip_kernel_captured"]) == (None, None)
    assert manager.accepted("config_get")["config"] == {"ip_connect_info": {}}
