"""Resources are deleted while a plan runs: the plan is aborted, and nothing is left but what was to be kept."""

from __future__ import annotations

import time

import pytest

from cluster_beamline import DEADLINE, Beamline
from deadline import wait_until
from faults_of_cluster import holder
from helm_charts import ROOT
from helm_release import Releases
from queueserver_operator.names import data_claim, home_claim

pytestmark = pytest.mark.timeout(400)

RUNNING = "queueservers,workerenvironments,statefulsets,pods,services,configmaps,roles,rolebindings,serviceaccounts"
KEPT = "persistentvolumeclaims,secrets"
GRACE = 30.0
"""Seconds in which a worker that is told to end has to abort its plan."""


@pytest.fixture
def open_own_beamline(own_beamline: Beamline) -> Beamline:
    own_beamline.open_environment()
    return own_beamline


def of_queue_server(beamline: Beamline, kinds: str) -> list[str]:
    """Kind and name of the objects that were made for the QueueServer, and of itself."""
    found = beamline.cluster("get", kinds, "--output", "name").split()
    own = [f"{beamline.client}", f"{beamline.name}-profile"]
    return [name for name in found if beamline.name in name and name.partition("/")[2] not in own]


def test_kubectl_delete_wenv_is_a_destroy(open_beamline: Beamline):
    uid = open_beamline.run_held_plan("after")
    assert holder(open_beamline)
    open_beamline.cluster.delete("workerenvironment", open_beamline.environment)
    (item,) = open_beamline.wait_history(1)
    assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
    assert "destroyed" in item["result"]["msg"]
    status = open_beamline.wait_closed()
    assert status["queue_autostart_enabled"] is False
    assert [one["name"] for one in open_beamline.queue()] == ["hold", "mark"]
    wait_until(lambda: open_beamline.environments() == [], "the environment is gone", DEADLINE)
    wait_until(lambda: holder(open_beamline) == "", "the instrument is free", DEADLINE)
    open_beamline.open_environment()
    assert open_beamline.diary() == ["plan started", "plan left"]


def test_kubectl_delete_qs_aborts_the_plan_and_keeps_the_data_for_one_made_anew(open_own_beamline: Beamline):
    beamline = open_own_beamline
    beamline.run_held_plan("after")
    beamline.disconnect()
    asked = time.time()
    beamline.cluster.delete("queueserver", beamline.name)
    wait_until(lambda: of_queue_server(beamline, RUNNING) == [], "nothing is left that runs", 2 * DEADLINE)
    claims = {f"persistentvolumeclaim/{name(beamline.name)}" for name in (data_claim, home_claim)}
    assert claims == {name for name in of_queue_server(beamline, KEPT) if name.startswith("persistent")}
    wait_until(lambda: holder(beamline) == "", "the instrument is free", DEADLINE)
    beamline.apply()
    beamline.wait_ready()
    status = beamline.wait_closed()
    assert status["queue_autostart_enabled"] is False
    assert [item["name"] for item in beamline.queue()] == ["hold", "mark"]
    result = beamline.history()[-1]["result"]
    assert result["exit_status"] == "failed"
    assert result["time_stop"] - asked <= GRACE
    beamline.open_environment()
    assert beamline.diary() == ["plan started", "plan left"]


def test_data_are_deleted_too_when_the_specification_says_so(own_beamline: Beamline):
    beamline = own_beamline
    beamline.apply(storage={"reclaim": "Delete"})
    beamline.open_environment()
    beamline.run_held_plan()
    beamline.disconnect()
    beamline.cluster.delete("queueserver", beamline.name)
    wait_until(lambda: of_queue_server(beamline, f"{RUNNING},{KEPT}") == [], "nothing is left", 2 * DEADLINE)


def test_a_namespace_is_deleted_in_a_plan(open_own_beamline: Beamline):
    open_own_beamline.run_held_plan("after")
    open_own_beamline.disconnect()
    assert holder(open_own_beamline)
    namespace = open_own_beamline.cluster.namespace
    open_own_beamline.cluster("delete", "namespace", namespace, "--timeout=240s", seconds=250)
    assert open_own_beamline.cluster.get("namespace", namespace) is None
    wait_until(lambda: holder(open_own_beamline) == "", "the instrument is free", DEADLINE)


@pytest.mark.alone
@pytest.mark.parametrize("first", ["operator", "queue server"])
def test_both_releases_are_uninstalled_in_a_plan(operator: Releases, open_own_beamline: Beamline, first: str):
    # The release of the queue server takes the QueueServer of this test over and deletes it when it is uninstalled.
    beamline = open_own_beamline
    place = ("--namespace", beamline.cluster.namespace)
    profile = {"environment": beamline.environment_with()}
    chart = ("upgrade", "--install", beamline.name, str(ROOT / "charts" / "queueserver"))
    operator.helm(*chart, *place, "--take-ownership", "--force-conflicts", values=profile)
    beamline.wait_ready()
    beamline.run_held_plan("after")
    beamline.disconnect()
    try:
        if first == "operator":
            operator.uninstall_operator()
            assert beamline.diary() == ["plan started"]
            assert beamline.status()["manager_state"] == "executing_queue"
            beamline.disconnect()
        operator.helm("uninstall", beamline.name, *place, "--wait", "--timeout", "180s")
        if first == "queue server":
            operator.uninstall_operator()
        wait_until(lambda: of_queue_server(beamline, RUNNING) == [], "nothing is left that runs", 2 * DEADLINE)
    finally:
        operator.install_operator()
    wait_until(lambda: holder(beamline) == "", "the instrument is free", DEADLINE)
