"""The rows of the table, in its order."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.samples import Statistic
from benchmarks.targets import Target, at_least, at_most, over_floor, times_upstream


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what is measured, in which unit, and what it is to reach."""

    key: str
    title: str
    unit: str
    target: Target | None
    """None for what is told and not judged."""
    statistic: Statistic = statistics.median


PLANS_PER_S = "plans/s"
PER_S = "/s"
MS = "ms"
S = "s"
MB = "MB"

FIGURES = (
    Figure("plans.noop", "No-op plans through the queue, start to start", PLANS_PER_S, at_least(150)),
    Figure("plans.count", "`count([det], num=1)`, start to start", MS, over_floor(5)),
    Figure("status.1", "`status`, 1 client", PER_S, times_upstream(1.2)),
    Figure("status.8", "`status`, 8 clients", PER_S, times_upstream(1.5)),
    Figure("curve.1", "`status` encrypted, 1 client, in units of that in clear", "", at_least(0.75)),
    Figure("curve.8", "`status` encrypted, 8 clients, in units of that in clear", "", at_least(0.75)),
    Figure("task.function", "`function_execute` of a function that does nothing, until its result", MS, at_most(15)),
    Figure("task.script", "`script_upload` of a script that adds a plan, until its result", MS, at_most(50)),
    Figure("task.quiet_script", "`script_upload` of a script that adds nothing, until its result", MS, at_most(50)),
    Figure("add.0", "`queue_item_add`, empty queue", PER_S, at_least(2500)),
    Figure("add.10000", "`queue_item_add`, 10,000 queued", PER_S, at_least(2500)),
    Figure("add.100000", "`queue_item_add`, 100,000 queued", PER_S, at_least(2500)),
    Figure("add.even", "`queue_item_add`, slowest over fastest of the three", "", at_least(0.8)),
    Figure("batch.add", "`queue_item_add_batch` of 1,000", S, at_most(0.15)),
    Figure("batch.status", "`status` meanwhile, slowest reply", MS, at_most(20)),
    Figure("get.10000", "`queue_get`, 10,000 queued", MS, at_most(8)),
    Figure("edit.move", "`queue_item_move` by uid, 10,000 queued", MS, at_most(1)),
    Figure("edit.remove", "`queue_item_remove` by uid, 10,000 queued", MS, at_most(1)),
    Figure("edit.move_batch", "`queue_item_move_batch` of 100, 10,000 queued", MS, at_most(10)),
    Figure("history.page", "`history_get` of the newest 100, 100,000 entries", MS, at_most(5)),
    Figure("history.offset", "`history_get` of 100 from the middle, 100,000 entries", MS, at_most(5)),
    Figure("history.time", "`history_get` of 100 from a time on, 100,000 entries", MS, at_most(5)),
    Figure("history.uid", "`history_get` of an item, 100,000 entries", MS, at_most(5)),
    Figure("history.memory", "Manager resident memory for 100,000 history entries", MB, at_most(5)),
    Figure("control.pause", "`re_pause` to `paused` in the status", MS, at_most(20)),
    Figure("control.resume", "`re_resume` to `running` in the status", MS, at_most(20)),
    Figure("control.abort", "`re_abort` to `idle` in the status", MS, over_floor(15)),
    Figure("environment.open", "Environment open, simulated profile", S, over_floor(0.2, limit=0.8)),
    Figure("environment.open_other", "Environment open, a profile of one's own", S, over_floor(0.2)),
    Figure("environment.open_cold", "Environment open, no interpreter kept ready", S, over_floor(0.2)),
    Figure("environment.close", "Environment close", S, at_most(0.1)),
    Figure("console.rate", "Console burst of 20,000 lines", "lines/s", at_least(60_000)),
    Figure("console.received", "Lines of it received", "", at_least(20_000), min),
    Figure("http.status.1", "HTTP `GET /api/status`, 1 connection", PER_S, at_least(2000)),
    Figure("http.status.8", "HTTP `GET /api/status`, 8 connections", PER_S, at_least(3000)),
    Figure("http.add.1", "HTTP `POST /api/queue/item/add`, 1 connection", PER_S, at_least(1000)),
    Figure("http.add.8", "HTTP `POST /api/queue/item/add`, 8 connections", PER_S, at_least(1500)),
    Figure("http.get.10000", "HTTP `GET /api/queue/get`, 10,000 queued", MS, at_most(20)),
    Figure("http.memory", "HTTP server resident memory, idle, one key", MB, at_most(70)),
    Figure("http.memory.accounts", "HTTP server resident memory, idle, accounts in SQLite", MB, at_most(70)),
    Figure("http.memory.log_in", "The same after a log-in", MB, None),
    Figure("http.websockets", "Lines that the worst of 500 websockets got, of 5,000 in 5 s", "", at_least(5000), min),
    Figure("http.websockets.memory", "HTTP server resident memory with 500 websockets", MB, at_most(250)),
    Figure("durable.add", "`queue_item_add`, every write forced to disk", PER_S, None),
    Figure("durable.noop", "No-op plans, every write forced to disk", PLANS_PER_S, None),
    Figure("memory.empty", "Manager resident memory, empty", MB, at_most(60)),
    Figure("memory.100000", "Manager resident memory, 100,000 items", MB, at_most(130)),
)
