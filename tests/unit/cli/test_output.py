from __future__ import annotations

from datetime import datetime

import pytest

from queueserver_cli.output import error, format_reply, message, shorten

NOON = datetime(2026, 1, 1, 12, 3, 4)


def test_a_reply_stands_below_its_time_in_the_order_of_its_keys() -> None:
    reply = {"success": True, "msg": "", "items": [], "running_item": {}, "plan_queue_uid": "b" * 36}
    assert message(reply, NOON) == (
        "12:03:04 - MESSAGE: \n"
        "{'success': True,\n"
        " 'msg': '',\n"
        " 'items': [],\n"
        " 'running_item': {},\n"
        " 'plan_queue_uid': 'bbbbbbbb" + "b" * 28 + "'}"
    )


def test_short_replies_take_one_line() -> None:
    assert format_reply({"success": True, "msg": ""}) == "{'success': True, 'msg': ''}"


def test_a_missing_reply_is_one_line() -> None:
    text = "ZMQ communication error: timeout occurred"
    assert error(text, NOON) == "12:03:04 - ERROR: ZMQ communication error: timeout occurred"


@pytest.mark.parametrize("length", [0, 1, 10])
def test_lists_of_up_to_10_elements_are_whole(length: int) -> None:
    assert shorten({"items": list(range(length))}) == {"items": list(range(length))}


@pytest.mark.row("cli", "long lists are cut")
def test_longer_lists_keep_10_elements_at_every_depth() -> None:
    assert shorten({"x": [list(range(20))] * 11}) == {"x": [[*range(10), "..."]] * 10 + ["..."]}


@pytest.mark.row("cli", "long mappings are cut")
def test_mappings_keep_30_entries_at_every_depth() -> None:
    whole = {f"k{i}": i for i in range(30)}
    assert shorten({"x": whole}) == {"x": whole}
    assert shorten({"x": whole | {"more": 1}}) == {"x": whole | {"...": "..."}}
    assert shorten(whole | {"more": 1}) == whole | {"...": "..."}


@pytest.mark.row("cli", "long strings are cut")
def test_strings_of_up_to_1024_characters_are_whole_and_longer_ones_keep_their_ends() -> None:
    assert shorten({"x": "a" * 1024}) == {"x": "a" * 1024}
    long = "a" * 512 + "b" * 3 + "c" * 512
    assert shorten({"x": [long]}) == {"x": ["a" * 512 + " ...\n... " + "c" * 512]}


@pytest.mark.row("cli", "tracebacks are whole")
def test_tracebacks_are_never_cut() -> None:
    assert shorten({"result": {"traceback": "t" * 5000}}) == {"result": {"traceback": "t" * 5000}}


@pytest.mark.row("cli", "plans and devices are named only")
@pytest.mark.parametrize("name", ["plans_allowed", "plans_existing", "devices_allowed", "devices_existing"])
def test_all_plans_and_devices_are_named_and_none_is_described(name: str) -> None:
    descriptions = {f"k{i}": {"name": f"k{i}"} for i in range(35)}
    assert shorten({name: descriptions}) == {name: {f"k{i}": "{...}" for i in range(35)}}


def test_a_refused_list_of_plans_is_shown_as_it_came() -> None:
    reply = {"success": False, "plans_allowed": {}, "plans_allowed_uid": None, "devices_allowed": None}
    assert shorten(reply) == reply


def test_numbers_that_json_does_not_know_are_shown() -> None:
    assert format_reply({"x": [float("nan"), float("inf"), 10**30]}) == "{'x': [nan, inf, " + str(10**30) + "]}"
