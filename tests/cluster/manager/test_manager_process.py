"""`start-re-manager` with the configuration of a pod, and a real worker that dials it; the test plays the cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
import zmq

from cluster_world import QUEUE_SERVER, Road, World
from ports import free_ports
from queueserver_common.cluster import environment_name
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_common.startup import StartupSource
from queueserver_worker.runtime.exit_codes import ExitCode
from running_manager import SIMULATED_PROFILE, RunningManager

DEADLINE = 30.0
COUNT = {"item_type": "plan", "name": "count", "args": [["det1"]]}
USER = {"user": "Tester", "user_group": "primary"}


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, f"timed out waiting for {what}"
        time.sleep(0.02)
    return found


class Pod:
    """A pod whose container is a process of this machine."""

    def __init__(self, manager: ClusterManager, name: str, uid: str, process: subprocess.Popen[bytes]) -> None:
        self._manager = manager
        self.name = name
        self.uid = uid
        self.process = process

    def wait_end(self) -> int:
        """Wait until the worker ends and let the kubelet say so."""
        code = self.process.wait(DEADLINE)
        message = self._manager.termination_message.read_text()
        self._manager.world.end_pod(self.name, code if code >= 0 else 128 - code, "Error", message)
        return code

    def delete(self) -> None:
        """`kubectl delete pod`, and what the garbage collector does."""
        self._manager.world.delete_pod(self.name)
        self.process.send_signal(signal.SIGTERM)


class ClusterManager(RunningManager):
    """A manager as it runs in its pod."""

    def __init__(self, world: World, road: Road) -> None:
        super().__init__(
            environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(road.port)}
        )
        self.world = world
        self.termination_message = self.directory / "termination-log"
        self._pods: list[Pod] = []
        link, self.health_port = free_ports(2)
        self._link_address = f"tcp://127.0.0.1:{link}"
        self._link_public, link_secret = zmq.curve_keypair()
        worker_public, worker_secret = zmq.curve_keypair()
        self._keys = self.directory / "keys"
        self._keys.mkdir()
        for name, key in (("link", link_secret), ("worker_public", worker_public), ("worker", worker_secret)):
            (self._keys / name).write_bytes(key)
        config = {
            "service": {"on_terminate": "LEAVE"},
            "kubernetes": {
                "queue_server": QUEUE_SERVER,
                "namespace": world.namespace,
                "link_addr": self._link_address,
                "health_addr": f"127.0.0.1:{self.health_port}",
                "opening_deadline": 60,
                "close_grace": 30,
                "destroy_grace": 3,
                "link_key_file": str(self._keys / "link"),
                "link_worker_public_key_file": str(self._keys / "worker_public"),
                "token_dir": str(world.token_dir),
            },
        }
        self.config = self.directory / "config.yml"
        self.config.write_text(yaml.safe_dump(config))

    def command(self) -> list[str]:
        return [*super().command(), f"--config={self.config}"]

    def environment(self) -> str:
        """Name of the WorkerEnvironment that has no pod yet, once there is one."""
        used = {pod.name for pod in self._pods}
        name: str = wait_for(lambda: next(iter(self.world.environments().keys() - used), ""), "a WorkerEnvironment")
        return name

    def run_pod(self, name: str = "", startup: Path = SIMULATED_PROFILE, **changes: Any) -> Pod:
        """What operator, scheduler and kubelet do for a WorkerEnvironment."""
        name = name or self.environment()
        opening_id = self.world.environments()[name]["spec"]["openingId"]
        self.termination_message.write_bytes(b"")
        config = WorkerConfig(
            link_address=self._link_address,
            opening_id=opening_id,
            token="",
            startup=StartupSource("directory", str(startup)),
            spool_dir=str(self.directory / "spool-of-pod"),
            orphan_timeout=0.0,
            busy_orphan_timeout=0.0,
            link_server_public_key=self._link_public.decode(),
            link_key_file=str(self._keys / "worker"),
            termination_message=str(self.termination_message),
            **changes,
        )
        file = self.directory / f"{name}.json"
        file.write_text(config.to_json())
        uid = self.world.make_pod(name)
        self.world.place_pod(name)
        with (self.directory / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "queueserver_worker", "--config", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment | {"POD_UID": uid},
                start_new_session=True,
            )
        self._pods.append(Pod(self, name, uid, process))
        self.world.run_pod(name)
        return self._pods[-1]

    def open(self, **changes: Any) -> Pod:
        """An open environment."""
        self.accepted("environment_open")
        pod = self.run_pod(**changes)
        self.wait_status(lambda status: status["worker_environment_exists"], DEADLINE)
        return pod

    def start_plan(self, num: int = 1000, delay: float = 0.05) -> str:
        """A plan that runs; returns its uid."""
        item = COUNT | {"kwargs": {"num": num, "delay": delay}}
        uid: str = self.accepted("queue_item_add", {"item": item} | USER)["item"]["item_uid"]
        self.accepted("queue_start")
        self.wait_status(lambda status: status["re_state"] == "running")
        return uid

    def last_result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.call("history_get")["items"][-1]["result"]
        return result

    def forget_everything(self) -> None:
        """The store loses all its data, as when its volume is replaced."""
        self.kill(self.redis_pid)
        shutil.rmtree(self.data_dir)

    def health(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode().strip()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode().strip()

    def close(self) -> None:
        for pod in self._pods:
            pod.process.kill()
            pod.process.wait()
        super().close()


@pytest.fixture
def manager(world: World, road: Road) -> Iterator[ClusterManager]:
    manager = ClusterManager(world, road)
    try:
        manager.start()
        yield manager
        manager.kill(manager.supervisor_pid, signal.SIGTERM)
        manager.wait_end()
    finally:
        manager.close()


def wait_closed(manager: ClusterManager) -> dict[str, Any]:
    return manager.wait_status(
        lambda status: status["manager_state"] == "idle" and status["worker_environment_state"] == "closed", DEADLINE
    )


def test_an_environment_is_opened_runs_a_plan_and_is_closed(manager: ClusterManager) -> None:
    pod = manager.open()
    manager.start_plan(num=2)
    manager.wait_status(lambda status: status["items_in_history"] == 1)
    assert manager.last_result()["exit_status"] == "completed"
    manager.accepted("environment_close")
    assert pod.wait_end() == 0
    assert wait_closed(manager)["environment_error"] == ""
    wait_for(lambda: not manager.world.environments(), "the WorkerEnvironment to be deleted")


def test_a_worker_with_another_key_is_not_admitted(manager: ClusterManager) -> None:
    manager.accepted("environment_open")
    name = manager.environment()
    (manager._keys / "worker").write_bytes(zmq.curve_keypair()[1])
    pod = manager.run_pod(name)
    wait_for(lambda: "its key is not the worker's" in manager.log_text, "the refusal")
    assert not manager.status()["worker_environment_exists"]
    manager.accepted("environment_destroy")
    wait_for(lambda: not manager.world.environments(), "the deletion")
    pod.process.kill()
    pod.wait_end()
    wait_closed(manager)


def test_permissions_come_from_the_worker_when_the_manager_has_none(manager: ClusterManager, tmp_path: Path) -> None:
    assert manager.call("permissions_get")["user_group_permissions"] == {}
    for file in SIMULATED_PROFILE.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    pod = manager.open(startup=tmp_path)
    reported = manager.call("permissions_get")["user_group_permissions"]
    assert reported == yaml.safe_load((tmp_path / "user_group_permissions.yaml").read_text())
    manager.accepted("environment_close")
    pod.wait_end()
    wait_closed(manager)
    changed = reported | {"user_groups": {name: reported["user_groups"][name] for name in ("root", "primary")}}
    (tmp_path / "user_group_permissions.yaml").write_text(yaml.safe_dump(changed))
    manager.open(startup=tmp_path)
    manager.wait_status(lambda _: manager.call("permissions_get")["user_group_permissions"] == changed)


def test_a_killed_worker_is_told_and_its_item_is_in_the_history_and_at_the_front(manager: ClusterManager) -> None:
    pod = manager.open()
    uid = manager.start_plan()
    pod.process.kill()
    pod.wait_end()
    status = wait_closed(manager)
    cause = "the worker's container was killed by SIGKILL (exit code 137)"
    assert cause in status["environment_error"]
    assert (manager.last_result()["exit_status"], status["items_in_queue"]) == ("failed", 1)
    assert cause in manager.last_result()["msg"]
    assert manager.call("history_get")["items"][-1]["item_uid"] == uid
    assert pod.name in manager.world.environments(), "it stays for its log"


def test_a_deleted_pod_aborts_the_plan_and_the_history_tells_why(manager: ClusterManager) -> None:
    pod = manager.open()
    manager.start_plan()
    pod.delete()
    assert pod.wait_end() == ExitCode.TERMINATED
    wait_closed(manager)
    result = manager.last_result()
    assert result["exit_status"] == "failed"
    assert result["msg"] == "The RE Worker environment was lost: the worker's pod was deleted; plan aborted cleanly."


def test_destroy_reaches_the_worker_without_the_api_server_and_ends_when_the_end_is_proved(
    manager: ClusterManager, road: Road
) -> None:
    pod = manager.open()
    manager.start_plan()
    road.cut()
    manager.accepted("environment_destroy")
    assert pod.process.wait(DEADLINE) == 0
    assert manager.status()["manager_state"] == "destroying_environment"
    road.mend()
    pod.wait_end()
    wait_closed(manager)
    assert "plan aborted cleanly" in manager.last_result()["msg"]


def test_who_deletes_the_environment_destroys_it(manager: ClusterManager) -> None:
    pod = manager.open()
    manager.start_plan()
    manager.world.delete_environment(pod.name)
    manager.wait_status(lambda status: status["manager_state"] == "destroying_environment")
    assert pod.wait_end() == 0
    wait_closed(manager)
    assert manager.last_result()["msg"].startswith("RE Worker environment was destroyed; plan aborted cleanly")


def test_the_queue_goes_on_without_the_api_server(manager: ClusterManager, road: Road) -> None:
    manager.open()
    road.cut()
    for _ in range(3):
        manager.accepted("queue_item_add", {"item": COUNT} | USER)
    manager.accepted("queue_start")
    manager.wait_status(lambda status: status["items_in_history"] == 3)
    assert manager.status()["worker_link"] == "attached"
    road.mend()


def test_who_applies_an_environment_opens_it(manager: ClusterManager) -> None:
    name = manager.world.apply_environment("0123456789abcdef")
    assert name == environment_name(QUEUE_SERVER, "0123456789abcdef")
    manager.wait_status(lambda status: status["manager_state"] == "creating_environment")
    manager.run_pod(name)
    manager.wait_status(lambda status: status["worker_environment_exists"], DEADLINE)


# The next manager --------------------------------------------------------------------------------------------------


def test_the_worker_waits_for_the_next_manager_also_when_it_is_idle(manager: ClusterManager) -> None:
    pod = manager.open()
    manager.kill(manager.supervisor_pid, signal.SIGTERM)
    manager.wait_end()
    assert pod.process.poll() is None
    manager.start()
    status = manager.wait_status(lambda status: status["worker_link"] == "attached", DEADLINE)
    assert status["worker_environment_exists"]


def test_a_plan_goes_on_while_the_manager_is_away_and_its_end_is_taken(manager: ClusterManager) -> None:
    manager.open()
    manager.start_plan(num=10, delay=0.2)
    manager.kill(manager.supervisor_pid)
    manager.wait_end()
    manager.start()
    manager.wait_status(lambda status: status["items_in_history"] == 1, DEADLINE)
    assert manager.last_result()["exit_status"] == "completed"


def test_an_end_that_nobody_heard_of_is_taken_from_the_pod(manager: ClusterManager) -> None:
    pod = manager.open()
    manager.start_plan(num=2, delay=0.5)
    manager.kill(manager.supervisor_pid)
    manager.wait_end()
    wait_for(lambda: manager.termination_message.read_bytes(), "the end of the plan")
    pod.process.kill()
    pod.wait_end()
    manager.start()
    wait_closed(manager)
    assert manager.last_result()["exit_status"] == "completed"
    assert manager.status()["items_in_queue"] == 0


def test_a_worker_that_the_store_does_not_know_is_taken_over_with_its_plan(manager: ClusterManager) -> None:
    manager.open()
    uid = manager.start_plan(num=200, delay=0.05)
    manager.kill(manager.supervisor_pid)
    manager.wait_end()
    manager.forget_everything()
    manager.start()
    status = manager.wait_status(lambda status: status["worker_link"] == "attached", DEADLINE)
    assert (status["worker_environment_exists"], status["running_item_uid"]) == (True, uid)
    manager.wait_status(lambda status: status["items_in_history"] == 1, DEADLINE)
    assert manager.last_result()["exit_status"] == "completed"


# What others see ------------------------------------------------------------------------------------------------------


def test_the_queue_server_shows_queue_and_state(manager: ClusterManager) -> None:
    def shown() -> dict[str, Any]:
        return manager.world.queue_server_status()

    wait_for(lambda: shown().get("state", {}).get("manager") == "idle", "the first status")
    assert shown()["queue"] == {"items": 0, "running": "", "runningUid": "", "lastExitStatus": ""}
    pod = manager.open()
    wait_for(lambda: shown()["state"]["link"] == "connected", "the connection")
    assert shown()["state"]["environmentName"] == pod.name
    uid = manager.start_plan(num=3, delay=2)
    wait_for(lambda: shown()["queue"]["runningUid"] == uid, "the item in hand")
    assert shown()["queue"]["running"] == "count"
    wait_for(lambda: shown()["queue"]["lastExitStatus"] == "completed", "its end")
    version = manager.world.server.http.get(f"{manager.world.resources}/queueservers/{QUEUE_SERVER}").json()[
        "metadata"
    ]["resourceVersion"]
    time.sleep(7)  # longer than the time between two writes
    after = manager.world.server.http.get(f"{manager.world.resources}/queueservers/{QUEUE_SERVER}").json()
    assert after["metadata"]["resourceVersion"] == version, "an idle manager writes nothing"


def test_health_tells_the_truth(manager: ClusterManager) -> None:
    assert manager.health("/healthz") == (200, "ok")
    assert manager.health("/readyz") == (200, "ok")
    assert manager.health("/metrics")[0] == 404
    os.kill(manager.redis_pid, signal.SIGSTOP)
    wait_for(lambda: manager.health("/readyz")[0] == 503, "readiness to tell that Redis is away")
    status, text = manager.health("/healthz")
    assert (status, text.split(":")[0]) == (200, "The store is away")
    os.kill(manager.redis_pid, signal.SIGCONT)
    wait_for(lambda: manager.health("/readyz") == (200, "ok"), "readiness")


def test_no_secret_is_logged(manager: ClusterManager) -> None:
    manager.open()
    log = manager.log_text + (manager.directory / "worker.log").read_text()
    for name in ("link", "worker"):
        assert (manager._keys / name).read_text() not in log
    assert (manager.world.token_dir / "token").read_text() not in log
    assert json.dumps(manager.status())
