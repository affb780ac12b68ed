"""How soon the end of a worker is told, and how soon another manager answers, each in a plan."""

from __future__ import annotations

import time

from benchmarks.cluster.figures import ANOTHER_MANAGER, END_IN_CONDITION, END_IN_STATUS, MANAGER_ANSWERS
from benchmarks.samples import Samples, Side
from cluster_beamline import DEADLINE, Beamline, NoAnswer
from deadline import wait_until
from faults_of_cluster import KILL_WORKER, identity_of_pod

ATTEMPT = 0.5
"""Seconds that a request waits for a manager that may not be there; so much too long a figure can be."""

# Runs in a container. Kubernetes tells the start of one in whole seconds only.
_AGE_OF_CONTAINER = """
import os, pathlib, time
started = int(pathlib.Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
print(time.clock_gettime(time.CLOCK_BOOTTIME) - started)
"""


def measure(beamline: Beamline, samples: Samples, rounds: int) -> None:
    """In turns; the environment of the last round is left."""
    for _ in range(rounds):
        _end_a_worker(beamline, samples)
        _replace_the_manager(beamline, samples)


def _end_a_worker(beamline: Beamline, samples: Samples) -> None:
    beamline.reset()
    beamline.open_environment()
    beamline.run_held_plan()
    environment, start = beamline.environment, time.perf_counter()
    told: dict[str, float] = {}
    beamline.in_worker("python", "-c", KILL_WORKER)  # its own time counts, some tenths of a second

    def is_told() -> bool:
        looks = {
            END_IN_STATUS: lambda: not beamline.status()["worker_environment_exists"],
            END_IN_CONDITION: lambda: beamline.condition("workerenvironment", environment, "Ready")[0] == "False",
        }
        for figure, look in looks.items():
            if figure not in told and look():
                told[figure] = time.perf_counter() - start
        return len(told) == len(looks)

    wait_until(is_told, "the end is told", DEADLINE)
    for figure, seconds in told.items():
        samples.add(figure, Side.OURS, seconds)


def _replace_the_manager(beamline: Beamline, samples: Samples) -> None:
    beamline.reset()
    beamline.open_environment()
    uid, before, start = beamline.run_held_plan(), identity_of_pod(beamline), time.perf_counter()
    beamline.cluster.delete("pod", beamline.manager_pod)
    wait_until(lambda: identity_of_pod(beamline) not in ("", before), "another pod is there", DEADLINE)

    def answers() -> bool:
        try:
            return bool(beamline.call("status", seconds=ATTEMPT)["running_item_uid"] == uid)
        except NoAnswer:
            return False

    wait_until(answers, "it answers and knows the plan", DEADLINE)
    answered = time.perf_counter()
    samples.add(ANOTHER_MANAGER, Side.OURS, answered - start)
    age = float(beamline.cluster.run_in(beamline.manager_pod, "python3", "-c", _AGE_OF_CONTAINER, container="manager"))
    samples.add(MANAGER_ANSWERS, Side.OURS, age - (time.perf_counter() - answered))
