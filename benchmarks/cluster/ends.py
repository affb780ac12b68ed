"""How soon the end of a worker is told, and how soon another manager answers, each in a plan."""

from __future__ import annotations

import time

from benchmarks.cluster.figures import ANOTHER_MANAGER, END_IN_CONDITION, END_IN_STATUS, MANAGER_ANSWERS
from benchmarks.samples import Samples, Side
from cluster_beamline import DEADLINE, Beamline, NoAnswer
from deadline import wait_until
from faults_of_cluster import KILL_WORKER, identity_of_pod


def measure(beamline: Beamline, samples: Samples, rounds: int) -> None:
    """In turns; nothing of them is left."""
    for _ in range(rounds):
        beamline.reset()
        beamline.open_environment()
        _end_a_worker(beamline, samples)
        beamline.reset()
        beamline.open_environment()
        _replace_the_manager(beamline, samples)


def _end_a_worker(beamline: Beamline, samples: Samples) -> None:
    beamline.run_held_plan()
    environment, start = beamline.environment, time.perf_counter()
    seen: dict[str, float] = {}
    beamline.in_worker("python", "-c", KILL_WORKER)  # its own time counts, some tenths of a second

    def told() -> bool:
        found = {
            END_IN_STATUS: not beamline.status()["worker_environment_exists"],
            END_IN_CONDITION: beamline.condition("workerenvironment", environment, "Ready")[0] == "False",
        }
        for figure, is_told in found.items():
            if is_told:
                seen.setdefault(figure, time.perf_counter() - start)
        return len(seen) == len(found)

    wait_until(told, "the end is told", DEADLINE)
    for figure, seconds in seen.items():
        samples.add(figure, Side.OURS, seconds)


def _replace_the_manager(beamline: Beamline, samples: Samples) -> None:
    uid, before, start = beamline.run_held_plan(), identity_of_pod(beamline), time.perf_counter()
    beamline.cluster.delete("pod", beamline.manager_pod)
    wait_until(lambda: identity_of_pod(beamline) not in ("", before), "another pod is there", DEADLINE)

    def answers() -> bool:
        try:
            return bool(beamline.call("status", seconds=1)["running_item_uid"] == uid)
        except NoAnswer:
            return False

    wait_until(answers, "it answers and knows the plan", DEADLINE)
    samples.add(ANOTHER_MANAGER, Side.OURS, time.perf_counter() - start)
    # The start of a container is told in whole seconds, rounded down.
    samples.add(MANAGER_ANSWERS, Side.OURS, time.time() - beamline.started_at(beamline.manager_pod, "manager"))
