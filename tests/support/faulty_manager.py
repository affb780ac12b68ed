"""What the fault tests do to a manager: a small startup directory, and what is to be true after a fault."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from contract_manager import QUICK, ContractManager, Item, plan
from manager_client import Status

ENGINE = "from bluesky import RunEngine\nfrom bluesky.plan_stubs import null\n\nRE = RunEngine({})\n"

SLOW_START = """
import pathlib, time
while not pathlib.Path(__file__).with_name("go-on").exists():
    time.sleep(0.005)
"""
"""Startup code that waits for `FaultyManager.let_go_on`."""

MORE_PLANS = """
from pathlib import Path

import bluesky.plan_stubs as bps


def hold_then_fail(release: str):
    while not Path(release).exists():
        yield from bps.sleep(0.005)
    raise RuntimeError("it fails as it was told to")


def hold_and_print(release: str):
    while not Path(release).exists():
        print("it prints", flush=True)
        yield from bps.checkpoint()
        yield from bps.sleep(0.005)


def hold_before_checkpoint(go_on: str, release: str):
    yield from bps.checkpoint()
    while not Path(go_on).exists():
        yield from bps.sleep(0.005)
    while not Path(release).exists():
        yield from bps.checkpoint()
        yield from bps.sleep(0.005)
"""

PROFILE = {
    "00-engine.py": ENGINE,
    "90-more-plans.py": MORE_PLANS,
    "95-plans-of-tests.py": Path(__file__).with_name("plans_of_tests.py").read_text(),
}
"""A RunEngine and the plans that tests direct: opened faster than the simulated profile."""

LONG = 30.0
"""Seconds that a loaded machine may take for what takes well below one."""


class FaultyManager(ContractManager):
    """A manager that is going to have an accident."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"startup_files": PROFILE, **arguments})

    # What is there ----------------------------------------------------------------------------------------------

    @property
    def running_uid(self) -> str | None:
        item: Item = self.accepted("queue_get")["running_item"]
        return item.get("item_uid")

    def results(self) -> list[tuple[str, str]]:
        """Name and exit status of each history entry."""
        return [(entry["name"], entry["result"]["exit_status"]) for entry in self.history]

    def counting_item(self) -> tuple[Item, Path]:
        """An item that leaves a line in a file each time it runs, and the file."""
        self._counts = getattr(self, "_counts", 0) + 1
        path = self.directory / f"count-{self._counts}"
        return plan("remember_start", str(path)), path

    def zombies(self) -> list[int]:
        """Children of the supervisor and of the manager that have ended and were not taken notice of."""
        parents = {str(self.supervisor_pid), str(self.manager_pid)}
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, parent = stat.read_text().rpartition(")")[2].split()[:2]
                if state == "Z" and parent in parents:
                    found.append(int(stat.parent.name))
        return found

    # What happens -----------------------------------------------------------------------------------------------

    def kill_manager(self) -> int:
        """SIGKILL for the manager process; returns its process id."""
        pid = self.manager_pid
        self.kill(pid)
        return pid

    def kill_manager_and_supervisor(self) -> None:
        """Nothing is left but the worker and Redis."""
        manager = self.manager_pid
        self.kill(manager, signal.SIGSTOP)  # else it may notice that it is alone, and leave in order
        self.kill(self.supervisor_pid)
        self.kill(manager)

    def terminate_and_wait(self, pid: int) -> None:
        """SIGTERM for a process, which ends in order."""
        self.kill(pid, signal.SIGTERM)
        wait_until(lambda: pid not in self.processes(), f"end of the process {pid}")

    def let_go_on(self) -> None:
        """Let startup code go on that waits for it."""
        (self.directory / "startup" / "go-on").touch()

    def wait_new_manager(self, old: int) -> Status:
        """The first status of the manager that the supervisor started in place of the one with this process id."""
        wait_until(lambda: any(pid != old for pid in self._with("queueserver_manager ")), "a new manager process")
        return self.wait_answer()

    def wait_worker_gone(self, timeout: float = LONG) -> Status:
        """The status when the environment is closed and the manager idle."""
        return self.wait_status(
            lambda s: s["manager_state"] == "idle" and s["worker_environment_state"] == "closed", timeout
        )

    def wait_running(self) -> Status:
        """The status when a plan is in the RunEngine."""
        return self.wait_status(lambda s: s["re_state"] == "running" and s["manager_state"] == "executing_queue", LONG)

    def wait_history(self, number: int) -> list[Item]:
        """The history when it has so many entries and the manager is idle."""
        self.wait_status(lambda s: s["items_in_history"] == number and s["manager_state"] == "idle", LONG)
        return self.history

    def spooled_ends(self) -> int:
        """How many ends of items workers have written down and no manager has stored."""
        files = self.data_dir.glob("workers/*/spool/*.jsonl")
        return sum(len(path.read_bytes().split()) > 0 for path in files)

    def works_on(self) -> None:
        """A plan can be run: nothing is stuck."""
        if not self.status()["worker_environment_exists"]:
            self.open_environment()
        self.accepted("queue_clear")
        before = len(self.history)
        self.run(QUICK)
        after = self.history
        assert len(after) == before + 1
        assert after[-1]["result"]["exit_status"] == "completed"


def wait_until(condition: Callable[[], object], what: str, timeout: float = LONG) -> None:
    """Wait for something that no status tells, for example a process or a file."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"there is no {what} within {timeout:g} s"
        time.sleep(0.005)


def assert_lost_in_hand(manager: FaultyManager, item: Item, cause: str) -> Item:
    """The item's worker was lost: history, queue and status say so. Returns the item's copy in the queue."""
    entry = next(entry for entry in manager.history if entry["item_uid"] == item["item_uid"])
    assert entry["result"]["exit_status"] == "failed"
    assert cause in entry["result"]["msg"]
    first: Item = manager.queue[0]
    assert first["name"] == item["name"]
    assert first["item_uid"] != item["item_uid"]
    assert first["requeued_from"] == item["item_uid"]
    status = manager.status()
    assert status["manager_state"] == "idle"
    assert status["running_item_uid"] is None
    assert status["queue_autostart_enabled"] is False
    assert status["worker_environment_exists"] is False
    return first
