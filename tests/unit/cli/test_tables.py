from __future__ import annotations

from typing import Any

from rich.console import Console

from queueserver_cli.tables import call_text, history_table, queue_table, reply_table


def rendered(table: Any, width: int = 160) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def item(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"item_type": "plan", "name": f"plan{number}", "item_uid": f"uid{number}", "user": "me", **more}


def executed(number: int = 1, **result: Any) -> dict[str, Any]:
    usual = {"exit_status": "completed", "msg": "", "scan_ids": [4, 5], "time_start": 1000.0, "time_stop": 1002.5}
    return item(number, result={**usual, **result})


def test_a_plan_is_shown_as_the_call_that_it_is() -> None:
    plan = {"item_type": "plan", "name": "count", "args": [["det1"], -1], "kwargs": {"num": 3, "delay": None}}
    assert call_text(plan) == "count(['det1'], -1, num=3, delay=None)"
    assert call_text({"item_type": "plan", "name": "null"}) == "null()"
    assert call_text({"item_type": "instruction", "name": "queue_stop"}) == "queue_stop"


def test_the_queue_shows_the_running_item_first_and_then_positions() -> None:
    lines = rendered(queue_table([item(1), item(2)], item(0))).splitlines()
    order = [next(i for i, line in enumerate(lines) if name in line) for name in ("plan0()", "plan1()", "plan2()")]
    assert order == sorted(order)
    assert "▶" in lines[order[0]]
    assert lines[order[1]].split()[0] == "0"
    assert "uid2" in "\n".join(lines)


def test_an_empty_queue_says_so() -> None:
    assert "The queue is empty." in rendered(queue_table([], {}))


def test_history_shows_outcome_duration_scans_and_reason() -> None:
    text = rendered(history_table([executed(1), executed(2, exit_status="failed", msg="no beam")]))
    assert "completed" in text
    assert "2.5" in text
    assert "4, 5" in text
    assert "failed" in text
    assert "no beam" in text
    assert "uid1" in text


def test_the_newest_hundred_of_a_long_history_are_shown_with_their_numbers() -> None:
    text = rendered(history_table([executed(number) for number in range(1, 151)]))
    assert "50 older items are not shown" in text
    assert "plan50()" not in text
    assert "plan51()" in text
    assert "plan150()" in text


def test_a_status_shows_every_field() -> None:
    status = {"msg": "RE Manager v1", "manager_state": "idle", "status_uid": "abc", "lock": {"queue": True}, "new": 7}
    text = rendered(reply_table("status", status))
    assert all(name in text for name in (*status, "abc", "queue: True", "7"))


def test_plans_show_their_parameters_and_the_first_paragraph_of_their_description() -> None:
    plan = {
        "name": "scan",
        "description": "Scan over\none motor.\n\nDetails.",
        "parameters": [
            {"name": "detectors", "kind": {"name": "POSITIONAL_OR_KEYWORD"}},
            {"name": "args", "kind": {"name": "VAR_POSITIONAL"}},
            {"name": "num", "kind": {"name": "KEYWORD_ONLY"}, "default": "None"},
        ],
    }
    text = rendered(reply_table("plans_allowed", {"plans_allowed": {"scan": plan}, "plans_allowed_uid": "u-7"}))
    assert "detectors, *args, num=None" in text
    assert "Scan over one motor." in text
    assert "Details" not in text
    assert "u-7" in text


def test_text_of_a_client_is_never_taken_for_markup() -> None:
    text = rendered(queue_table([item(1, args=["[red]x[/red]", "[/]"])], {}))
    assert "plan1('[red]x[/red]', '[/]')" in text


def test_an_unexpected_reply_is_shown_as_a_mapping() -> None:
    assert "'surprise': 1" in rendered(reply_table("history_get", {"surprise": 1}))
    assert "'items': 5" in rendered(reply_table("history_get", {"items": 5, "plan_history_uid": ""}))
    assert "'item': None" in rendered(reply_table("queue_get", {"success": False, "msg": "no", "item": None}))
