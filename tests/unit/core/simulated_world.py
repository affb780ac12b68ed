"""A world around the core for simulations: a store, a worker, a launcher and the wires between them.

Everything is deterministic under a seed. A crash of the manager can fall between any two effects of a decision, and
between the decision and its commit. The store can stop answering: commits then wait, and end durable, not carried out,
or unknown until the store is back and the state loaded anew. A worker's end is noticed only by a manager that watches
its process.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections import deque
from collections.abc import Callable

from queueserver_common.link import messages as link
from queueserver_common.permissions import Permissions
from queueserver_manager.core import effects as fx
from queueserver_manager.core import recovery, termination, worker_events
from queueserver_manager.core.core import Core
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.requests import Work, decide
from queueserver_manager.core.states import ManagerState
from simulated_store import Commit, Disk, Done, StoreState, ignore
from simulated_worker import PLANS, Worker, WorkerActions

TAKE_OUT = ("queue_item_remove", "queue_item_remove_batch", "queue_clear", "queue_item_update")
"""Requests after which an item may be known no more."""

PERMISSIONS = Permissions.parse(
    {
        "user_groups": {
            "root": {"allowed_plans": [None], "allowed_devices": [None], "allowed_functions": [None]},
            "primary": {"allowed_plans": [":.*"], "allowed_devices": [":.*"], "allowed_functions": [":.*"]},
        }
    }
)


class ManagerCrash(Exception):
    """The manager process is gone at this point."""


class World(WorkerActions):
    """One beamline: at most one manager, at most one worker, one disk."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.disk = Disk()
        self.synced = copy.deepcopy(self.disk)
        self.core: Core | None = None
        self.worker: Worker | None = None
        self.to_worker: deque[link.ToWorker] = deque()
        self.to_manager: deque[link.ToManager] = deque()
        self.connected = False
        self.epoch = 0
        self.launches: deque[tuple[str, str]] = deque()
        self.ends: deque[tuple[str, str]] = deque()
        self.executed: list[str] = []
        self.tasks_run: list[str] = []
        self.accepted_tasks: set[str] = set()
        self.forgotten_tasks: set[str] = set()
        self.crash_after: int | None = None
        self.left = False
        self.watching = False
        """The manager watches the worker's process."""
        self.introduced = False
        """The manager has had a hello of the worker, without which it hears nothing else of it."""
        self.store = StoreState.ANSWERS
        self.waiting: list[Commit] = []
        """Commits that the store has not answered; when it is away, the one whose outcome is unknown."""
        self.ahead = False
        """The manager decided what the store does not hold."""
        self.held: list[Callable[[], Decision]] = []
        """What the launcher reported while the store was away."""
        self.accepted: set[str] = set()
        self.withdrawn: set[str] = set()
        self.removals: list[Decision] = []
        """Decisions on requests that take items out."""

    def known(self, disk: Disk | None = None) -> list[str]:
        """All uids that a disk knows."""
        disk = disk or self.disk
        return [*disk.queue, *([disk.running_uid] if disk.running_uid else []), *disk.history_uids]

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # The manager -----------------------------------------------------------------------------------------------

    def start_manager(self) -> None:
        core = Core(self.new_uid)
        core.lists.set_existing(PLANS, b"{}")
        core.lists.set_permissions(PERMISSIONS)
        self.epoch += 1
        self.left = self.watching = False
        recovery.restore(core, self.disk.load())
        self.core = core
        self.carry_out(recovery.begin(core, self.now))
        environment = core.state.environment
        if environment is None:
            return
        worker = self.worker
        if worker is None or worker.opening_id != environment.opening_id:
            self.ends.clear()
            if environment.handle is not None:
                self.give_worker_up("it ended")
        else:
            self.watching = environment.handle is not None
            self.reconnect()

    def give_worker_up(self, cause: str) -> None:
        """The predecessor's worker is proved to have ended, or never came."""
        core = self.core
        assert core is not None
        assert core.state.environment is not None
        opening_id = core.state.environment.opening_id
        spool = tuple(self._spool_of(opening_id))
        self.report(lambda: recovery.predecessor_worker_ended(core, opening_id, cause, spool, self.now))

    def _spool_of(self, opening_id: str) -> list[link.End]:
        return self.spools.get(opening_id, [])

    @property
    def spools(self) -> dict[str, list[link.End]]:
        return self.__dict__.setdefault("_spools", {})

    def crash_manager(self) -> None:
        self.core = None
        self.crash_after = None
        self.launches.clear()
        self.held.clear()
        self._settle_unknown()
        self.waiting = []
        self.store = StoreState.ANSWERS
        self.ahead = False
        self.disconnect()

    def disconnect(self) -> None:
        self.connected = self.introduced = False
        self.to_worker.clear()
        self.to_manager.clear()

    def reconnect(self) -> None:
        self.disconnect()
        if self.core is not None and self.worker is not None:
            self.connected = True
            self.to_manager.append(self.worker.hello())

    def _boundary(self) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise ManagerCrash

    def carry_out(self, d: Decision, done: Done = ignore) -> Decision:
        """Commit and effects, with a possible crash at every boundary; `done` hears whether it was durable."""
        if d.urgent:
            self._effects(d)
            d.effects.clear()
        self._boundary()
        if self.store is StoreState.STALLS:
            self.waiting.append(Commit(d, done))
        elif self.store is StoreState.AWAY:
            self.ahead = self.ahead or bool(d.writes)
            if not d.writes:
                self._effects(d)
            done(not d.writes)
        else:
            self.apply(d)
            self._boundary()
            self._follow(d, done)
        return d

    def apply(self, d: Decision) -> None:
        """The writes are durable from here on."""
        before, tasks_before = set(self.known()), self.disk.task_uids
        self.disk.apply(d.writes)
        if forgotten := tasks_before - self.disk.task_uids:
            assert "environment" not in self.disk.fields, "a task of an open environment was forgotten"
            self.forgotten_tasks |= forgotten
        if any(d is removal for removal in self.removals):
            self.withdrawn |= before - set(self.known())

    def _follow(self, d: Decision, done: Done) -> None:
        done(True)
        self._effects(d)

    # The store -------------------------------------------------------------------------------------------------

    def stall_store(self) -> None:
        """Commits are not answered from now on."""
        self.store = StoreState.STALLS

    def store_answers(self) -> None:
        """All commits that wait are carried out in their order."""
        self.store = StoreState.ANSWERS
        waiting, self.waiting = self.waiting, []
        for commit in waiting:
            self.apply(commit.decision)
        for commit in waiting:
            self._boundary()
            self._follow(commit.decision, commit.done)

    def lose_store(self) -> None:
        """The connection breaks: the first commit may have been carried out, those behind it were not."""
        self.store = StoreState.AWAY
        first, behind = self.waiting[:1], self.waiting[1:]
        self.waiting = first
        self._settle_unknown()
        assert self.core is not None
        self.core.store_connected = False
        for commit in behind:
            self.ahead = self.ahead or bool(commit.decision.writes)
            commit.done(False)

    def _settle_unknown(self) -> None:
        for commit in self.waiting[:1]:
            if commit.applied is None:
                commit.applied = self.random.random() < 0.5
                if commit.applied:
                    self.apply(commit.decision)

    def store_back(self) -> None:
        """Redis is back, possibly without its last writes: what is unknown is looked up, the state loaded anew."""
        core = self.core
        assert core is not None
        self.store = StoreState.ANSWERS
        waiting, self.waiting = self.waiting, []
        for commit in waiting:
            self.ahead = self.ahead or (bool(commit.decision.writes) and not commit.applied)
            commit.done(bool(commit.applied))
            if commit.applied:
                self._effects(commit.decision)
        if self.ahead:
            recovery.restore(core, self.disk.load())
        self.ahead = False
        core.store_connected = True
        self.carry_out(recovery.begin_again(core, self.now))
        self.introduced = False
        self._send(link.Introduce())
        held, self.held = self.held, []
        for decide_held in held:
            self.report(decide_held)
        environment = core.state.environment
        if environment is None or core.state.manager_state is not ManagerState.INITIALIZING:
            return
        if self.worker is None or self.worker.opening_id != environment.opening_id:
            if environment.handle is not None:
                self.give_worker_up("it ended")
        elif environment.handle is not None:
            self.watching = True

    def report(self, decide_it: Callable[[], Decision]) -> None:
        """A report of the launcher: kept until it is durable."""
        if self.store is StoreState.AWAY:
            self.held.append(decide_it)
        else:
            self.carry_out(decide_it(), lambda durable: None if durable else self.held.append(decide_it))

    def _effects(self, d: Decision) -> None:
        for effect in d.effects:
            self._effect(effect)
            self._boundary()

    def _effect(self, effect: fx.Effect) -> None:
        match effect:
            case fx.TellWorker(command_id, body):
                self._send(link.Command(command_id, self.epoch, body))
            case fx.AcknowledgeEvents(seq):
                self._send(link.EventsStored(seq))
            case fx.WelcomeWorker(_, seq):
                self._send(link.Welcome(self.epoch, seq))
            case fx.DismissWorker(_, reason):
                self._send(link.Dismiss(self.epoch, reason))
            case fx.LaunchWorker(opening_id, token):
                self.launches.append((opening_id, token))
            case fx.AskWorker():
                self._send(link.Introduce())
            case fx.FindWorker(opening_id, host, pid):
                if not self.watching:
                    self._find(opening_id, host, pid)
            case fx.KillWorker(opening_id, _):
                if self.worker is not None and self.worker.opening_id == opening_id and self.watching:
                    self.kill_worker("it was killed")
            case fx.LeaveManager():
                self.left = True

    def _find(self, opening_id: str, host: str, pid: int) -> None:
        assert self.core is not None
        core = self.core
        self.watching = True
        if self.worker is None:
            self.ends.append((opening_id, "it ended"))
            return
        handle: dict[str, str | int] = {"opening_id": opening_id, "host": host, "pid": pid, "started": "0"}
        self.report(lambda: worker_events.launched(core, opening_id, handle, self.now))

    def _send(self, message: link.ToWorker) -> None:
        if self.connected:
            self.to_worker.append(message)

    def request(self, on_reply: Callable[[dict[str, object]], None], method: str, **params: object) -> None:
        """A client's request; the reply reaches the client only when its commit did."""
        assert self.core is not None
        outcome = decide(self.core, method, params, self.now)
        while isinstance(outcome, Work):
            outcome = outcome.advance(self.now, lambda: self.random.random() < 0.3) or outcome
        if outcome.writes and self.store is StoreState.AWAY and not outcome.urgent:
            outcome = Decision()  # a batch whose checks ended after the store was lost
        if method in TAKE_OUT:
            self.removals.append(outcome)
        reply = dict(outcome.reply or {})
        self.carry_out(outcome, lambda durable: on_reply(reply) if durable else None)

    # The worker ------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        opening_id, token = self.launches.popleft()
        assert self.worker is None, "a second worker was started while the first is alive"
        self.worker = Worker(opening_id, token)
        core = self.core
        assert core is not None
        self._boundary()
        self.watching = True
        handle: dict[str, str | int] = {"opening_id": opening_id, "host": "host", "pid": 1, "started": "0"}
        self.report(lambda: worker_events.launched(core, opening_id, handle, self.now))
        self.reconnect()

    def kill_worker(self, cause: str) -> None:
        assert self.worker is not None
        self.spools[self.worker.opening_id] = list(self.worker.spool)
        if self.watching:
            self.ends.append((self.worker.opening_id, cause))
        self.worker = None
        self.disconnect()

    def report_end(self) -> None:
        opening_id, cause = self.ends.popleft()
        core = self.core
        assert core is not None
        spool = tuple(self.spools.get(opening_id, []))
        self.report(lambda: worker_events.worker_ended(core, opening_id, cause, spool, self.now))

    def deliver_to_manager(self) -> None:
        core, worker = self.core, self.worker
        assert core is not None
        message = self.to_manager.popleft()
        if isinstance(message, link.Hello | link.Event) and self.store is StoreState.AWAY:
            return
        if not self.introduced and not isinstance(message, link.Hello):
            return
        match message:
            case link.Hello():
                assert worker is not None
                self.introduced = True
                numbers = frozenset(self.disk.history_uids)
                self.carry_out(recovery.worker_hello(core, worker.opening_id, message, self.now, numbers))
            case link.Event(seq, body):
                self.carry_out(worker_events.worker_event(core, seq, body, self.now))
            case link.SnapshotChanged(snapshot):
                self.carry_out(worker_events.worker_snapshot(core, snapshot, self.now))
            case link.CommandResult():
                self.carry_out(worker_events.command_result(core, message, self.now))

    def terminate(self, how: str) -> None:
        assert self.core is not None
        self.carry_out(termination.terminate(self.core, how, self.now))
