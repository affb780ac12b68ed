"""A QueueServer in the cluster, and a client in a pod beside it that talks 0MQ to the manager.

    beamline.start()
    beamline.open_environment()
    beamline.add_plan("hold")
    beamline.accepted("queue_start")
    beamline.wait_status(lambda status: status["manager_state"] == "executing_queue", "the plan runs")

The client pod gets its addresses and keys by one line, `envFrom` of the client Secret. It stays connected while the
manager is away, and needs no port of the machine that the tests run on. All waits have a deadline.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cluster_of_tests import Kubectl, restricted_pod
from deadline import wait_until
from queueserver_common.cluster import API_VERSION
from queueserver_operator.names import client_secret, manager_pod

Status = dict[str, Any]

DEADLINE = 90.0
"""Seconds that a step may take on a machine with much to do."""
NOTICED = 3.0 * 3
"""Seconds until what has ended is told, and until a new manager answers: three on a machine that has time for it."""
ANSWER = 30.0
"""Seconds that the client waits for the reply to a request."""

USER = {"user": "Tester", "user_group": "primary"}

_PROFILE = Path(__file__).with_name("beamline_profile.py")
_PERMISSIONS = Path(__file__).resolve().parents[2] / "sim_profile" / "user_group_permissions.yaml"

_RELAY = """
import json, os, sys, zmq
context, request = zmq.Context(), None
for line in sys.stdin:
    message, seconds = json.loads(line)
    if request is None:
        request = context.socket(zmq.REQ)
        request.linger = 0
        # As a client should in a cluster: what it sends to the address of a pod that is gone is never refused.
        request.connect_timeout, request.heartbeat_ivl, request.heartbeat_timeout = 1000, 1000, 3000
        request.curve_publickey, request.curve_secretkey = zmq.curve_keypair()
        request.curve_serverkey = os.environ["QSERVER_ZMQ_PUBLIC_KEY"].encode()
        request.connect(os.environ["QSERVER_ZMQ_CONTROL_ADDRESS"])
    request.send_json(message)
    reply = None
    if request.poll(seconds * 1000):
        reply = request.recv_json()
    else:
        request.close()
        request = None
    print(json.dumps(reply), flush=True)
"""
"""Runs in the client pod: a request per line in, a reply per line out; null when there is none in time."""


def since_epoch(time_of_kubernetes: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(time_of_kubernetes).timestamp()


class NoAnswer(AssertionError):
    """The manager did not answer a request in time."""


class Beamline:
    """A QueueServer with the startup code of `beamline_profile`, or another specification, and its client."""

    def __init__(self, cluster: Kubectl, images: dict[str, str], name: str = "beamline") -> None:
        """`cluster`: kubectl for the namespace in which the QueueServer is to be."""
        self.cluster = cluster
        self.name = name
        self.images = images
        self.client = f"{name}-client"
        self.manager_pod = manager_pod(name)
        self._relay: subprocess.Popen[str] | None = None
        self._base: dict[str, Any] = {}
        self._old_diary = False
        self.reusable = True
        """That `reset` can bring it back: no more was changed than the environment."""

    # Life -------------------------------------------------------------------------------------------------------

    def apply(self, **spec: Any) -> None:
        """Apply the QueueServer; what `spec` names replaces the field of the same name."""
        self.reusable = self.reusable and spec.keys() <= {"environment"}
        self._apply(**spec)

    def _apply(self, **spec: Any) -> None:
        profile = f"{self.name}-profile"
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": profile},
                "data": {path.name: path.read_text() for path in (_PROFILE, _PERMISSIONS)},
            },
            {
                "apiVersion": API_VERSION,
                "kind": "QueueServer",
                "metadata": {"name": self.name},
                "spec": {"environment": {"profile": {"configMap": {"name": profile}}}, **spec},
            },
        )

    def change(self, **environment: Any) -> None:
        """Change the environment, and wait until the operator knows it: the next opening is made of it."""
        self._apply(**{**self._base, "environment": self.environment_with(**environment)})
        self.wait_observed()
        if not self.environments():
            self.wait_manager_replaced()

    def wait_observed(self) -> None:
        """Wait until the operator knows the specification as it is now."""

        def observed() -> bool:
            found = self.cluster.get("queueserver", self.name) or {}
            return bool(found) and found["status"]["observedGeneration"] >= found["metadata"]["generation"]

        wait_until(observed, "the operator has seen the specification", DEADLINE)

    def wait_manager_replaced(self) -> None:
        """Wait until the manager that runs is the one that the specification asks for: another loses requests."""

        def replaced() -> bool:
            stateful_set = self.cluster.get("statefulset", self.manager_pod.removesuffix("-0"))
            pod = self.cluster.get("pod", self.manager_pod)
            if stateful_set is None or pod is None or "deletionTimestamp" in pod["metadata"]:
                return False
            state = stateful_set["status"]
            return bool(
                state["observedGeneration"] >= stateful_set["metadata"]["generation"]
                and state["updateRevision"] == pod["metadata"]["labels"]["controller-revision-hash"]
                and all(one["ready"] for one in pod["status"].get("containerStatuses", [{"ready": False}]))
            )

        wait_until(replaced, "the manager is the one that was asked for", 2 * DEADLINE)

    def environment_with(self, **fields: Any) -> dict[str, Any]:
        """The field `environment` of the specification with more in it."""
        return {"profile": {"configMap": {"name": f"{self.name}-profile"}}, **fields}

    def start(self, *, client: dict[str, Any] | None = None, **spec: Any) -> Self:
        """Apply the QueueServer and its client, and wait until both are ready. `client`: more of its pod's spec."""
        self._base = spec
        self._apply(**spec)
        self.start_client(**client or {})
        self.wait_ready()
        return self

    def start_client(self, **spec: Any) -> None:
        """Make the client pod, with more of its spec when given, and wait until it runs."""
        self.cluster.wait("secret", client_secret(self.name), "create", DEADLINE)
        pod = restricted_pod(self.client, self.images["client"], writable=["/tmp", "/home/queueserver"], **spec)
        pod["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": client_secret(self.name)}}]
        self.cluster.apply(pod)
        self.cluster.wait("pod", self.client, "condition=Ready", DEADLINE)

    def wait_ready(self, seconds: float = 2 * DEADLINE) -> None:
        """Wait until the QueueServer says that it is ready."""
        self.cluster.wait("queueserver", self.name, "condition=Ready", seconds)

    def reset(self) -> None:
        """Bring it back to what `start` made of it, for the next test: nothing of the last one is left."""
        self._apply(**self._base)
        if self.status()["worker_environment_exists"]:
            self.accepted("environment_destroy")
        self.wait_closed()
        self.cluster("delete", "workerenvironments", "--all", "--wait=false")
        self.accepted("queue_autostart", {"enable": False})
        for method in ("queue_clear", "history_clear"):
            self.accepted(method)
        wait_until(lambda: not self.environments(), "no environment is left", DEADLINE)
        self.cluster("delete", "events", "--all")
        self.wait_observed()
        self.wait_manager_replaced()
        self.wait_ready()
        self._old_diary = True

    def disconnect(self) -> None:
        """End what runs in the client pod for this object."""
        if self._relay is not None:
            self._relay.kill()
            self._relay.communicate()
            self._relay = None

    # Requests ---------------------------------------------------------------------------------------------------

    def call(self, method: str, params: dict[str, Any] | None = None, seconds: float = ANSWER) -> Any:
        """The reply to a request; raises `NoAnswer`."""
        if self._relay is None or self._relay.poll() is not None:
            self.disconnect()
            command = self.cluster.command("exec", "--stdin", self.client, "--", "python", "-u", "-c", _RELAY)
            self._relay = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._relay.stdin is not None
        assert self._relay.stdout is not None
        self._relay.stdin.write(json.dumps([{"method": method, "params": params or {}}, seconds]) + "\n")
        self._relay.stdin.flush()
        line = ""
        if select.select([self._relay.stdout], [], [], seconds + ANSWER)[0]:
            line = self._relay.stdout.readline()
        if not line:
            self.disconnect()
        reply = json.loads(line or "null")
        if reply is None:
            raise NoAnswer(f"no answer to {method} within {seconds:g} s")
        return reply

    def accepted(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """The reply to a request that must succeed."""
        reply = self.call(method, params)
        assert reply["success"] is True, f"{method}: {reply}"
        return reply

    def refused(self, method: str, params: dict[str, Any] | None = None) -> str:
        """What a request that must not succeed is answered."""
        reply = self.call(method, params)
        assert reply["success"] is False, f"{method}: {reply}"
        return str(reply["msg"])

    def status(self) -> Status:
        """The status as the manager answers it."""
        return dict(self.call("status"))

    def wait_status(self, condition: Callable[[Status], object], what: str, seconds: float = DEADLINE) -> Status:
        """The first status that fulfils the condition; the manager may be away meanwhile."""
        end = time.monotonic() + seconds
        status: Status | None = None
        while status is None or not condition(status):
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}; the last status is {status}"
            try:
                status = self.call("status", seconds=2)
            except NoAnswer:
                continue
            time.sleep(0.05)
        return status

    # Common steps -----------------------------------------------------------------------------------------------

    def open_environment(self) -> Status:
        """Open the environment and wait until it is open."""
        self.accepted("environment_open")
        status = self.wait_idle()
        assert status["worker_environment_exists"], status["environment_error"]
        if self._old_diary:
            self.in_worker("sh", "-c", "rm -f ~/diary")
            self._old_diary = False
        return status

    def close_environment(self) -> Status:
        """Close the environment and wait until it is closed."""
        self.accepted("environment_close")
        return self.wait_closed()

    def wait_idle(self) -> Status:
        """The status when the manager has come to rest."""
        return self.wait_status(lambda status: status["manager_state"] == "idle", "the manager is idle")

    def wait_closed(self) -> Status:
        """The status when the manager has come to rest without an environment."""
        return self.wait_status(
            lambda status: status["manager_state"] == "idle" and not status["worker_environment_exists"],
            "no environment is open",
        )

    def add_plan(self, name: str, *args: Any, **kwargs: Any) -> str:
        """Put a plan at the end of the queue; returns the uid of the item."""
        item = {"item_type": "plan", "name": name, "args": args, "kwargs": kwargs}
        return str(self.accepted("queue_item_add", {"item": item, **USER})["item"]["item_uid"])

    def run_held_plan(self, *following: str) -> str:
        """Start a queue of one plan that holds, and marks after it; returns the item's uid when it runs."""
        uid = self.add_plan("hold")
        for name in following:
            self.add_plan("mark", name)
        self.accepted("queue_start")
        self.wait_status(lambda status: status["re_state"] == "running", "the RunEngine runs")
        wait_until(lambda: "plan started" in self.diary(), "the plan runs", DEADLINE)
        return uid

    def let_go(self, name: str = "plan") -> None:
        """Let a plan that holds come to its end."""
        self.in_worker("touch", f"/tmp/{name}")

    def queue(self) -> list[dict[str, Any]]:
        """The items of the queue, from the front."""
        return list(self.accepted("queue_get")["items"])

    def history(self) -> list[dict[str, Any]]:
        """The items of the history, oldest first."""
        return list(self.accepted("history_get")["items"])

    def wait_history(self, items: int, seconds: float = DEADLINE) -> list[dict[str, Any]]:
        """The history when it has so many items."""
        self.wait_status(lambda status: status["items_in_history"] >= items, f"{items} items in history", seconds)
        return self.history()

    # In the cluster ---------------------------------------------------------------------------------------------

    def environments(self) -> list[dict[str, Any]]:
        """The WorkerEnvironments of the namespace."""
        return self.cluster.find("workerenvironments")

    @property
    def environment(self) -> str:
        """Name of the only WorkerEnvironment, which is that of its pod too."""
        (environment,) = self.environments()
        return str(environment["metadata"]["name"])

    def in_worker(self, *command: str) -> str:
        """Run a program in the worker's pod and return what it printed."""
        return self.cluster.run_in(self.environment, *command)

    def diary(self) -> list[str]:
        """What the plans have noted in the worker's home, through all openings; needs an open environment."""
        return self.in_worker("sh", "-c", "cat ~/diary 2>/dev/null || true").splitlines()

    def condition(self, kind: str, name: str, condition: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition; three empty texts when the object has none of that type."""
        found = (self.cluster.get(kind, name) or {}).get("status", {}).get("conditions", [])
        for one in found:
            if one["type"] == condition:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def ended_at(self, pod: str, container: str) -> float:
        """Time at which a container ended, in whole seconds since the epoch; 0.0 when nobody knows it any more."""
        return self._time_of(pod, container, "terminated", "finishedAt")

    def started_at(self, pod: str, container: str) -> float:
        """Time at which the container that runs now was started, in whole seconds since the epoch."""
        return self._time_of(pod, container, "running", "startedAt")

    def _time_of(self, pod: str, container: str, state: str, moment: str) -> float:
        found = self.cluster.get("pod", pod) or {"status": {}}
        for one in found["status"].get("containerStatuses", []):
            # A kubelet that finds no container any more says that it terminated, and no time.
            if one["name"] == container and (found_time := one["state"].get(state, {}).get(moment)):
                return since_epoch(found_time)
        return 0.0

    def told_at(self, environment: str, condition: str) -> float:
        """Time at which a condition of a WorkerEnvironment changed last, in whole seconds since the epoch."""
        found = self.cluster.get("workerenvironment", environment) or {"status": {}}
        times = [one["lastTransitionTime"] for one in found["status"]["conditions"] if one["type"] == condition]
        return since_epoch(times[0])

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reasons and messages of the events about a WorkerEnvironment."""
        about = {"kind": "WorkerEnvironment", "name": name}
        found = self.cluster.find("events")
        return [(one["reason"], one["message"]) for one in found if about.items() <= one["involvedObject"].items()]

    def explain(self) -> str:
        """What there is to see of this QueueServer, for the message of a test that fails."""
        seen = [
            self.cluster("get", "queueservers,workerenvironments,pods,leases", "--output", "wide", check=False),
            self.cluster("get", "events", "--sort-by=.lastTimestamp", check=False)[-4000:],
            self.cluster("logs", self.manager_pod, "--container=manager", "--tail=15", check=False),
        ]
        return "\n".join(seen)
