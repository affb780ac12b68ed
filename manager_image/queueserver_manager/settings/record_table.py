"""Settings of what the manager keeps in its store and for how long; part of the settings table."""

from __future__ import annotations

from queueserver_manager.settings.declaration import Group, Setting
from queueserver_manager.settings.values import Integer, OnOff, Seconds

RECORD_SETTINGS: tuple[Setting, ...] = (
    Setting(
        "import_upstream",
        Group.STORE,
        OnOff(),
        True,
        "Take over, once, the queue and history that bluesky-queueserver left under the same prefix",
        option="--import-upstream",
        key="service/import_upstream",
    ),
    Setting(
        "history_limit",
        Group.STORE,
        Integer(0),
        10_000,
        "Entries that the history holds at most, the oldest go first; 0 is without limit",
        option="--history-limit",
        key="service/history_limit",
    ),
    Setting(
        "audit_limit",
        Group.STORE,
        Integer(0),
        10_000,
        "Entries that the audit log of requests holds at most; 0 keeps none",
        option="--audit-limit",
        key="service/audit_limit",
    ),
    Setting(
        "task_results_time",
        Group.STORE,
        Seconds(),
        86_400.0,
        "Time for which the results of scripts and functions can be asked for",
        option="--task-results-time",
        key="service/task_results_time",
        default_text="86400, a day",
    ),
    Setting(
        "task_results_limit",
        Group.STORE,
        Integer(1),
        1000,
        "Results of scripts and functions that are kept at most, the oldest go first",
        option="--task-results-limit",
        key="service/task_results_limit",
    ),
)
