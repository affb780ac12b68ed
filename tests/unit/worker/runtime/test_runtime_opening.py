from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from queueserver_common.link.messages import (
    EnvironmentFailed,
    EnvironmentPhase,
    EnvironmentReady,
    EnvironmentState,
    EventsStored,
    ExitStatus,
    Leave,
    RunItem,
)
from queueserver_common.lists_file import read_lists
from queueserver_common.simulated_profile import simulated_profile_dir
from queueserver_common.startup import StartupSource
from queueserver_worker.runtime.exit_codes import ExitCode

Bench = Any


def test_an_opened_environment_reports_its_plans_and_devices(bench: Bench) -> None:
    manager, _ = bench.open("\nfrom ophyd.sim import det, motor\n")
    ready = manager.wait_event(EnvironmentReady)
    assert {"noop", "fails", "points"} <= set(json.loads(ready.plans))
    assert set(json.loads(ready.devices)) == {"det", "motor"}
    assert ready.permissions is None
    states = [snapshot.environment_state for snapshot in manager.snapshots]
    assert states[0] is EnvironmentState.INITIALIZING
    assert states[-1] is EnvironmentState.IDLE
    assert manager.snapshots[-1].re_state == "idle"


def test_startup_code_that_raises_is_reported_with_file_and_line(bench: Bench) -> None:
    manager = bench.manager()
    manager.acknowledge = False
    worker = bench.worker('\nx = 1\nraise ValueError("no such motor")\n').start()
    failed = manager.wait_event(EnvironmentFailed)
    lines = worker.startup_file.read_text().splitlines()
    assert failed.exception == "ValueError"
    assert failed.file == str(worker.startup_file)
    assert lines[failed.line - 1].startswith("raise ValueError")
    assert "no such motor" in failed.message
    assert failed.traceback.rstrip().endswith("ValueError: no such motor")
    manager.wait(lambda: "no such motor" in manager.console_text)
    assert manager.snapshots[-1].environment_state is EnvironmentState.FAILED
    assert not manager.tell(RunItem(bench.item("noop"))).ok
    assert worker.alive  # until the report is stored
    manager.send(EventsStored(1))
    assert manager.wait_gone(worker) == 3


def test_startup_code_that_exits_fails_the_opening(bench: Bench) -> None:
    manager = bench.manager()
    worker = bench.worker("\nsys.exit(0)\n").start()
    assert "SystemExit" in manager.wait_event(EnvironmentFailed).message
    assert manager.wait_gone(worker) == 3


@pytest.mark.row("cli", "--ignore-invalid-plans")
def test_a_plan_that_cannot_be_described_fails_the_opening_unless_it_may_be_ignored(bench: Bench) -> None:
    bad = "\ndef bad(x=object()):\n    yield from bps.null()\n"
    manager = bench.manager()
    worker = bench.worker(bad).start()
    assert "bad" in manager.wait_event(EnvironmentFailed).message
    assert manager.wait_gone(worker) == 3
    manager.expect_another_worker()
    bench.worker(bad, ignore_invalid_plans=True).start()
    plans = json.loads(manager.wait_event(EnvironmentReady).plans)
    assert "noop" in plans
    assert "bad" not in plans


def test_a_missing_startup_directory_is_told(bench: Bench) -> None:
    manager = bench.manager()
    bench.worker(startup=StartupSource("directory", "/no/such/place")).start()
    failed = manager.wait_event(EnvironmentFailed)
    assert "/no/such/place" in failed.message
    assert failed.traceback == ""


def test_a_failed_worker_without_a_manager_does_not_stay(bench: Bench) -> None:
    worker = bench.worker("\nraise ValueError\n", orphan_timeout=0.3).start()
    assert worker.wait_exit(10) == 3


def test_one_worker_at_a_time_holds_the_instrument(bench: Bench) -> None:
    lock = str(bench.directory / "locks" / "beamline")
    manager, first = bench.open(instrument_lock=lock)
    assert Path(lock).read_text().strip() == str(first.process.pid)
    marker = bench.directory / "loaded"
    second = bench.worker(
        f"\nopen({str(marker)!r}, 'w')\n", instrument_lock=lock, opening_id="opening-2", orphan_timeout=0.2
    )
    second.output_file = bench.directory / "second.txt"
    second.start()
    assert second.wait_exit(10) == 3
    assert f"The instrument is in use: process {first.process.pid} holds" in second.output
    assert not marker.exists()
    first.kill()
    manager.expect_another_worker()
    third = bench.worker(instrument_lock=lock).start()
    manager.wait_event(EnvironmentReady)
    assert manager.hellos[-1].pid == third.process.pid


def test_the_lists_file_is_written_after_opening_and_only_when_it_differs(bench: Bench) -> None:
    lists = bench.directory / "existing_plans_and_devices.yaml"
    manager, worker = bench.open(lists_file=str(lists))
    deadline = time.monotonic() + 10
    while not lists.exists() and time.monotonic() < deadline:
        manager.step(0.01)
    assert set(read_lists(lists).plans) == set(json.loads(manager.wait_event(EnvironmentReady).plans))
    written = lists.stat().st_mtime_ns
    assert manager.tell(Leave()).ok
    manager.wait_gone(worker)
    manager.expect_another_worker()
    again = bench.worker(lists_file=str(lists)).start()
    manager.wait_event(EnvironmentReady)
    item = bench.item("points", n=20)
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED
    assert lists.stat().st_mtime_ns == written
    assert again.output.count("was written to") == 1  # by the first worker


@pytest.mark.row("cli", "--update-existing-plans-devices")
def test_the_lists_file_is_left_alone_where_it_may_not_be_written(bench: Bench) -> None:
    lists = bench.directory / "lists.yaml"
    manager, worker = bench.open(lists_file=str(lists), update_lists="NEVER")
    manager.listen(0.3)
    manager.tell(Leave())
    manager.wait_gone(worker)
    assert not lists.exists()


def test_the_simulated_profile_opens_and_its_lists_are_not_written(bench: Bench) -> None:
    profile = simulated_profile_dir()
    lists = profile / "a_name_that_does_not_exist.yaml"
    manager, _ = bench.open(startup=StartupSource("directory", str(profile)), lists_file=str(lists))
    assert "count" in json.loads(manager.wait_event(EnvironmentReady).plans)
    item = json.loads(bench.item("count")) | {"args": [["det"]], "kwargs": {"num": 2}}
    manager.tell(RunItem(json.dumps(item).encode()))
    end = manager.wait_end(item["item_uid"])
    assert (end.exit_status, len(end.run_uids)) == (ExitStatus.COMPLETED, 1)
    assert not lists.exists()


def test_permissions_beside_the_startup_code_are_used_and_reported_when_none_are_given(bench: Bench) -> None:
    rules = {"allowed_plans": [None], "allowed_devices": [None], "allowed_functions": [None]}
    permissions = {"user_groups": {"root": rules, "primary": rules}}
    worker = bench.worker(permissions=None)
    (worker.profile / "user_group_permissions.yaml").write_text(yaml.safe_dump(permissions))
    manager = bench.manager()
    worker.start()
    reported = manager.wait_event(EnvironmentReady).permissions
    assert reported is not None
    assert json.loads(reported) == permissions
    item = bench.item("noop")
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).exit_status is ExitStatus.COMPLETED


def test_without_any_permissions_nothing_is_allowed(bench: Bench) -> None:
    manager, worker = bench.open(permissions=None)
    item = bench.item("noop")
    manager.tell(RunItem(item))
    assert manager.wait_end(bench.uid_of(item)).refused
    assert worker.alive


def test_startup_code_can_tell_that_it_runs_in_a_worker_and_finds_no_input(bench: Bench) -> None:
    manager, _ = bench.open('\nprint("active", os.environ["_QSERVER_RE_WORKER_ACTIVE"], repr(sys.stdin.read()))\n')
    manager.wait(lambda: "active 1 ''" in manager.console_text)


def test_a_profile_that_changes_signal_handlers_does_not_disturb_the_worker(bench: Bench) -> None:
    manager, worker = bench.open(
        "\nimport signal\nfor s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_DFL)\n"
    )
    os.kill(worker.process.pid, 2)
    item = bench.item("noop")
    manager.tell(RunItem(item))
    manager.wait_end(bench.uid_of(item))
    worker.process.terminate()
    assert manager.wait_gone(worker) == ExitCode.TERMINATED


def test_an_unusable_configuration_is_told_in_a_sentence(bench: Bench) -> None:
    for text, words in (
        ("{}", "configuration cannot be read"),
        ("no json", "configuration cannot be read"),
        (bench.worker(permissions={"user_groups": {}}).config.to_json(), "permissions"),
    ):
        worker = bench.worker()
        worker.output_file.unlink(missing_ok=True)
        assert worker.start(config_text=text).wait_exit() == 2
        assert words in worker.output
        assert "Traceback" not in worker.output


def test_the_configuration_may_come_from_a_file(bench: Bench) -> None:
    manager, worker = bench.manager(), bench.worker()
    config = bench.directory / "config.json"
    config.write_text(worker.config.to_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "queueserver_worker", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    try:
        manager.wait_event(EnvironmentReady)
        assert manager.hellos[0].phase is EnvironmentPhase.LOADING
    finally:
        process.kill()
        process.wait()


def test_a_configuration_file_that_is_missing_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "queueserver_worker", "--config", "/no/such/file"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    assert done.returncode == 2
    assert "/no/such/file" in done.stderr
    assert "Traceback" not in done.stderr
