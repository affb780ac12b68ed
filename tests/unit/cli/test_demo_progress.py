from __future__ import annotations

from typing import Any

import pytest

from queueserver_cli.demo.progress import Progress, Step, sparkline

TABLE = """

Transient Scan ID: 7     Time: 2026-01-01 12:00:00
Persistent Unique Scan ID: 'a'
New stream: 'primary'
+-----------+------------+------------+
|   seq_num |       time |       det1 |
+-----------+------------+------------+
|         1 | 12:00:00.1 |      0.500 |
|         2 | 12:00:00.2 |      1.500 |
+-----------+------------+------------+
"""


def step(uid: str = "u", **fields: Any) -> Step:
    return Step("purpose", {"name": "count"}, uid=uid, **fields)


def status(running: str | None, manager_state: str = "executing_queue") -> dict[str, Any]:
    return {"running_item_uid": running, "manager_state": manager_state}


def history(uid: str, **result: Any) -> dict[str, Any]:
    usual = {"exit_status": "completed", "msg": "", "scan_ids": [], "time_start": 1.0, "time_stop": 3.0}
    return {"item_uid": uid, "result": {**usual, **result}}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_points_are_found_in_console_output_however_it_is_cut(size: int) -> None:
    progress = Progress([step(scans=[7])])
    for start in range(0, len(TABLE), size):
        progress.see_console(TABLE[start : start + size])
    assert progress.readings(progress.steps[0]) == [0.5, 1.5]


def test_points_belong_to_the_plan_whose_run_has_their_scan_number() -> None:
    progress = Progress([step("u"), step("v")])
    progress.see_status(status("u"))
    progress.see_runs([{"scan_id": 7}])
    progress.see_console(TABLE)
    assert progress.readings(progress.steps[0]) == [0.5, 1.5]
    assert progress.readings(progress.steps[1]) == []


def test_points_that_come_before_the_news_of_their_run_are_not_lost() -> None:
    progress = Progress([step("u")])
    progress.see_console(TABLE)
    assert progress.readings(progress.steps[0]) == []
    progress.see_history([history("u", scan_ids=[7])])
    assert progress.readings(progress.steps[0]) == [0.5, 1.5]


def test_the_running_item_of_the_status_is_the_current_step() -> None:
    progress = Progress([step("u"), step("v")])
    assert progress.current is None
    progress.see_status(status("u"))
    assert (progress.steps[0].state, progress.steps[1].state, progress.waiting) == ("running", "waiting", 1)
    progress.see_status(status("u", "paused"))
    assert progress.current is progress.steps[0]
    assert progress.steps[0].state == "paused"


def test_runs_belong_to_the_running_step_even_before_the_end_of_the_last_one_is_known() -> None:
    progress = Progress([step("u"), step("v")])
    progress.see_status(status("u"))
    progress.see_status(status("v"))
    progress.see_runs([{"scan_id": 7}])
    assert [each.scans for each in progress.steps] == [[], [7]]


def test_history_tells_how_a_step_ended() -> None:
    progress = Progress([step("u"), step("v")])
    progress.see_history([history("u", exit_status="failed", msg="no beam"), history("someone else's")])
    assert (progress.steps[0].state, progress.steps[0].reason, progress.steps[0].seconds) == ("failed", "no beam", 2.0)
    assert progress.steps[1].state == "waiting"


def test_a_line_of_bars_has_the_shape_of_the_values() -> None:
    assert sparkline([], 10) == ""
    assert sparkline([1.0], 10) == "▁"
    assert sparkline([0.0, 1.0, 0.0], 10) == "▁█▁"
    assert sparkline([0, 9, 0, 0, 0, 0], 3) == "█▁▁"
    assert len(sparkline(list(range(1000)), 32)) <= 32
