"""Tables of the queue, the history, the status and the allowed plans and devices, for terminals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.pretty import Pretty
from rich.table import Table
from rich.text import Text

from queueserver_cli.output import shorten

MOST_ROWS = 100

_GOOD, _BUSY, _BAD, _FAINT = "green", "yellow", "red", "dim"

_EXIT_STATUS_STYLES = {
    "completed": _GOOD,
    "stopped": _BUSY,
    "failed": _BAD,
    "aborted": _BAD,
    "halted": _BAD,
    "unknown": _BAD,
}

_STATE_STYLES = {
    "idle": _GOOD,
    "closed": _FAINT,
    "disabled": _FAINT,
    "failed": _BAD,
    "panicked": _BAD,
    "silent": _BAD,
    "unreachable": _BAD,
}

Reply = Mapping[str, Any]


def reply_table(method: str, reply: Reply) -> RenderableType:
    """The reply of a method as a table where there is one, else as a coloured mapping."""
    table = _TABLES.get(method)
    if table is None or reply.get("success") is False:
        return mapping(reply)
    try:
        return table(reply)
    except (AttributeError, KeyError, TypeError, ValueError):  # not the reply of a manager that we know
        return mapping(reply)


def mapping(reply: Reply) -> RenderableType:
    """A reply with its structure, cut like the plain output, without the fields that the headline shows."""
    return Pretty(shorten({key: value for key, value in reply.items() if key not in ("success", "msg")}))


def call_text(item: Reply) -> str:
    """A plan or function as it would be called, e.g. `count(['det1'], num=3)`; an instruction by its name."""
    name = str(item.get("name", "?"))
    if item.get("item_type") == "instruction":
        return name
    arguments = [repr(value) for value in item.get("args", [])]
    arguments += [f"{key}={value!r}" for key, value in item.get("kwargs", {}).items()]
    return f"{name}({', '.join(arguments)})"


def exit_status_text(status: str) -> Text:
    """How an item ended, in its colour."""
    return Text(status, style=_EXIT_STATUS_STYLES.get(status, ""))


def history_table(items: Sequence[Reply], *, uids: bool = True) -> Table:
    """Executed items, the newest last: at most the newest 100, each with its UID unless told otherwise."""
    table = _table("#", "ended", "item", "result", "seconds", "scans")
    table.columns[4].justify = "right"
    hidden = max(0, len(items) - MOST_ROWS)
    for number, item in enumerate(items[hidden:], start=hidden + 1):
        result = item["result"]
        table.add_row(
            str(number),
            _time(result.get("time_stop")),
            _item(item) if uids else Text(call_text(item)),
            _outcome(result),
            _seconds(result),
            Text(", ".join(str(scan) for scan in result.get("scan_ids", []))),
        )
    if hidden:
        table.caption = f"{hidden} older items are not shown"
    return table


def queue_table(items: Sequence[Reply], running: Reply) -> Table:
    """The running item and the items that wait, the next one first: at most 100."""
    table = _table("#", "item", "user", "group")
    if running:
        table.add_row(Text("▶", style=_BUSY), _item(running, style="bold"), *_owner(running))
    for position, item in enumerate(items[:MOST_ROWS]):
        table.add_row(str(position), _item(item), *_owner(item))
    if len(items) > MOST_ROWS:
        table.caption = f"{len(items) - MOST_ROWS} further items are not shown"
    if not items and not running:
        table.caption = "The queue is empty."
    return table


def status_table(status: Reply) -> Table:
    """Every field of the status, the states in colour and the UIDs at the end."""
    table = _table("field", "value")
    uids = [name for name in status if name.endswith("_uid") and name != "running_item_uid"]
    for name in (*(name for name in status if name not in uids), *uids):
        style = _FAINT if name in uids else ""
        table.add_row(Text(name, style=style), _status_value(name, status[name]))
    return table


def _history(reply: Reply) -> RenderableType:
    return Group(history_table(reply["items"]), _line("plan_history_uid", reply))


def _queue(reply: Reply) -> RenderableType:
    return Group(queue_table(reply["items"], reply["running_item"]), _line("plan_queue_uid", reply))


def _plans(reply: Reply) -> RenderableType:
    field, plans = _descriptions(reply)
    table = _table("plan", "parameters", "description")
    for name, plan in plans.items():
        table.add_row(
            Text(name, style="bold"),
            Text(", ".join(_parameter(parameter) for parameter in plan.get("parameters", []))),
            Text((plan.get("description") or "").strip().split("\n\n")[0].replace("\n", " ")),
        )
    return Group(table, _line(f"{field}_uid", reply))


def _devices(reply: Reply) -> RenderableType:
    field, devices = _descriptions(reply)
    table = _table("device", "class", "readable", "movable", "flyable", "components")
    for name, device in devices.items():
        table.add_row(
            Text(name, style="bold"),
            Text(str(device.get("classname", ""))),
            *(_mark(device.get(flag)) for flag in ("is_readable", "is_movable", "is_flyable")),
            Text(", ".join(device.get("components", {})), style=_FAINT),
        )
    return Group(table, _line(f"{field}_uid", reply))


def _runs_table(reply: Reply) -> RenderableType:
    table = _table("scan", "UID", "state")
    for run in reply["run_list"]:
        state = "open" if run["is_open"] else str(run["exit_status"])
        table.add_row(str(run.get("scan_id", "")), run["uid"], Text(state, style=_BUSY if run["is_open"] else ""))
    return Group(table, _line("run_list_uid", reply))


def _console(reply: Reply) -> RenderableType:
    return Text("".join(message["msg"] for message in reply["messages"]))


_TABLES: dict[str, Callable[[Reply], RenderableType]] = {
    "ping": status_table,
    "status": status_table,
    "queue_get": _queue,
    "history_get": _history,
    "plans_allowed": _plans,
    "plans_existing": _plans,
    "devices_allowed": _devices,
    "devices_existing": _devices,
    "re_runs": _runs_table,
    "console_get": _console,
}


def _table(*headers: str) -> Table:
    table = Table(*headers, box=box.SIMPLE_HEAD, header_style="bold cyan", caption_justify="left")
    for column in table.columns:
        column.overflow = "fold"
    return table


def _descriptions(reply: Reply) -> tuple[str, Mapping[str, Any]]:
    field = next(name for name in reply if name.endswith(("_allowed", "_existing")))
    return field, reply[field]


def _parameter(parameter: Reply) -> str:
    kind = parameter.get("kind", {}).get("name")
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(kind, "")
    default = f"={parameter['default']}" if "default" in parameter else ""
    return f"{stars}{parameter['name']}{default}"


def _item(item: Reply, style: str = "") -> Text:
    return Text.assemble((call_text(item), style), ("\n" + str(item.get("item_uid", "")), _FAINT))


def _owner(item: Reply) -> tuple[Text, Text]:
    return Text(str(item.get("user", ""))), Text(str(item.get("user_group", "")))


def _outcome(result: Reply) -> Text:
    status, reason = str(result.get("exit_status", "")), str(result.get("msg", "")).strip()
    return Text.assemble(exit_status_text(status), f"\n{reason}" if reason else "")


def _seconds(result: Reply) -> str:
    start, stop = result.get("time_start"), result.get("time_stop")
    return f"{stop - start:.1f}" if start and stop else ""


def _time(epoch: float | None) -> str:
    return datetime.fromtimestamp(epoch).strftime("%m-%d %H:%M:%S") if epoch else ""


def _mark(flag: object) -> Text:
    return Text("yes", style=_GOOD) if flag else Text("-", style=_FAINT)


def _status_value(name: str, value: Any) -> RenderableType:
    if isinstance(value, bool):
        return Text(str(value), style=_BUSY if value and name.endswith("_pending") else "" if value else _FAINT)
    if name.endswith("_state") or name == "worker_link":
        return Text(str(value), style=_FAINT if value is None else _STATE_STYLES.get(str(value), _BUSY))
    if name.endswith("_uid"):
        return Text(str(value), style=_FAINT)
    if isinstance(value, dict):
        return Text(", ".join(f"{key}: {entry}" for key, entry in value.items()))
    return Text(str(value), style=_FAINT if value is None else "")


def _line(name: str, reply: Reply) -> Text:
    return Text(f" {name}: {reply.get(name)}", style=_FAINT)
