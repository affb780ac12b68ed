from __future__ import annotations

import pytest

from queueserver_cli.arguments import CommandError, FileContent
from queueserver_cli.grammar import COMMANDS, parse

USER = {"user": "qserver-cli", "user_group": "primary"}
PLAN = '{"name": "count", "args": [["det1"]]}'
PLAN_ITEM = {"name": "count", "args": [["det1"]], "item_type": "plan"}
STOP_ITEM = {"name": "queue_stop", "item_type": "instruction"}
BACKGROUND = {"run_in_background": True}

REQUESTS = [
    (["ping"], "ping", {}),
    (["status"], "status", {}),
    (["monitor"], "ping", {}),
    (["config"], "config_get", {}),
    (["environment", "open"], "environment_open", {}),
    (["environment", "close"], "environment_close", {}),
    (["environment", "destroy"], "environment_destroy", {}),
    (["environment", "update"], "environment_update", {}),
    (["environment", "update", "background"], "environment_update", BACKGROUND),
    (["existing", "plans"], "plans_existing", {}),
    (["existing", "devices"], "devices_existing", {}),
    (["allowed", "plans"], "plans_allowed", {"user_group": "primary"}),
    (["allowed", "devices"], "devices_allowed", {"user_group": "primary"}),
    (["permissions", "reload"], "permissions_reload", {}),
    (["permissions", "reload", "lists"], "permissions_reload", {"restore_plans_devices": True}),
    (["permissions", "get"], "permissions_get", {}),
    (["permissions", "set", "p.yaml"], "permissions_set", {"user_group_permissions": FileContent("p.yaml", "yaml")}),
    (["queue", "add", "plan", PLAN], "queue_item_add", {"item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "front", PLAN], "queue_item_add", {"pos": "front", "item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "back", PLAN], "queue_item_add", {"pos": "back", "item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "2", PLAN], "queue_item_add", {"pos": 2, "item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "-1", PLAN], "queue_item_add", {"pos": -1, "item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "before", "u", PLAN], "queue_item_add", {"before_uid": "u", "item": PLAN_ITEM, **USER}),
    (["queue", "add", "plan", "after", "3", PLAN], "queue_item_add", {"after_uid": "3", "item": PLAN_ITEM, **USER}),
    (["queue", "add", "instruction", "queue-stop"], "queue_item_add", {"item": STOP_ITEM, **USER}),
    (["queue", "add", "instruction", "0", "queue-stop"], "queue_item_add", {"pos": 0, "item": STOP_ITEM, **USER}),
    (["validate", "plan", PLAN], "validate", {"items": [PLAN_ITEM], **USER}),
    (["validate", "file", "items.yaml"], "validate", {"items": FileContent("items.yaml", "yaml"), **USER}),
    (["console"], "console_get", {}),
    (["console", "after", "7", "limit", "20"], "console_get", {"after": 7, "limit": 20}),
    (
        ["queue", "update", "plan", "u", PLAN],
        "queue_item_update",
        {"item": {**PLAN_ITEM, "item_uid": "u"}, "replace": False, **USER},
    ),
    (
        ["queue", "update", "instruction", "u", "queue-stop"],
        "queue_item_update",
        {"item": {**STOP_ITEM, "item_uid": "u"}, "replace": False, **USER},
    ),
    (
        ["queue", "replace", "plan", "u", PLAN],
        "queue_item_update",
        {"item": {**PLAN_ITEM, "item_uid": "u"}, "replace": True, **USER},
    ),
    (
        ["queue", "replace", "instruction", "u", "queue-stop"],
        "queue_item_update",
        {"item": {**STOP_ITEM, "item_uid": "u"}, "replace": True, **USER},
    ),
    (["queue", "execute", "plan", PLAN], "queue_item_execute", {"item": PLAN_ITEM, **USER}),
    (["queue", "execute", "instruction", "queue-stop"], "queue_item_execute", {"item": STOP_ITEM, **USER}),
    (["queue", "get"], "queue_get", {}),
    (["queue", "clear"], "queue_clear", {}),
    (["queue", "item", "get"], "queue_item_get", {}),
    (["queue", "item", "get", "front"], "queue_item_get", {"pos": "front"}),
    (["queue", "item", "get", "-3"], "queue_item_get", {"pos": -3}),
    (["queue", "item", "get", "u"], "queue_item_get", {"uid": "u"}),
    (["queue", "item", "get", "2.5"], "queue_item_get", {"uid": "2.5"}),
    (["queue", "item", "remove"], "queue_item_remove", {}),
    (["queue", "item", "remove", "2"], "queue_item_remove", {"pos": 2}),
    (["queue", "item", "remove", "u"], "queue_item_remove", {"uid": "u"}),
    (["queue", "item", "move", "2", "5"], "queue_item_move", {"pos": 2, "pos_dest": 5}),
    (["queue", "item", "move", "back", "front"], "queue_item_move", {"pos": "back", "pos_dest": "front"}),
    (["queue", "item", "move", "u", "-2"], "queue_item_move", {"uid": "u", "pos_dest": -2}),
    (["queue", "item", "move", "u", "before", "v"], "queue_item_move", {"uid": "u", "before_uid": "v"}),
    (["queue", "item", "move", "1", "after", "v"], "queue_item_move", {"pos": 1, "after_uid": "v"}),
    (["queue", "start"], "queue_start", {}),
    (["queue", "stop"], "queue_stop", {}),
    (["queue", "stop", "cancel"], "queue_stop_cancel", {}),
    (["queue", "autostart", "enable"], "queue_autostart", {"enable": True}),
    (["queue", "autostart", "disable"], "queue_autostart", {"enable": False}),
    (["queue", "mode", "set", "loop", "True"], "queue_mode_set", {"mode": {"loop": True}}),
    (
        ["queue", "mode", "set", "loop", "False", "ignore_failures", "[1, 2]"],
        "queue_mode_set",
        {"mode": {"loop": False, "ignore_failures": [1, 2]}},
    ),
    (["queue", "mode", "set", "loop", "true"], "queue_mode_set", {"mode": {"loop": "true"}}),
    (["queue", "mode", "set", "loop", "__import__('os')"], "queue_mode_set", {"mode": {"loop": "__import__('os')"}}),
    (["queue", "mode", "set"], "queue_mode_set", {"mode": {}}),
    (["re", "pause"], "re_pause", {"option": "deferred"}),
    (["re", "pause", "deferred"], "re_pause", {"option": "deferred"}),
    (["re", "pause", "immediate"], "re_pause", {"option": "immediate"}),
    (["re", "resume"], "re_resume", {}),
    (["re", "stop", "ignored"], "re_stop", {}),
    (["re", "abort"], "re_abort", {}),
    (["re", "halt"], "re_halt", {}),
    (["re", "runs"], "re_runs", {}),
    (["re", "runs", "open"], "re_runs", {"option": "open"}),
    (["re", "metadata"], "re_metadata", {}),
    (["history", "get"], "history_get", {}),
    (
        ["history", "get", "limit", "5", "offset", "2", "newest-first", "plan", "count", "user", "Ann"],
        "history_get",
        {"limit": 5, "offset": 2, "newest_first": True, "plan": "count", "user": "Ann"},
    ),
    (
        ["history", "get", "from", "10.5", "to", "1970-01-01T00:00:20+00:00", "uid", "u", "exit-status", "failed"],
        "history_get",
        {"time_from": 10.5, "time_to": 20.0, "item_uid": "u", "exit_status": "failed"},
    ),
    (["audit"], "audit_get", {}),
    (["audit", "limit", "20", "before", "1-0"], "audit_get", {"limit": 20, "before": "1-0"}),
    (["history", "clear"], "history_clear", {}),
    (["history", "clear", "5"], "history_clear", {"size": 5}),
    (["history", "clear", "u"], "history_clear", {"item_uid": "u"}),
    (
        ["function", "execute", '{"name": "f"}'],
        "function_execute",
        {"item": {"name": "f", "item_type": "function"}, "run_in_background": False, **USER},
    ),
    (
        ["function", "execute", '{"name": "f"}', "background"],
        "function_execute",
        {"item": {"name": "f", "item_type": "function"}, "run_in_background": True, **USER},
    ),
    (
        ["script", "upload", "s.py"],
        "script_upload",
        {
            "script": FileContent("s.py", "text"),
            "run_in_background": False,
            "update_re": False,
            "update_lists": True,
            "lock_key": None,
        },
    ),
    (
        ["script", "upload", "s.py", "keep-lists", "update-re", "background"],
        "script_upload",
        {
            "script": FileContent("s.py", "text"),
            "run_in_background": True,
            "update_re": True,
            "update_lists": False,
            "lock_key": None,
        },
    ),
    (["task", "result", "u"], "task_result", {"task_uid": "u"}),
    (["task", "status", "u"], "task_status", {"task_uid": "u"}),
    (["task", "list"], "task_list", {}),
    (["task", "cancel", "u"], "task_cancel", {"task_uid": "u"}),
    (["kernel", "interrupt"], "kernel_interrupt", {}),
    (["kernel", "interrupt", "plan", "task"], "kernel_interrupt", {"interrupt_plan": True, "interrupt_task": True}),
    (["lock", "environment"], "lock", {"environment": True, "user": "qserver-cli"}),
    (["lock", "queue", "a note"], "lock", {"queue": True, "note": "a note", "user": "qserver-cli"}),
    (["lock", "all"], "lock", {"environment": True, "queue": True, "user": "qserver-cli"}),
    (["lock", "info"], "lock_info", {}),
    (["unlock"], "unlock", {}),
    (["manager", "stop"], "manager_stop", {}),
    (["manager", "stop", "safe", "on"], "manager_stop", {"option": "safe_on"}),
    (["manager", "stop", "safe", "off"], "manager_stop", {"option": "safe_off"}),
    (["manager", "kill", "test"], "manager_kill", {}),
]

TAKE_LOCK_KEY = {
    "task_cancel",
    "permissions_reload",
    "permissions_set",
    "history_clear",
    "environment_open",
    "environment_close",
    "environment_destroy",
    "environment_update",
    "script_upload",
    "function_execute",
    "queue_mode_set",
    "queue_item_add",
    "queue_item_update",
    "queue_item_remove",
    "queue_item_move",
    "queue_item_execute",
    "queue_clear",
    "queue_start",
    "queue_stop",
    "queue_stop_cancel",
    "queue_autostart",
    "kernel_interrupt",
    "re_pause",
    "re_resume",
    "re_stop",
    "re_abort",
    "re_halt",
    "lock",
    "lock_info",
    "unlock",
}
"""Methods with the parameter `lock_key` (zmq-api 6) that have a command."""


@pytest.mark.row("cli", "grammar: every command and its request")
@pytest.mark.parametrize(("words", "method", "params"), REQUESTS, ids=lambda value: str(value)[:60])
def test_words_become_the_request_of_the_contract(words: list[str], method: str, params: dict[str, object]) -> None:
    request = parse(words)
    assert (request.method, request.params) == (method, params)


@pytest.mark.parametrize(("words", "method"), [(words, method) for words, method, _ in REQUESTS], ids=str)
def test_the_lock_key_is_sent_with_every_method_that_takes_one_and_with_no_other(words: list[str], method: str) -> None:
    params = parse(words, lock_key="secret").params
    assert params.get("lock_key") == ("secret" if method in TAKE_LOCK_KEY else None)


def test_every_command_of_the_table_is_exercised_here() -> None:
    tried = [" ".join(words) for words, _, _ in REQUESTS]
    assert not [c.words for c in COMMANDS if not any(f"{t} ".startswith(f"{c.words} ") for t in tried)]


def test_only_monitor_repeats_its_request() -> None:
    assert [command.words for command in COMMANDS if command.repeated] == ["monitor"]


@pytest.mark.row("cli", "grammar: a plan is a literal or JSON")
@pytest.mark.parametrize(
    "text",
    [
        "{'name': 'count', 'kwargs': {'delay': None, 'md': {'a': True}}}",
        '{"name": "count", "kwargs": {"delay": null, "md": {"a": true}}}',
        '\n  {"name": "count",\n  "kwargs": {"delay": null, "md": {"a": true}}}\n',
    ],
)
def test_a_plan_is_a_python_literal_or_json(text: str) -> None:
    item = parse(["queue", "add", "plan", text]).params["item"]
    assert item == {"item_type": "plan", "name": "count", "kwargs": {"delay": None, "md": {"a": True}}}


def test_the_words_decide_the_type_and_uid_of_an_item_not_its_text() -> None:
    text = "{'name': 'count', 'item_type': 'function', 'item_uid': 'other'}"
    item = parse(["queue", "update", "plan", "uid", text]).params["item"]
    assert item == {"name": "count", "item_type": "plan", "item_uid": "uid"}


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "{'name': open('x')}", "[1" * 3000, "count(["])
def test_a_plan_that_is_not_a_literal_is_refused_and_never_evaluated(text: str) -> None:
    with pytest.raises(CommandError, match="neither a Python literal"):
        parse(["queue", "add", "plan", text])


def test_invalid_escapes_in_a_plan_do_not_print_warnings_of_the_compiler() -> None:
    assert parse(["queue", "add", "plan", r"{'name': '\d'}"]).params["item"]["name"] == r"\d"


@pytest.mark.row("cli", "grammar: wrong words")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["stats"], r"Unrecognized command 'stats': the nearest command is 'status'"),
        (["xyzzy"], r"Unrecognized command 'xyzzy': expected monitor \| ping \|"),
        (["queue"], r"Request 'queue' is incomplete: after 'queue', expected add \| "),
        (["queue", "item"], r"Request 'queue item' is incomplete: after 'queue item', expected get \| remove \| move"),
        (["queue", "item", "mve", "1", "2"], r"Request 'queue item mve' is not supported: .*'queue item move'"),
        (["permissions"], r"Request 'permissions' is incomplete: after 'permissions', expected reload \| get \| set"),
        (["permissions", "reload", "list"], r"unexpected 'list'\. Usage: qserver permissions reload \[lists\]"),
        (["queue", "add", "plan"], r"PLAN is missing\. Usage: qserver queue add plan \["),
        (["queue", "add", "plan", "[]"], r"the plan is not a mapping"),
        (["queue", "add", "plan", "middle", PLAN], r"'middle' is not a place in the queue"),
        (["queue", "add", "plan", "front", "back", PLAN], r"parsing the plan"),
        (["queue", "add", "instruction", "stop"], r"the only instruction is 'queue-stop'"),
        (["queue", "update", "plan", PLAN], r"PLAN is missing"),
        (["queue", "execute", "plan", "front", PLAN], r"parsing the plan"),
        (["queue", "item", "move", "1"], r"is missing"),
        (["queue", "item", "move", "u", "v"], r"'v' is not a place in the queue"),
        (["queue", "item", "get", "1", "2"], r"unexpected '2'"),
        (["queue", "mode", "set", "loop"], r"pairs of a name and a value"),
        (["queue", "mode", "get"], r"'queue mode get' is not supported: .*'queue mode set'"),
        (["queue", "autostart"], r"one of 'enable', 'disable' is expected, but nothing follows"),
        (["queue", "autostart", "on"], r"one of 'enable', 'disable' is expected, not 'on'"),
        (["re", "pause", "now"], r"Usage: qserver re pause \[deferred \| immediate\]"),
        (["re", "runs", "all"], r"Usage: qserver re runs \[active \| open \| closed\]"),
        (["history", "clear", "1", "2"], r"unexpected '2'"),
        (["function", "execute", "{'name': 'f'}", "later"], r"unexpected 'later'"),
        (["script", "upload"], r"FILE is missing"),
        (["script", "upload", "s.py", "later"], r"unexpected 'later'"),
        (["task", "result"], r"UID is missing"),
        (["kernel", "interrupt", "all"], r"unexpected 'all'"),
        (["lock", "queue", "a", "b"], r"unexpected 'b'"),
        (["unlock", "x"], r"unexpected 'x'"),
        (["manager", "stop", "safe"], r"Usage: qserver manager stop \[safe on \| safe off\]"),
        (["manager", "kill"], r"Request 'manager kill' is incomplete"),
        (["ping", "x"], r"unexpected 'x'. Usage: qserver ping"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_wrong_words_are_refused_with_what_would_be_right(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        parse(words)
