"""Redis ends beside the manager: nothing that was accepted is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster_beamline import DEADLINE, Beamline
from cluster_node import NodeShell
from deadline import wait_until

pytestmark = pytest.mark.timeout(400)

Shell = Callable[[Beamline], NodeShell]


def restarts(beamline: Beamline) -> int:
    """How often Redis was started again in the manager's pod."""
    pod = beamline.cluster.get("pod", beamline.manager_pod)
    containers = (pod or {}).get("status", {}).get("initContainerStatuses", [])
    return sum(one["restartCount"] for one in containers if one["name"] == "redis")


def kill_redis(beamline: Beamline, shell_beside: Shell) -> None:
    """SIGKILL for Redis; returns when it was started again."""
    pod = beamline.cluster.get("pod", beamline.manager_pod)
    assert pod
    before = restarts(beamline)
    shell_beside(beamline).kill(pod["metadata"]["uid"], "redis.sock")
    wait_until(lambda: restarts(beamline) > before, "Redis was started again", DEADLINE)
    beamline.wait_status(lambda status: status["store"] == "connected", "the manager has Redis again")


def test_what_was_accepted_is_there_after_redis_was_killed(beamline: Beamline, shell_beside: Shell):
    beamline.open_environment()
    beamline.close_environment()
    uids = [beamline.add_plan("mark", f"number {number}") for number in range(20)]
    kill_redis(beamline, shell_beside)
    assert [item["item_uid"] for item in beamline.queue()] == uids
    beamline.add_plan("mark", "later")
    assert beamline.status()["items_in_queue"] == len(uids) + 1


def test_a_plan_goes_on_while_redis_is_away_and_its_result_is_kept(open_beamline: Beamline, shell_beside: Shell):
    uid = open_beamline.run_held_plan("after")
    kill_redis(open_beamline, shell_beside)
    assert open_beamline.status()["running_item_uid"] == uid
    open_beamline.let_go()
    first, second = open_beamline.wait_history(2)
    assert (first["item_uid"], first["result"]["exit_status"]) == (uid, "completed")
    assert second["result"]["exit_status"] == "completed"
    assert open_beamline.diary() == ["plan started", "plan left", "after started"]
