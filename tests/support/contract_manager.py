"""What the contract tests say to a manager, in their words: items, the order of the queue, plans that wait."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from manager_client import ManagerClient, Status
from running_manager import SIMULATED_PROFILE, RunningManager

CALLER = {"user": "Tester", "user_group": "primary"}

PROFILE = {
    **{path.name: path.read_text() for path in sorted(SIMULATED_PROFILE.glob("*.py"))},
    "95-plans-of-tests.py": Path(__file__).with_name("plans_of_tests.py").read_text(),
}
"""The simulated profile and the plans that tests direct."""

UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""UUID4 text."""

EMERGENCY_KEY = "key of the tests' administrator"
"""Emergency lock key of the managers that tests share."""

Item = dict[str, Any]

STOP_INSTRUCTION: Item = {"item_type": "instruction", "name": "queue_stop"}


def plan(name: str, *args: Any, **kwargs: Any) -> Item:
    """A plan item as a client submits it."""
    item: Item = {"item_type": "plan", "name": name}
    return item | ({"args": list(args)} if args else {}) | ({"kwargs": kwargs} if kwargs else {})


QUICK = plan("null")
"""A plan without a run."""

COUNT = plan("count", ["det"])
"""One run of one point."""


class ReleaseFile(Protocol):
    """A file where the worker is; plans and scripts that wait for it are told its path by `str`."""

    def touch(self) -> None: ...

    def exists(self) -> bool: ...


class ContractClient(ManagerClient):
    """A manager with the profile of the tests, wherever it runs."""

    def refused(self, method: str, params: Any = None, /, **more: Any) -> Any:
        """The reply to a request that must be refused."""
        reply = self.call(method, params, **more)
        assert reply["success"] is False, reply
        assert reply["msg"]
        return reply

    # Scripts and functions --------------------------------------------------------------------------------------

    def task_result(self, uid: str) -> dict[str, Any]:
        """The result of a task, once it has ended."""
        self.wait_status(lambda _: self.accepted("task_status", task_uid=uid)["status"] != "running")
        reply = self.accepted("task_result", task_uid=uid)
        assert (reply["task_uid"], reply["status"]) == (uid, "completed")
        result: dict[str, Any] = reply["result"]
        return result

    def upload(self, script: str, **options: Any) -> dict[str, Any]:
        """The result of a script."""
        return self.task_result(self.accepted("script_upload", script=script, **options)["task_uid"])

    def execute(self, name: str, *args: Any, **options: Any) -> dict[str, Any]:
        """The result of a function."""
        item = {"item_type": "function", "name": name, "args": list(args)}
        return self.task_result(self.accepted("function_execute", item=item, **CALLER, **options)["task_uid"])

    # The queue --------------------------------------------------------------------------------------------------

    def add(self, item: Item = QUICK, /, **place: Any) -> Item:
        """The stored item after a successful `queue_item_add`."""
        stored: Item = self.accepted("queue_item_add", item=item, **CALLER, **place)["item"]
        return stored

    def fill(self, number: int) -> list[str]:
        """Empty the queue, add quick plans, return their uids."""
        self.accepted("queue_clear")
        reply = self.accepted("queue_item_add_batch", items=[QUICK] * number, **CALLER)
        return [item["item_uid"] for item in reply["items"]]

    @property
    def queue(self) -> list[Item]:
        items: list[Item] = self.accepted("queue_get")["items"]
        return items

    @property
    def queue_uids(self) -> list[str]:
        return [item["item_uid"] for item in self.queue]

    @property
    def history(self) -> list[Item]:
        items: list[Item] = self.accepted("history_get")["items"]
        return items

    # Execution --------------------------------------------------------------------------------------------------

    def start_queue(self) -> None:
        self.accepted("queue_start")

    def run(self, *items: Item) -> Status:
        """Run items through the queue until the manager is idle; returns the status then."""
        before = self.status()["items_in_history"]
        for item in items:
            self.add(item)
        self.start_queue()
        return self.wait_status(lambda s: s["manager_state"] == "idle" and s["items_in_history"] > before)

    def release_file(self) -> ReleaseFile:
        """A file that does not exist yet, for plans that wait."""
        raise NotImplementedError

    def start_holding(self, name: str = "hold", **kwargs: Any) -> Held:
        """Add a plan that waits to the front, start the queue, and return once the RunEngine runs it."""
        release = self.release_file()
        item = self.add(plan(name, str(release), **kwargs), pos="front")
        self.start_queue()
        held = Held(self, item, release)
        held.wait_running()
        return held

    # Between tests ----------------------------------------------------------------------------------------------

    def reset(self, *, environment: bool) -> None:
        """An idle manager with nothing in queue and history, default modes, and an environment or none."""
        self.call("unlock", lock_key=EMERGENCY_KEY)
        self.accepted("queue_autostart", enable=False)
        self.accepted("queue_clear")
        status = self.status()
        if status["manager_state"] != "idle" or (status["worker_environment_exists"] and not environment):
            if status["worker_environment_state"] != "closed":
                self.call("environment_destroy")
            status = self.wait_idle()
        if environment and not status["worker_environment_exists"]:
            self.open_environment()
        for method in ("queue_clear", "history_clear", "queue_stop_cancel"):
            self.accepted(method)
        self.accepted("queue_mode_set", mode="default")
        self.seen.clear()


class ContractManager(ContractClient, RunningManager):
    """A manager on this machine with the profile of the tests."""

    def __init__(self, *, startup_files: Mapping[str, str] | None = PROFILE, **arguments: Any) -> None:
        super().__init__(startup_files=startup_files, **arguments)
        self._releases = 0

    def release_file(self) -> Path:
        """A file that does not exist yet, for plans that wait."""
        self._releases += 1
        return self.directory / f"release-{self._releases}"


class Held:
    """A plan in the RunEngine that waits for its release."""

    def __init__(self, manager: ContractClient, item: Item, release: ReleaseFile) -> None:
        self._manager = manager
        self.item = item
        self._release = release

    @property
    def uid(self) -> str:
        uid: str = self.item["item_uid"]
        return uid

    def wait_running(self) -> Status:
        """The status when the RunEngine runs it."""
        return self._manager.wait_status(
            lambda s: s["re_state"] == "running" and s["manager_state"] == "executing_queue"
        )

    def pause(self, option: str = "immediate") -> Status:
        """Pause it; the status then."""
        self._manager.accepted("re_pause", option=option)
        return self._manager.wait_status(lambda s: s["manager_state"] == "paused")

    def release(self) -> None:
        """Let it go on to its end."""
        self._release.touch()

    def end(self) -> Status:
        """Let it end; the status when the manager is idle."""
        self.release()
        return self._manager.wait_idle()
