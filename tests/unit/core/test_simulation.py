"""Random commands, worker reports and crashes at every boundary; the rules that must hold after each step."""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest

from queueserver_common.encoded import Encoded
from queueserver_common.link.messages import ExitStatus
from queueserver_manager.core.core import Core
from queueserver_manager.core.model import EnvironmentStage
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.status import status_mapping
from queueserver_manager.core.tasks import NEVER_SENT
from simulated_world import ManagerCrash, StoreState, World

STEPS = int(os.environ.get("SIMULATION_STEPS", "120000"))
SEEDS = 60
STEPS_TO_REST = 40
"""Steps after which `test_nothing_is_stuck` lets the world come to rest."""
ITEM = {"item_type": "plan", "name": "count"}
FUNCTION = {"item_type": "function", "name": "look"}
CALLER = {"user": "simulation", "user_group": "primary"}
BUSY = (ManagerState.STARTING_QUEUE, ManagerState.EXECUTING_QUEUE, ManagerState.PAUSED)


UNDER_WAY = (
    "start_manager",
    "store_answers",
    "store_back",
    "give_worker_up",
    "launch",
    "report_end",
    "deliver_to_manager",
    "deliver_to_worker",
    "load",
    "start_item",
    "end_item",
    "abort_item",
    "refuse_item",
    "leave",
    "pause",
    "end_task",
)
"""Actions that happen by themselves when nothing goes wrong."""


class Beamline(World):
    """The world plus the people and accidents that act on it."""

    def step(self) -> None:
        self.now += 0.01
        actions = self._possible()
        names, weights = zip(*actions, strict=True)
        action = self.random.choices(names, weights)[0]
        self.trace.append(action)
        try:
            getattr(self, f"do_{action}")()
        except ManagerCrash:
            self.crash_manager()
        if self.left and self.core is not None:
            self.crash_manager()
        check_invariants(self)

    def _possible(self) -> list[tuple[str, float]]:
        worker = self.worker
        possible: list[tuple[str, float]] = []
        if self.core is None:
            possible.append(("start_manager", 3))
        else:
            possible += {
                StoreState.ANSWERS: [("stall_store", 0.2), ("lose_store", 0.03)],
                StoreState.STALLS: [("store_answers", 2), ("lose_store", 1)],
                StoreState.AWAY: [("store_back", 1.5)],
            }[self.store]
            possible += [("give_worker_up", 3)] if self._never_came() else []
            possible += [("client", 10), ("arm_crash", 0.3), ("terminate", 0.02)]
            possible += [("launch", 8)] if self.launches else []
            possible += [("report_end", 6)] if self.ends else []
            possible += [("deliver_to_manager", 20)] if self.to_manager else []
            possible += [("reconnect", 0.3)] if worker is not None else []
        if worker is not None:
            possible += [("kill_worker", 0.1), ("end_worker", 0.1)]
            at_rest = worker.in_hand is None and worker.foreground_task() is None
            possible += [("leave", 3)] if worker.ending and at_rest else []
            possible += [("deliver_to_worker", 20)] if self.to_worker else []
            possible += [("load", 5)] if not worker.ready and not worker.failed else []
            possible += [("end_task", 4)] if worker.running_tasks() else []
            if worker.in_hand is not None:
                started = worker.in_hand in self.executed
                possible += [("end_item", 6)] if started and not worker.paused and not worker.ending else []
                possible += [("start_item", 10)] if not started and not worker.ending else []
                possible += [("refuse_item", 6 if worker.ending else 0.3)] if not started else []
                possible += [("abort_item", 6)] if started and worker.ending else []
                possible += [("pause", 6)] if started and worker.pause_wanted and not worker.ending else []
        possible += [("lose_last_writes", 0.03), ("sync", 1)]
        return possible

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.trace: list[str] = []

    def calm_down(self) -> None:
        """No more accidents, no more requests: whatever is under way comes to its end."""
        self.crash_after = None
        self.reconnect()
        for _ in range(10_000):
            if self.core is not None and self.store is StoreState.ANSWERS and self.core.state.mode.loop:
                self.request(lambda _: None, "queue_mode_set", mode={"loop": False})  # it would go on for ever
            possible = [name for name, _ in self._possible() if name in UNDER_WAY]
            if self.core is not None and self.store is StoreState.AWAY:
                possible = ["store_back"]
            if not possible and self.core is not None and self.worker is not None and not self.connected:
                self.reconnect()
                continue
            if not possible:
                return
            name = self.random.choice(possible)
            self.trace.append(name)
            getattr(self, f"do_{name}")()
            if self.left and self.core is not None:
                self.crash_manager()
            check_invariants(self)
        raise AssertionError("it never comes to rest")

    def _never_came(self) -> bool:
        """The start of a worker was interrupted: its process is not recorded and it does not introduce itself."""
        state = self.core.state if self.core is not None else None
        if state is None or state.environment is None or self.watching or self.launches:
            return False
        return self.worker is None and state.snapshot is None and state.environment.handle is None

    def do_give_worker_up(self) -> None:
        self.give_worker_up("its start was interrupted")

    def do_stall_store(self) -> None:
        self.stall_store()

    def do_store_answers(self) -> None:
        self.store_answers()

    def do_lose_store(self) -> None:
        self.lose_store()

    def do_store_back(self) -> None:
        if self.random.random() < 0.1:  # it lost what it had acknowledged last
            self.withdrawn |= set(self.known()) - set(self.known(self.synced))
            self.disk = copy.deepcopy(self.synced)
            self.forgotten_tasks |= self.accepted_tasks - self.disk.task_uids
            self.ahead = self.lost = True
        self.store_back()

    def do_start_manager(self) -> None:
        self.start_manager()

    def do_arm_crash(self) -> None:
        self.crash_after = self.random.randrange(4)

    def do_terminate(self) -> None:
        self.terminate(self.random.choice(["LEAVE", "WAIT", "DESTROY"]))

    def do_launch(self) -> None:
        if self.worker is None:
            self.launch()

    def do_report_end(self) -> None:
        self.report_end()

    def do_deliver_to_manager(self) -> None:
        self.deliver_to_manager()

    def do_deliver_to_worker(self) -> None:
        self.deliver_to_worker()

    def do_reconnect(self) -> None:
        self.reconnect()

    def do_kill_worker(self) -> None:
        self.kill_worker("it was killed by SIGKILL")

    def do_end_worker(self) -> None:
        """SIGTERM that does not come from the manager."""
        assert self.worker is not None
        self.worker.ending = True

    def do_abort_item(self) -> None:
        self.worker_ends_item(ExitStatus.ABORTED)

    def do_leave(self) -> None:
        self.kill_worker("it ended with exit code 0")

    def do_load(self) -> None:
        self.worker_loads(fails=self.random.random() < 0.1)

    def do_start_item(self) -> None:
        self.worker_starts_item()

    def do_refuse_item(self) -> None:
        self.worker_ends_item(ExitStatus.FAILED, refused=True)

    def do_end_item(self) -> None:
        self.worker_ends_item(self.random.choice([ExitStatus.COMPLETED] * 5 + [ExitStatus.FAILED]))

    def do_end_task(self) -> None:
        assert self.worker is not None
        task = self.random.choice(self.worker.running_tasks())
        self.worker_ends_task(task.task_uid, success=self.random.random() < 0.8)

    def do_pause(self) -> None:
        self.worker_pauses()

    def do_sync(self) -> None:
        self.synced = copy.deepcopy(self.disk)

    def do_lose_last_writes(self) -> None:
        """Machine crash under `appendfsync everysec`: the manager dies and Redis forgets its last writes."""
        self.crash_manager()
        forgotten = set(self.known()) - set(self.known(self.synced))
        self.disk = copy.deepcopy(self.synced)
        self.withdrawn |= forgotten
        self.forgotten_tasks |= self.accepted_tasks - self.disk.task_uids
        self.lost = True

    lost = False
    """The store has lost writes: what it shows as running may have ended, which the worker reports again."""

    def do_client(self) -> None:
        queue = self.disk.queue
        some = self.random.choice(queue) if queue else "none"
        other = self.random.choice(queue) if queue else "none"
        add = dict(item=ITEM, **CALLER)
        requests: list[tuple[str, dict[str, object], float]] = [
            ("queue_item_add", {**add, "pos": self.random.choice(["front", "back", None, 0, 1, -1, -2, 5])}, 6),
            ("queue_item_add", {**add, "before_uid": some}, 1),
            ("queue_item_add_batch", {"items": [ITEM] * self.random.randrange(4), **CALLER}, 1),
            ("queue_item_add", {"item": {"item_type": "instruction", "name": "queue_stop"}, **CALLER}, 0.2),
            ("queue_item_update", {"item": {**ITEM, "item_uid": some}, **CALLER, "replace": True}, 0.5),
            ("queue_item_remove", {"uid": some}, 0.5),
            ("queue_item_remove_batch", {"uids": [some, other]}, 0.2),
            ("queue_item_move", {"uid": some, "pos_dest": self.random.choice(["front", "back"])}, 1),
            ("queue_item_move", {"uid": some, "after_uid": other}, 1),
            ("queue_item_move_batch", {"uids": [some], "pos_dest": 0}, 0.5),
            ("queue_clear", {}, 0.05),
            ("history_clear", {"size": 5}, 0.1),
            ("queue_mode_set", {"mode": {"loop": self.random.random() < 0.3}}, 0.3),
            ("queue_mode_set", {"mode": {"ignore_failures": self.random.random() < 0.5}}, 0.3),
            ("environment_open", {}, 4),
            ("environment_close", {}, 0.3),
            ("environment_destroy", {}, 0.1),
            ("queue_start", {}, 6),
            ("queue_stop", {}, 0.5),
            ("queue_stop_cancel", {}, 0.3),
            ("queue_autostart", {"enable": self.random.random() < 0.5}, 0.5),
            ("queue_item_execute", add, 0.5),
            ("script_upload", {"script": "a = 1", "run_in_background": self.random.random() < 0.5}, 2),
            ("function_execute", {"item": FUNCTION, **CALLER, "run_in_background": self.random.random() < 0.5}, 2),
            ("task_cancel", {"task_uid": self.random.choice([*self.tasks_run, "none"])}, 0.5),
            ("re_pause", {"option": self.random.choice(["deferred", "immediate"])}, 2),
            ("re_resume", {}, 2),
            ("re_stop", {}, 0.5),
            ("re_abort", {}, 0.5),
            ("re_halt", {}, 0.5),
            ("manager_stop", {"option": "safe_off"}, 0.02),
        ]
        method, params, _ = self.random.choices(requests, [weight for _, _, weight in requests])[0]
        self.request(lambda reply: self._answered(method, reply), method, **params)

    def _answered(self, method: str, reply: dict[str, object]) -> None:
        if not reply.get("success", True):
            assert reply["msg"], f"{method} was refused without a reason"
            return
        if "task_uid" in reply:
            self.accepted_tasks.add(str(reply["task_uid"]))
            return
        accepted = reply.get("items", [reply.get("item")]) if "add" in method else []
        plans = [item for item in map(decoded, accepted) if item["item_type"] == "plan"]
        self.accepted |= {item["item_uid"] for item in plans}  # an instruction vanishes when it is obeyed


def decoded(item: Encoded) -> dict[str, Any]:
    return json.loads(item.text)


def check_invariants(world: Beamline) -> None:
    places = world.known()
    assert len(places) == len(set(places)), "a uid stands in two places"
    assert len(world.executed) == len(set(world.executed)), "an item ran twice"
    missing = world.accepted - set(places) - world.withdrawn
    assert not missing, f"accepted items vanished: {missing}"
    check_tasks(world)
    core = world.core
    if core is not None and world.store is StoreState.ANSWERS:
        check_memory(world, core)


def check_tasks(world: Beamline) -> None:
    assert len(world.tasks_run) == len(set(world.tasks_run)), "a task ran twice"
    missing = world.accepted_tasks - world.disk.task_uids - world.forgotten_tasks
    assert not missing, f"accepted tasks vanished: {missing}"
    for uid in world.disk.task_uids & set(world.tasks_run):
        result = world.disk.result_of_task(uid)
        assert result is None or result["msg"] != NEVER_SENT, "a task that ran is told not to have been executed"


def check_memory(world: Beamline, core: Core) -> None:
    state = core.state
    assert [item.uid for item in state.queue] == world.disk.queue, "memory and store differ"
    assert (state.running.uid if state.running else None) == world.disk.running_uid
    assert state.history_next == world.disk.next
    status = status_mapping(state, version="0", time="", status_uid="", store="connected")
    if status["manager_state"] == "idle":
        assert status["running_item_uid"] is None, "idle with an item in hand"
        assert not status["queue_stop_pending"]
    assert {*state.tasks, *state.ended_tasks} == world.disk.task_uids, "memory and store differ about tasks"
    in_hand = any(not task.facts.background for task in state.tasks.values())
    if status["manager_state"] == "idle" or (status["manager_state"] in BUSY and not world.lost):
        assert not in_hand, "a task is in hand"
    if status["manager_state"] == "executing_task":
        assert in_hand, "no task is in hand"
    if status["manager_state"] in BUSY:
        assert status["running_item_uid"] is not None, "busy with nothing in hand"
    if state.environment is None:
        assert status["worker_environment_state"] == "closed"
        assert state.manager_state not in (*BUSY, ManagerState.CLOSING_ENVIRONMENT)
    if state.environment is not None and state.environment.stage is EnvironmentStage.DESTROYING:
        assert state.manager_state in (ManagerState.DESTROYING_ENVIRONMENT, ManagerState.INITIALIZING)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_and_nothing_runs_twice(seed: int) -> None:
    world = Beamline(seed)
    for number in range(STEPS // SEEDS):
        try:
            world.step()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {number}: {error}; last actions: {world.trace[-25:]}") from error


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_stuck(seed: int) -> None:
    """After any history of accidents the manager comes to rest: idle or paused, with nothing half done."""
    world = Beamline(1000 + seed)
    for part in range(STEPS // SEEDS // STEPS_TO_REST // 4):
        for _ in range(STEPS_TO_REST):
            world.step()
        world.calm_down()
        core = world.core
        assert core is not None
        where = f"seed {seed}, part {part}, last actions: {world.trace[-40:]}"
        assert core.state.manager_state in (ManagerState.IDLE, ManagerState.PAUSED), where
        assert (core.state.environment is None) == (world.worker is None), where
        assert not core.state.tasks, where
        if core.state.manager_state is ManagerState.IDLE:
            assert core.state.running is None, where
            assert world.worker is None or world.worker.in_hand is None, where


def test_the_simulation_reaches_what_it_is_about() -> None:
    """Guards the simulation itself: every kind of action happens, and items run, fail and are recovered."""
    seen: set[str] = set()
    executed = tasks = 0
    for seed in range(10):
        world = Beamline(seed)
        for _ in range(1500):
            world.step()
        seen |= set(world.trace)
        executed += len(world.executed)
        tasks += len(world.tasks_run)
    actions = {name.removeprefix("do_") for name in dir(Beamline) if name.startswith("do_")}
    assert seen == actions
    assert executed > 100
    assert tasks > 100


def test_a_seed_gives_the_same_world_again() -> None:
    first, second = Beamline(7), Beamline(7)
    for _ in range(500):
        first.step()
        second.step()
    assert first.trace == second.trace
    assert first.disk == second.disk
