"""Every method of the contract: prefix of its refusals, parameters, values of a failure (zmq-api 2, 5 and 6)."""

from __future__ import annotations

from typing import Any

ADD, UPDATE, GET = "Failed to add an item: ", "Failed to add an item: ", "Failed to get an item: "
REMOVE, REMOVE_BATCH = "Failed to remove an item: ", "Failed to remove a batch of items: "
MOVE, MOVE_BATCH = "Failed to move the item: ", "Failed to move the batch of items: "
EXECUTE, MODE, ERROR = "Failed to start execution of the item: ", "Failed to set queue mode: ", "Error: "
INTERRUPT = "Failed to interrupt IPython kernel: "

SUPPORTED: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "config_get": ("", [], {"config": {}}),
    "queue_get": (ERROR, [], {"items": [], "running_item": {}, "plan_queue_uid": ""}),
    "plans_allowed": ("", ["user_group"], {"plans_allowed": {}, "plans_allowed_uid": None}),
    "plans_existing": ("", [], {"plans_existing": {}, "plans_existing_uid": None}),
    "devices_allowed": ("", ["user_group"], {"devices_allowed": {}, "devices_allowed_uid": None}),
    "devices_existing": ("", [], {"devices_existing": {}, "devices_existing_uid": None}),
    "permissions_get": (ERROR, [], {"user_group_permissions": {}}),
    "permissions_set": (ERROR, ["user_group_permissions", "lock_key"], {}),
    "permissions_reload": (ERROR, ["restore_plans_devices", "restore_permissions", "lock_key"], {}),
    "history_get": (
        ERROR,
        [
            "offset",
            "limit",
            "newest_first",
            "plan",
            "user",
            "exit_status",
            "time_from",
            "time_to",
            "item_uid",
        ],
        {"items": [], "plan_history_uid": ""},
    ),
    "history_clear": (ERROR, ["size", "item_uid", "lock_key"], {}),
    "environment_open": (ERROR, ["lock_key"], {}),
    "environment_close": (ERROR, ["lock_key"], {}),
    "environment_destroy": (ERROR, ["lock_key"], {}),
    "environment_update": (ERROR, ["run_in_background", "lock_key"], {"task_uid": None}),
    "script_upload": (
        ERROR,
        ["script", "update_lists", "update_re", "idempotency_key", "run_in_background", "lock_key"],
        {"task_uid": None},
    ),
    "function_execute": (
        ERROR,
        ["item", "user_group", "user", "idempotency_key", "run_in_background", "lock_key"],
        {"item": None, "task_uid": None},
    ),
    "task_status": (ERROR, ["task_uid"], {"task_uid": None, "status": None}),
    "task_result": (ERROR, ["task_uid"], {"task_uid": None, "status": None, "result": None}),
    "task_list": (ERROR, [], {"tasks": []}),
    "task_cancel": (ERROR, ["task_uid", "lock_key"], {}),
    "queue_mode_set": (MODE, ["mode", "lock_key"], {}),
    "queue_item_add": (
        ADD,
        [
            "user_group",
            "user",
            "item",
            "pos",
            "before_uid",
            "after_uid",
            "idempotency_key",
            "lock_key",
            "expect_queue_uid",
        ],
        {"qsize": None, "item": None},
    ),
    "queue_item_add_batch": (
        ADD,
        [
            "user_group",
            "user",
            "items",
            "pos",
            "before_uid",
            "after_uid",
            "idempotency_key",
            "lock_key",
            "expect_queue_uid",
        ],
        {"qsize": 0, "items": [], "results": []},
    ),
    "queue_item_update": (
        UPDATE,
        ["user_group", "user", "item", "replace", "lock_key", "expect_queue_uid"],
        {"qsize": 0, "item": None},
    ),
    "queue_item_get": (GET, ["pos", "uid"], {"item": {}}),
    "queue_item_remove": (REMOVE, ["pos", "uid", "lock_key", "expect_queue_uid"], {"item": {}, "qsize": None}),
    "queue_item_remove_batch": (
        REMOVE_BATCH,
        ["uids", "ignore_missing", "lock_key", "expect_queue_uid"],
        {"items": [], "qsize": None},
    ),
    "queue_item_move": (
        MOVE,
        ["pos", "uid", "pos_dest", "before_uid", "after_uid", "lock_key", "expect_queue_uid"],
        {"item": {}, "qsize": None},
    ),
    "queue_item_move_batch": (
        MOVE_BATCH,
        ["uids", "pos_dest", "before_uid", "after_uid", "reorder", "lock_key", "expect_queue_uid"],
        {"items": [], "qsize": None},
    ),
    "queue_item_execute": (
        EXECUTE,
        ["user_group", "user", "item", "lock_key", "idempotency_key"],
        {"qsize": None, "item": None},
    ),
    "queue_clear": (ERROR, ["lock_key", "expect_queue_uid"], {}),
    "queue_start": (ERROR, ["lock_key"], {}),
    "queue_stop": (ERROR, ["lock_key"], {}),
    "queue_stop_cancel": (ERROR, ["lock_key"], {}),
    "queue_autostart": (ERROR, ["enable", "lock_key"], {}),
    "kernel_interrupt": (INTERRUPT, ["interrupt_task", "interrupt_plan", "lock_key"], {}),
    "re_pause": (ERROR, ["option", "lock_key"], {}),
    "re_resume": (ERROR, ["lock_key"], {}),
    "re_stop": (ERROR, ["lock_key"], {}),
    "re_abort": (ERROR, ["lock_key"], {}),
    "re_halt": (ERROR, ["lock_key"], {}),
    "re_runs": (ERROR, ["option"], {"run_list": [], "run_list_uid": ""}),
    "re_metadata": (ERROR, [], {"re_metadata": {}}),
    "console_get": (ERROR, ["after", "limit"], {"messages": [], "first_seq": None, "last_seq": None}),
    "audit_get": (ERROR, ["limit", "before"], {"entries": []}),
    "validate": (ERROR, ["user_group", "user", "items"], {"results": []}),
    "lock": (ERROR, ["lock_key", "note", "environment", "queue", "user"], {"lock_info": {}, "lock_info_uid": None}),
    "lock_info": (ERROR, ["lock_key"], {"lock_info": {}, "lock_info_uid": None}),
    "unlock": (ERROR, ["lock_key"], {"lock_info": {}, "lock_info_uid": None}),
    "manager_stop": (ERROR, ["option"], {}),
    "manager_kill": (ERROR, [], {}),
    "manager_test": (ERROR, ["test_name"], {}),
}
"""Prefix, supported parameters and failure values of every method but `ping` and `status`."""

QUEUE_LOCK = (
    "permissions_reload",
    "permissions_set",
    "queue_mode_set",
    "queue_item_add",
    "queue_item_add_batch",
    "queue_item_update",
    "queue_item_remove",
    "queue_item_remove_batch",
    "queue_item_move",
    "queue_item_move_batch",
    "queue_clear",
    "history_clear",
)
"""Methods that the lock of the queue guards (zmq-api 2.1)."""

ENVIRONMENT_LOCK = (
    "queue_item_execute",
    "environment_open",
    "environment_close",
    "environment_destroy",
    "environment_update",
    "script_upload",
    "function_execute",
    "task_cancel",
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
)
"""Methods that the lock of the environment guards (zmq-api 2.1)."""
