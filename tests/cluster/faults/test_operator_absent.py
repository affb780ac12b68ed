"""The operator is away: everything but what needs it goes on, and it catches up when it returns."""

from __future__ import annotations

import pytest

from cluster_beamline import DEADLINE, Beamline
from deadline import wait_until
from faults_of_cluster import OperatorSwitch, holder
from helm_release import Releases

pytestmark = [pytest.mark.timeout(500), pytest.mark.alone]


def test_a_whole_queue_runs_and_the_environment_closes_without_the_operator(
    open_beamline: Beamline, operator_switch: OperatorSwitch
):
    operator_switch.leave()
    open_beamline.run_held_plan("second", "third")
    open_beamline.accepted("re_pause", {"option": "immediate"})
    open_beamline.wait_status(lambda status: status["manager_state"] == "paused", "it pauses")
    open_beamline.accepted("re_resume")
    open_beamline.let_go()
    history = open_beamline.wait_history(3)
    assert [item["result"]["exit_status"] for item in history] == ["completed"] * 3
    open_beamline.wait_idle()
    open_beamline.close_environment()
    wait_until(lambda: open_beamline.environments() == [], "the environment is gone", DEADLINE)
    assert holder(open_beamline), "nobody but the operator frees the instrument"
    operator_switch.come_back()
    wait_until(lambda: holder(open_beamline) == "", "the instrument is free", DEADLINE)


def test_a_plan_is_aborted_and_its_environment_destroyed_without_the_operator(
    open_beamline: Beamline, operator_switch: OperatorSwitch
):
    operator_switch.leave()
    open_beamline.run_held_plan("after")
    open_beamline.accepted("re_pause", {"option": "immediate"})
    open_beamline.wait_status(lambda status: status["manager_state"] == "paused", "it pauses")
    open_beamline.accepted("re_abort")
    (item,) = open_beamline.wait_history(1)
    assert item["result"]["exit_status"] == "aborted"
    open_beamline.wait_idle()
    open_beamline.accepted("environment_destroy")
    open_beamline.wait_closed()
    wait_until(lambda: open_beamline.environments() == [], "the environment is gone", DEADLINE)


def test_kubectl_delete_wenv_is_a_destroy_without_the_operator_too(
    open_beamline: Beamline, operator_switch: OperatorSwitch
):
    operator_switch.leave()
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.delete("workerenvironment", open_beamline.environment)
    (item,) = open_beamline.wait_history(1)
    assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
    open_beamline.wait_closed()
    wait_until(lambda: open_beamline.environments() == [], "the environment is gone", DEADLINE)


def test_the_loss_of_a_worker_is_noticed_and_an_opening_waits_for_the_operator(
    open_beamline: Beamline, operator_switch: OperatorSwitch
):
    operator_switch.leave()
    uid = open_beamline.run_held_plan("after")
    open_beamline.cluster.delete("pod", open_beamline.environment)
    (item,) = open_beamline.wait_history(1)
    assert (item["item_uid"], item["result"]["exit_status"]) == (uid, "failed")
    open_beamline.wait_closed()
    open_beamline.accepted("environment_open")
    status = open_beamline.wait_status(
        lambda status: "operator" in status["environment_error"] or status["manager_state"] != "creating_environment",
        "it says what the opening waits for",
    )
    assert status["manager_state"] == "creating_environment"
    operator_switch.come_back()
    status = open_beamline.wait_idle()
    assert status["worker_environment_exists"], status["environment_error"]
    assert open_beamline.diary().count("plan started") == 1


def test_a_plan_goes_on_while_the_operator_is_uninstalled_and_installed_again(
    operator: Releases, open_beamline: Beamline, operator_switch: OperatorSwitch
):
    worker = open_beamline.environment
    uid = open_beamline.run_held_plan("after")
    try:
        operator.uninstall_operator()
    finally:
        operator.install_operator()
    open_beamline.wait_ready()
    assert open_beamline.environment == worker
    assert open_beamline.status()["running_item_uid"] == uid
    open_beamline.let_go()
    history = open_beamline.wait_history(2)
    assert [item["result"]["exit_status"] for item in history] == ["completed", "completed"]
    assert open_beamline.diary() == ["plan started", "plan left", "after started"]
