"""What the fault tests in the cluster share: the operator that goes and comes, ends of worker and manager, the lock."""

from __future__ import annotations

from cluster_beamline import Beamline
from helm_release import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE, Releases
from queueserver_operator.names import lease

KILL_WORKER = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    command = open(f"/proc/{pid}/cmdline").read()
    if pid not in ("1", str(os.getpid())) and "queueserver_worker" in command:
        os.kill(int(pid), signal.SIGKILL)
"""
"""Runs in the worker's container: kills the process that has the RunEngine, not the container's first one."""


class OperatorSwitch:
    """Takes the operator of the cluster away and brings it back."""

    def __init__(self, releases: Releases) -> None:
        self._cluster = releases.cluster.within(OPERATOR_NAMESPACE)

    def _scale(self, replicas: int) -> None:
        self._cluster("scale", f"deployment/{OPERATOR_DEPLOYMENT}", f"--replicas={replicas}")

    def leave(self) -> None:
        """Return when no process of the operator is left."""
        self._scale(0)
        pods = ("pod", "--selector=app.kubernetes.io/name=queueserver-operator")
        self._cluster("wait", *pods, "--for=delete", "--timeout=90s", seconds=100)

    def come_back(self) -> None:
        """Return when it is ready."""
        self._scale(1)
        deployment = f"deployment/{OPERATOR_DEPLOYMENT}"
        self._cluster("rollout", "status", deployment, "--timeout=120s", seconds=130)


def holder(beamline: Beamline, instrument: str = "") -> str:
    """Who holds the lock of the beamline's own instrument, or of another; empty when nobody does."""
    name = lease(instrument or f"{beamline.cluster.namespace}/{beamline.name}")
    found = beamline.cluster.within(OPERATOR_NAMESPACE).get("lease", name)
    return str(found["spec"].get("holderIdentity") or "") if found else ""


def identity_of_pod(beamline: Beamline) -> str:
    """The uid of the manager's pod; empty while there is none."""
    pod = beamline.cluster.get("pod", beamline.manager_pod)
    return str(pod["metadata"]["uid"]) if pod else ""
