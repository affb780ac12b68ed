"""The worker ends while a plan runs: the item is failed with the reason and back at the front, and the queue stops."""

from __future__ import annotations

from typing import Any

import pytest

from cluster_beamline import DEADLINE, NOTICED, Beamline
from deadline import wait_until
from faults_of_cluster import KILL_WORKER
from queueserver_operator.names import WORKER_CONTAINER

pytestmark = pytest.mark.timeout(400)


def reason_of_loss(beamline: Beamline, uid: str, reason: str) -> str:
    """Check what holds for every end of a worker in a plan; returns the message in the history."""
    environment = beamline.environment
    (item,) = beamline.wait_history(1)
    assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
    status = beamline.wait_closed()
    assert status["queue_autostart_enabled"] is False
    assert [one["name"] for one in beamline.queue()] == [item["name"], "mark"]
    assert beamline.queue()[0]["item_uid"] != uid
    wait_until(lambda: said(beamline, environment)[1] == reason, f"the condition says {reason}", DEADLINE)
    assert said(beamline, environment)[0] == "False"
    if ended := beamline.ended_at(environment, WORKER_CONTAINER):
        assert beamline.told_at(environment, "Ready") - ended <= NOTICED
        assert item["result"]["time_stop"] - ended <= NOTICED
    wait_until(lambda: reason in dict(beamline.events(environment)), f"an event says {reason}", DEADLINE)
    return str(item["result"]["msg"])


def said(beamline: Beamline, environment: str) -> tuple[str, str, str]:
    """The condition Ready of an environment that has ended."""
    return beamline.condition("workerenvironment", environment, "Ready")


def goes_on_after_a_person_says_so(beamline: Beamline) -> None:
    """The environment can be opened again, and the plan that was lost runs only now for the second time."""
    beamline.open_environment()
    assert beamline.diary().count("plan started") == 1
    beamline.let_go()
    beamline.accepted("queue_start")
    beamline.wait_history(3)
    assert beamline.diary().count("plan started") == 2
    assert [one["result"]["exit_status"] for one in beamline.history()] == ["failed", "completed", "completed"]


def test_a_worker_pod_that_is_deleted_aborts_its_plan_and_says_deleted(open_beamline: Beamline):
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.delete("pod", open_beamline.environment)
    message = reason_of_loss(open_beamline, uid, "Deleted")
    assert "pod was deleted" in message
    assert "plan aborted cleanly" in message
    goes_on_after_a_person_says_so(open_beamline)


def test_a_worker_process_that_is_killed_says_so(open_beamline: Beamline):
    uid = open_beamline.run_held_plan("after")
    open_beamline.in_worker("python", "-c", KILL_WORKER)
    assert "SIGKILL" in reason_of_loss(open_beamline, uid, "Killed")
    goes_on_after_a_person_says_so(open_beamline)


def test_a_worker_that_takes_too_much_memory_is_oom_killed(beamline: Beamline):
    small: dict[str, Any] = {"resources": {"limits": {"memory": "256Mi"}}}
    beamline.change(**small)
    beamline.open_environment()
    uid = beamline.add_plan("take_memory")
    beamline.add_plan("mark", "after")
    beamline.accepted("queue_start")
    assert "OOMKilled" in reason_of_loss(beamline, uid, "OOMKilled")


def test_a_worker_pod_that_the_kubelet_evicts_says_evicted(beamline: Beamline):
    scratch = {
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
    }
    beamline.change(**scratch)
    beamline.open_environment()
    uid = beamline.run_held_plan("after")
    beamline.in_worker("dd", "if=/dev/zero", "of=/scratch/file", "bs=1M", "count=8")
    # A kubelet tells why only when the worker has ended; what the worker reports comes before that.
    assert "told to end (SIGTERM); plan aborted cleanly" in reason_of_loss(beamline, uid, "Evicted")
    error = beamline.status()["environment_error"]
    assert "the worker's pod was evicted by its node" in error
    assert "scratch" in error


def test_a_worker_with_a_plan_in_hand_is_not_drained(open_beamline: Beamline):
    open_beamline.run_held_plan()
    name = open_beamline.environment
    wait_until(lambda: open_beamline.cluster.find("poddisruptionbudgets"), "a budget protects the worker", DEADLINE)

    def eviction() -> str:
        body = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{name}"}}}}'
        path = f"/api/v1/namespaces/{open_beamline.cluster.namespace}/pods/{name}/eviction"
        try:
            return open_beamline.cluster("create", "--raw", path, "--filename", "-", stdin=body)
        except AssertionError as refusal:
            return str(refusal)

    wait_until(lambda: "disruption budget" in eviction(), "the eviction is refused", DEADLINE)
    assert open_beamline.status()["manager_state"] == "executing_queue"
    open_beamline.let_go()
    open_beamline.wait_history(1)
    assert open_beamline.history()[0]["result"]["exit_status"] == "completed"
    wait_until(lambda: "Success" in eviction(), "an idle worker can be evicted", DEADLINE)
    open_beamline.wait_closed()
