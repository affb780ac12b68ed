"""Opening, closing and destroying the environment (zmq-api 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract_manager import CALLER, COUNT, QUICK, ContractClient, ContractManager, plan
from deadline import wait_until


@pytest.mark.method("environment_open")
@pytest.mark.row("zmq-api", "environment_open: refusals")
def test_opening_twice_is_refused(closed_manager: ContractClient) -> None:
    manager = closed_manager
    manager.accepted("environment_open")
    refused = manager.call("environment_open")
    assert refused["msg"] == "Manager is already in the process of creating the RE Worker environment."
    manager.wait_idle()
    assert manager.call("environment_open") == {"success": False, "msg": "RE Worker environment already exists."}


@pytest.mark.method("environment_close")
@pytest.mark.row("zmq-api", "environment_close: refusals")
def test_closing_twice_is_refused(manager: ContractClient) -> None:
    manager.accepted("environment_close")
    refused = manager.call("environment_close")["msg"]
    assert refused in (
        "Manager is already in the process of closing the RE Worker environment.",
        "RE Worker environment does not exist.",  # it was quick
    )
    manager.wait_idle()
    assert manager.call("environment_close")["msg"] == "RE Worker environment does not exist."
    assert manager.call("environment_destroy")["msg"] == "RE environment does not exist"


@pytest.mark.row("zmq-api", "environment_open: nothing else meanwhile")
def test_nothing_but_destroying_is_possible_while_the_environment_opens(
    start_manager: Callable[..., ContractManager],
) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    gate = manager.directory / "gate"
    (manager.startup_dir / "99-wait.py").write_text(
        f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n"
    )
    manager.accepted("environment_open")
    manager.wait_status(lambda s: s["worker_environment_state"] == "initializing")
    for method, text in {
        "environment_open": "Manager is already in the process of creating the RE Worker environment.",
        "environment_close": "RE Worker environment does not exist.",
        "queue_start": "RE Worker environment does not exist.",
        "re_pause": "Environment does not exist. Can not pause Run Engine.",
    }.items():
        assert manager.call(method) == {"success": False, "msg": text}
    manager.accepted("environment_destroy")
    status = manager.wait_idle()
    assert status["worker_environment_exists"] is False
    assert status["environment_error"] == ""
    gate.touch()
    manager.open_environment()
    manager.stop()


@pytest.mark.row("zmq-api", "environment_destroy: idle")
def test_an_idle_environment_can_be_destroyed(manager: ContractManager) -> None:
    (uid,) = manager.fill(1)
    old = manager.worker_pid
    status = manager.destroy_environment()
    assert status["environment_error"] == ""
    assert manager.history == []
    assert manager.queue_uids == [uid]
    manager.open_environment()
    assert manager.worker_pid != old


@pytest.mark.row("zmq-api", "environment_destroy: a running plan")
@pytest.mark.parametrize("paused", [False, True])
def test_a_destroyed_environment_leaves_its_plan_at_the_front(manager: ContractManager, paused: bool) -> None:
    waiting = manager.fill(2)
    held = manager.start_holding()
    if paused:
        held.pause()
    manager.destroy_environment()
    (entry,) = manager.history
    assert entry["item_uid"] == held.uid
    assert entry["result"]["exit_status"] == "failed"
    assert entry["result"]["run_uids"] == []
    assert entry["result"]["msg"].startswith("RE Worker environment was destroyed")
    first, *others = manager.queue_uids
    assert others == waiting
    assert first != held.uid
    manager.open_environment()
    held.release()
    manager.run()
    assert [item["result"]["exit_status"] for item in manager.history] == ["failed", *["completed"] * 3]


def test_a_destroyed_immediate_execution_is_not_put_into_the_queue(manager: ContractManager) -> None:
    release = manager.release_file()
    manager.accepted("queue_item_execute", item=plan("hold", str(release)), **CALLER)
    manager.wait_status(lambda s: s["re_state"] == "running")
    manager.destroy_environment()
    assert manager.queue == []
    assert [item["result"]["exit_status"] for item in manager.history] == ["failed"]


def test_no_process_of_a_closed_or_destroyed_environment_is_left(manager: ContractManager) -> None:
    first = manager.worker_pid
    manager.close_environment()
    manager.open_environment()
    second = manager.worker_pid
    manager.destroy_environment()
    assert manager.worker_pids == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in (first, second))


@pytest.mark.row(
    "zmq-api", "environment_open: why it failed (addition)", "the reason of a failed opening is in the status"
)
def test_an_opening_that_fails_says_why_and_can_be_repeated(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    broken = manager.startup_dir / "50-broken.py"
    broken.write_text("import no_such_module_anywhere\n")
    for _ in range(2):
        assert manager.call("environment_open") == {"success": True, "msg": ""}
        status = manager.wait_idle()
        assert status["worker_environment_exists"] is False
        assert "no_such_module_anywhere" in status["environment_error"]
        assert "50-broken.py" in status["environment_error"]
    wait_until(lambda: "no_such_module_anywhere" in manager.log_text, "the traceback on the console")
    broken.unlink()
    assert manager.open_environment()["environment_error"] == ""
    manager.stop()


@pytest.mark.row("zmq-api", "environment_open: lists follow")
def test_the_lists_follow_the_startup_code(start_manager: Callable[..., ContractManager]) -> None:
    manager = start_manager()
    assert manager.startup_dir is not None
    manager.open_environment()
    first = manager.status()
    extra = manager.startup_dir / "99-more.py"
    extra.write_text("def one_more_plan():\n    yield from bps.null()\n")
    manager.close_environment()
    assert "one_more_plan" not in manager.accepted("plans_existing")["plans_existing"]
    manager.open_environment()
    second = manager.status()
    changed = {name for name in first if name.endswith("_uid") and first[name] != second[name]} - {"status_uid"}
    assert {"plans_existing_uid", "plans_allowed_uid"} <= changed
    assert "devices_existing_uid" not in changed
    assert "one_more_plan" in manager.accepted("plans_allowed", user_group="primary")["plans_allowed"]
    manager.run(plan("one_more_plan"))
    assert manager.history[0]["result"]["exit_status"] == "completed"
    manager.stop()


@pytest.mark.row("zmq-api", "queue_item_add without an environment")
def test_items_are_accepted_without_an_environment(closed_manager: ContractManager) -> None:
    closed_manager.add(COUNT)
    closed_manager.add(QUICK)
    assert len(closed_manager.queue) == 2
