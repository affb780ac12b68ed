"""Resident memory of containers: the sum over their processes, as the system shows it."""

from __future__ import annotations

from benchmarks.cluster.figures import MEMORY
from benchmarks.samples import Samples, Side
from cluster_beamline import Beamline
from cluster_of_tests import Kubectl
from helm_release import OPERATOR_DEPLOYMENT, OPERATOR_NAMESPACE

# Runs in the container. Leaves itself out; pages that processes share count for each of them.
_RESIDENT = """
import os, pathlib
total = 0
for entry in pathlib.Path("/proc").iterdir():
    if entry.name.isdigit() and int(entry.name) != os.getpid():
        try:
            lines = (entry / "status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
print(total / 1024)
"""


def measure(beamline: Beamline, samples: Samples) -> None:
    """Measure while an environment is open and idle."""
    cluster = beamline.cluster
    for container, pod in (("manager", beamline.manager_pod), ("redis", beamline.manager_pod)):
        samples.add(f"{MEMORY}{container}", Side.OURS, resident(cluster, pod, container))
    samples.add(f"{MEMORY}worker", Side.OURS, resident(cluster, beamline.environment, "worker"))
    operator = cluster.within(OPERATOR_NAMESPACE)
    samples.add(f"{MEMORY}operator", Side.OURS, resident(operator, f"deployment/{OPERATOR_DEPLOYMENT}", "operator"))


def resident(cluster: Kubectl, pod: str, container: str) -> float:
    """Megabytes of all processes of a container."""
    return float(cluster.run_in(pod, "python3", "-c", _RESIDENT, container=container))
