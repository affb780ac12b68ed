"""The manager ends or is replaced while a plan runs: the plan goes on, and its result is taken by the next manager."""

from __future__ import annotations

import time

import pytest

from cluster_beamline import DEADLINE, NOTICED, Beamline, since_epoch
from deadline import wait_until
from faults_of_cluster import identity_of_pod

pytestmark = pytest.mark.timeout(400)

AFTER_DELETION = 15.0
"""Seconds until another manager answers for one whose pod was deleted, but for those that its volumes take."""

KILL_MANAGER = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid != str(os.getpid()) and "queueserver_manager" in open(f"/proc/{pid}/cmdline").read():
        os.kill(int(pid), signal.SIGKILL)
"""


def restarts(beamline: Beamline) -> int:
    """How often the manager's container was started again in its pod."""
    pod = beamline.cluster.get("pod", beamline.manager_pod)
    containers = (pod or {}).get("status", {}).get("containerStatuses", [])
    return sum(one["restartCount"] for one in containers if one["name"] == "manager")


def time_of_volumes(beamline: Beamline) -> float:
    """Seconds, whole ones, in which the kubelet made a pod of the manager ready for its first container.

    It is no matter of ours: a kubelet that asks for a volume before the API server has seen that the pod is on its node
    is refused, and tries again after ten seconds.
    """
    status = (beamline.cluster.get("pod", beamline.manager_pod) or {})["status"]
    [scheduled] = [one["lastTransitionTime"] for one in status["conditions"] if one["type"] == "PodScheduled"]
    [redis] = [one for one in status["initContainerStatuses"] if one["name"] == "redis"]
    return since_epoch(redis["state"]["running"]["startedAt"]) - since_epoch(scheduled)


def plan_goes_on_and_the_next_follows(beamline: Beamline, worker: str, uid: str) -> None:
    """The manager that answers now knows the plan, takes its result and starts the next one, in the same worker."""
    status = beamline.wait_status(
        lambda status: status["worker_link"] == "attached" and status["running_item_uid"] == uid, "it knows the plan"
    )
    assert status["manager_state"] == "executing_queue"
    assert beamline.environment == worker
    beamline.let_go()
    first, second = beamline.wait_history(2)
    assert (first["item_uid"], first["result"]["exit_status"]) == (uid, "completed")
    assert (second["name"], second["result"]["exit_status"]) == ("mark", "completed")
    assert beamline.environment == worker
    assert beamline.diary() == ["plan started", "plan left", "after started"]
    beamline.wait_idle()
    beamline.close_environment()


def test_a_manager_pod_is_deleted_and_another_answers_soon(open_beamline: Beamline):
    worker, before = open_beamline.environment, identity_of_pod(open_beamline)
    uid = open_beamline.run_held_plan("after")
    deleted = time.time()
    open_beamline.cluster.delete("pod", open_beamline.manager_pod)
    wait_until(lambda: identity_of_pod(open_beamline) not in ("", before), "another pod is there", DEADLINE)
    open_beamline.wait_status(lambda status: status["running_item_uid"] == uid, "it answers and knows the plan")
    answered = time.time()
    assert answered - deleted - time_of_volumes(open_beamline) <= AFTER_DELETION
    assert answered - open_beamline.started_at(open_beamline.manager_pod, "manager") <= NOTICED
    plan_goes_on_and_the_next_follows(open_beamline, worker, uid)


def test_a_plan_that_ends_while_there_is_no_manager_is_taken_as_completed(open_beamline: Beamline):
    before = identity_of_pod(open_beamline)
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.delete("pod", open_beamline.manager_pod)
    open_beamline.let_go()
    wait_until(lambda: identity_of_pod(open_beamline) not in ("", before), "another pod is there", DEADLINE)
    first, second = open_beamline.wait_history(2)
    assert (first["item_uid"], first["result"]["exit_status"]) == (uid, "completed")
    assert (second["name"], second["result"]["exit_status"]) == ("mark", "completed")
    assert open_beamline.diary() == ["plan started", "plan left", "after started"]


def test_a_manager_process_is_killed_and_its_supervisor_starts_another(open_beamline: Beamline):
    worker, before = open_beamline.environment, restarts(open_beamline)
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.run_in(open_beamline.manager_pod, "python", "-c", KILL_MANAGER, container="manager")
    plan_goes_on_and_the_next_follows(open_beamline, worker, uid)
    assert restarts(open_beamline) == before


def test_a_manager_container_ends_and_the_kubelet_starts_another(open_beamline: Beamline):
    worker, pod, before = open_beamline.environment, identity_of_pod(open_beamline), restarts(open_beamline)
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.run_in(open_beamline.manager_pod, "sh", "-c", "kill -TERM 1", container="manager")
    wait_until(lambda: restarts(open_beamline) == before + 1, "the container was started again", DEADLINE)
    plan_goes_on_and_the_next_follows(open_beamline, worker, uid)
    assert identity_of_pod(open_beamline) == pod


VERSION = "from queueserver_common.link.messages import PROTOCOL_VERSION; print(PROTOCOL_VERSION)"


def test_a_manager_is_upgraded_at_once_to_the_next_release_which_speaks_to_the_older_worker(
    open_beamline: Beamline, images: dict[str, str]
):
    beamline = open_beamline
    worker, before = beamline.environment, identity_of_pod(beamline)
    uid = beamline.run_held_plan(*(f"after {number}" for number in range(20)))
    beamline.apply(updatePolicy="Immediate", manager={"image": images["next-release"]})
    wait_until(lambda: identity_of_pod(beamline) not in ("", before), "another pod is there", DEADLINE)
    status = beamline.wait_status(
        lambda status: status["worker_link"] == "attached" and status["running_item_uid"] == uid, "it knows the plan"
    )
    assert status["items_in_queue"] == 20
    link = int(beamline.in_worker("python", "-c", VERSION))
    assert int(beamline.cluster.run_in(beamline.manager_pod, "python", "-c", VERSION, container="manager")) == link + 1
    beamline.let_go()
    history = beamline.wait_history(21)
    assert history[0]["item_uid"] == uid
    assert [item["result"]["exit_status"] for item in history] == ["completed"] * 21
    assert beamline.environment == worker
    assert beamline.diary()[2:] == [f"after {number} started" for number in range(20)]
    beamline.wait_idle()
    beamline.close_environment()
    beamline.open_environment()


def test_a_manager_is_replaced_after_the_plan_when_nothing_else_was_asked(open_beamline: Beamline):
    before = identity_of_pod(open_beamline)
    open_beamline.run_held_plan("after")
    open_beamline.apply(manager={"logLevel": "VERBOSE"})
    name = open_beamline.name
    wait_until(
        lambda: open_beamline.condition("queueserver", name, "RolloutPending")[0] == "True", "it waits", DEADLINE
    )
    assert identity_of_pod(open_beamline) == before
    open_beamline.let_go()
    open_beamline.wait_history(2)
    wait_until(lambda: identity_of_pod(open_beamline) not in ("", before), "another pod is there", DEADLINE)
    open_beamline.wait_idle()
    assert open_beamline.diary() == ["plan started", "plan left", "after started"]
