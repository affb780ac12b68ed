"""Times of opening and closing, and the floor: the same startup code in a bare interpreter on the same node."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import BARE
from benchmarks.cluster.figures import CLOSE, OPEN
from benchmarks.samples import Samples, Side
from cluster_beamline import DEADLINE, Beamline
from cluster_of_tests import Kubectl, restricted_pod
from queueserver_common.cluster import COMPONENT_LABEL

PROFILE = "/opt/queueserver/sim_profile"
BARE_POD = "bare"
HOME = "/home/queueserver"

# Times a whole process, from its start to its end, as the worker's container starts one.
_TIME_A_PROCESS = """
import json, subprocess, sys, time
start = time.perf_counter()
subprocess.run([sys.executable, "-P", "-c", sys.stdin.read(), sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
print(json.dumps(time.perf_counter() - start))
"""


def start_bare_pod(cluster: Kubectl, image: str, node: str) -> None:
    """A pod with the worker's image that does nothing, on the node of the workers."""
    pod = restricted_pod(BARE_POD, image, ["sleep", "infinity"], writable=["/tmp", HOME], nodeName=node)
    cluster.apply(pod)
    cluster.wait("pod", BARE_POD, "condition=Ready", DEADLINE)


def measure_bare(cluster: Kubectl) -> float:
    """Seconds of an interpreter that imports bluesky and ophyd and runs the profile."""
    command = cluster.command("exec", "--stdin", BARE_POD, "--", "python", "-c", _TIME_A_PROCESS, PROFILE)
    load = (BARE / "load_profile.py").read_text()
    done = subprocess.run(command, input=load, capture_output=True, text=True, timeout=DEADLINE, check=True)
    return float(json.loads(done.stdout))


def measure_open(beamline: Beamline) -> float:
    """Seconds from the request to a status that says idle."""
    start = time.perf_counter()
    beamline.accepted("environment_open")
    status = beamline.wait_idle()
    seconds = time.perf_counter() - start
    if not status["worker_environment_exists"]:
        raise RuntimeError(status["environment_error"])
    return seconds


def measure_close(beamline: Beamline) -> float:
    """Seconds from the request until the API server has no such pod any more."""
    with _deletions(beamline.cluster) as deletions:
        start = time.perf_counter()
        beamline.accepted("environment_close")
        next(deletions)
        seconds = time.perf_counter() - start
    beamline.wait_closed()
    return seconds


def measure(beamline: Beamline, samples: Samples, rounds: int) -> None:
    """Measure in turns; the last environment stays open. The first opening makes the home volume and does not count."""
    node = _first_opening(beamline)
    start_bare_pod(beamline.cluster, beamline.images["worker"], node)
    measure_bare(beamline.cluster)
    for _ in range(rounds):
        samples.add(OPEN, Side.FLOOR, measure_bare(beamline.cluster))
        samples.add(OPEN, Side.OURS, measure_open(beamline))
        samples.add(CLOSE, Side.OURS, measure_close(beamline))
    measure_open(beamline)


def _first_opening(beamline: Beamline) -> str:
    measure_open(beamline)
    (pod,) = beamline.cluster.find("pods", f"{COMPONENT_LABEL}=worker")
    measure_close(beamline)
    return str(pod["spec"]["nodeName"])


@contextmanager
def _deletions(cluster: Kubectl) -> Iterator[Iterator[None]]:
    """Yields once for each worker pod that the API server deletes from now on."""
    words = ("get", "pods", "--selector", f"{COMPONENT_LABEL}=worker", "--watch", "--output-watch-events")
    process = subprocess.Popen(
        cluster.command(*words, "--output=jsonpath={.type}{'\\n'}"), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    lines = iter(process.stdout.readline, "")
    try:
        next(lines)  # what is there already: the watch has begun
        yield (None for line in lines if line.strip() == "DELETED")
    finally:
        process.kill()
        process.communicate()
