"""Existing profile collections run unchanged (plans-and-permissions 1 and 2; cli 2 for the RunEngine)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_manager import CALLER, PROFILE, ContractManager, plan

START = Callable[..., ContractManager]

RUN_ENGINE = "from bluesky import RunEngine\nRE = RunEngine({'made_by': 'profile'})\n"
PLANS = "from bluesky.plans import count\nfrom bluesky.plan_stubs import mv, null\nfrom ophyd.sim import det\n"

HELPERS = """
import bluesky_queueserver
from bluesky_queueserver import is_ipython_mode, is_re_worker_active, register_device, register_plan
from bluesky_queueserver.manager.annotation_decorator import parameter_annotation_decorator
from bluesky_queueserver.manager.profile_tools import load_devices_from_happi, set_user_ns

assert is_re_worker_active()
assert not is_ipython_mode()
register_device("hidden", exclude=True)
register_plan("mv", exclude=True)
hidden = det


@parameter_annotation_decorator({"parameters": {"n": {"annotation": "int", "min": 1, "max": 3}}})
def repeated(n: int = 1):
    for _ in range(n):
        yield from count([det])


@set_user_ns
def plan_of_namespace(user_ns):
    yield from user_ns["count"]([user_ns["det"]])
"""

HAPPI = """
from bluesky_queueserver import load_devices_from_happi
loaded = load_devices_from_happi(["detector", ("detector", "other_name")], namespace=locals())
assert loaded == ["detector", "other_name"]
"""

OPHYD_ASYNC = """
from ophyd_async.core import StandardReadable, StandardReadableFormat, init_devices, soft_signal_rw


class Stage(StandardReadable):
    def __init__(self, name=""):
        with self.add_children_as_readables(StandardReadableFormat.HINTED_SIGNAL):
            self.x = soft_signal_rw(float)
            self.y = soft_signal_rw(float)
        super().__init__(name)


with init_devices():
    stage = Stage()
"""


@pytest.mark.row("plans-and-permissions", "helpers for startup code")
def test_the_helpers_of_the_package_are_found_by_startup_code(start_manager: START) -> None:
    manager = start_manager(startup_files={"00.py": RUN_ENGINE + PLANS, "10-helpers.py": HELPERS})
    manager.open_environment()
    assert "hidden" not in manager.accepted("devices_existing")["devices_existing"]
    plans = manager.accepted("plans_existing")["plans_existing"]
    assert "mv" not in plans
    assert {"repeated", "plan_of_namespace"} <= plans.keys()
    assert "out of range" in manager.call("queue_item_add", item=plan("repeated", n=4), **CALLER)["msg"]
    manager.run(plan("repeated", n=2), plan("plan_of_namespace"))
    manager.wait_status(lambda s: s["items_in_history"] == 2 and s["manager_state"] == "idle")
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed", "completed"]
    manager.stop()


@pytest.mark.row("plans-and-permissions", "load_devices_from_happi")
def test_devices_come_from_a_happi_database(start_manager: START, tmp_path: Path) -> None:
    database, configuration = tmp_path / "happi.json", tmp_path / "happi.cfg"
    device = {"_id": "detector", "name": "detector", "active": True, "args": [], "kwargs": {"name": "{{name}}"}}
    database.write_text(json.dumps({"detector": device | {"device_class": "ophyd.sim.SynSignal", "type": "OphydItem"}}))
    configuration.write_text(f"[DEFAULT]\nbackend=json\npath={database}\n")
    manager = start_manager(
        startup_files={"00.py": RUN_ENGINE + PLANS, "10-happi.py": HAPPI},
        environment={"HAPPI_CFG": str(configuration)},
    )
    manager.open_environment()
    assert {"detector", "other_name"} <= manager.accepted("devices_existing")["devices_existing"].keys()
    manager.run(plan("count", ["detector"]))
    (entry,) = manager.history
    assert entry["result"]["exit_status"] == "completed"
    manager.stop()


def test_a_device_that_happi_does_not_know_is_named(start_manager: START, tmp_path: Path) -> None:
    database, configuration = tmp_path / "happi.json", tmp_path / "happi.cfg"
    database.write_text("{}")
    configuration.write_text(f"[DEFAULT]\nbackend=json\npath={database}\n")
    manager = start_manager(startup_files={"10-happi.py": HAPPI}, environment={"HAPPI_CFG": str(configuration)})
    manager.accepted("environment_open")
    error = manager.wait_idle()["environment_error"]
    assert "The happi database has no device with the name 'detector'" in error
    manager.stop()


@pytest.mark.row("plans-and-permissions", "devices of ophyd-async")
def test_devices_of_ophyd_async_and_their_children_can_be_used(start_manager: START) -> None:
    manager = start_manager(startup_files={"00.py": RUN_ENGINE + PLANS, "10-async.py": OPHYD_ASYNC})
    manager.open_environment()
    stage = manager.accepted("devices_allowed", user_group="primary")["devices_allowed"]["stage"]
    assert (stage["is_readable"], stage["components"].keys()) == (True, {"x", "y"})
    assert stage["components"]["x"]["is_movable"]
    manager.run(plan("mv", "stage.x", 1.5), plan("count", ["stage", "stage.y"]))
    manager.wait_status(lambda s: s["items_in_history"] == 2 and s["manager_state"] == "idle")
    assert [item["result"]["exit_status"] for item in manager.history] == ["completed", "completed"]
    manager.stop()


@pytest.mark.row("plans-and-permissions", "no RunEngine")
def test_without_a_run_engine_the_environment_opens_and_plans_are_refused(start_manager: START) -> None:
    manager = start_manager(startup_files={"00.py": PLANS})
    status = manager.open_environment()
    assert (status["re_state"], status["worker_environment_state"]) == (None, "idle")
    manager.add(plan("count", ["det"]))
    for method, params in (("queue_start", {}), ("queue_item_execute", {"item": plan("null"), **CALLER})):
        reply = manager.call(method, params)
        assert not reply["success"]
        assert "Run Engine is not found in the RE Worker environment." in reply["msg"]
    assert manager.status()["items_in_queue"] == 1
    manager.stop()


def made_by(manager: ContractManager) -> object:
    """Who made the RunEngine, by its metadata."""
    return manager.accepted("re_metadata")["re_metadata"].get("made_by", "worker")


@pytest.mark.row("plans-and-permissions", "a RunEngine of the worker (addition)")
def test_the_worker_makes_a_run_engine_when_it_is_told_to(start_manager: START) -> None:
    manager = start_manager(startup_files={"00.py": PLANS}, options=["--run-engine", "create"])
    assert manager.open_environment()["re_state"] == "idle"
    assert made_by(manager) == "worker"
    manager.run(plan("count", ["det"]))
    assert manager.history[0]["result"]["exit_status"] == "completed"
    manager.stop()


@pytest.mark.row("cli", "--keep-re, --run-engine")
def test_the_run_engine_of_the_profile_is_replaced_or_kept(start_manager: START) -> None:
    files = {"00.py": RUN_ENGINE + PLANS}
    replaced = start_manager(startup_files=files, options=["--run-engine", "create"])
    replaced.open_environment()
    assert made_by(replaced) == "worker"
    replaced.stop()
    kept = start_manager(startup_files=files, options=["--run-engine", "create", "--keep-re"])
    kept.open_environment()
    assert made_by(kept) == "profile"
    kept.stop()
    missing = start_manager(startup_files={"00.py": PLANS}, options=["--run-engine", "create", "--keep-re"])
    assert missing.open_environment()["re_state"] == "idle"
    missing.stop()


def test_the_configuration_file_has_the_same_settings(start_manager: START, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text("startup:\n  run_engine: create\n  keep_re: true\n")
    manager = start_manager(startup_files=PROFILE, options=["--config", str(config)])
    manager.open_environment()
    assert manager.accepted("re_metadata")["re_metadata"]["metadata_key"] == "metadata_value"
    manager.stop()


SCRIPT = """
from bluesky_queueserver import is_re_worker_active, register_device, register_plan
from bluesky_queueserver.manager.profile_tools import set_user_ns

assert is_re_worker_active()
register_device("uploaded", exclude=True)
uploaded = det
shown = det


@set_user_ns
def uploaded_plan(user_ns):
    yield from user_ns["count"]([user_ns["shown"]])
"""


@pytest.mark.row("plans-and-permissions", "helpers for scripts")
def test_the_helpers_of_the_package_are_found_by_scripts(start_manager: START) -> None:
    manager = start_manager(startup_files={"00.py": RUN_ENGINE + PLANS})
    manager.open_environment()
    uid = manager.accepted("script_upload", script=SCRIPT)["task_uid"]
    manager.wait_idle()
    result = manager.accepted("task_result", task_uid=uid)["result"]
    assert result["success"], result["traceback"]
    devices = manager.accepted("devices_existing")["devices_existing"]
    assert ("shown" in devices, "uploaded" in devices) == (True, False)
    manager.run(plan("uploaded_plan"))
    assert manager.history[0]["result"]["exit_status"] == "completed"
    manager.stop()
