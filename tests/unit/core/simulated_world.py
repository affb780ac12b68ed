"""A world around the core for simulations: a store, a worker, a launcher and the wires between them.

Everything is deterministic under a seed. A crash of the manager can fall between any two effects of a decision, and
between the decision and its commit.
"""

from __future__ import annotations

import copy
import json
import random
import uuid
from collections import deque
from dataclasses import dataclass, field, replace

from queueserver_common.link import messages as link
from queueserver_common.permissions import Permissions
from queueserver_manager.core import effects as fx
from queueserver_manager.core import recovery, termination, worker_events
from queueserver_manager.core import writes as w
from queueserver_manager.core.core import Core
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.requests import Work, decide

PLANS = {
    "count": {"name": "count", "module": "bluesky.plans", "properties": {"is_generator": True}, "parameters": []},
}
PERMISSIONS = Permissions.parse(
    {
        "user_groups": {
            "root": {"allowed_plans": [None], "allowed_devices": [None]},
            "primary": {"allowed_plans": [":.*"], "allowed_devices": [":.*"]},
        }
    }
)


class ManagerCrash(Exception):
    """The manager process is gone at this point."""


@dataclass
class Disk:
    """What Redis holds."""

    items: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    running: bytes | None = None
    history: dict[int, tuple[str, bytes]] = field(default_factory=dict)
    first: int = 0
    next: int = 0
    fields: dict[str, bytes] = field(default_factory=dict)

    def apply(self, writes: list[w.Write]) -> None:
        for write in writes:
            match write:
                case w.PutItems(items):
                    self.items |= {uid: (rank, text) for uid, rank, text in items}
                case w.RemoveItems(uids):
                    for uid in uids:
                        del self.items[uid]
                case w.MoveItems(ranks):
                    for uid, rank in ranks:
                        self.items[uid] = rank, self.items[uid][1]
                case w.ClearQueue():
                    self.items.clear()
                case w.SetRunning(record):
                    self.running = record
                case w.AppendHistory(seq, uid, _, text):
                    assert seq == self.next, "history numbers are consecutive"
                    self.history[seq] = uid, text
                    self.next += 1
                case w.TrimHistory(first):
                    self.first = first
                case w.SetField(name, None):
                    self.fields.pop(name, None)
                case w.SetField(name, value):
                    self.fields[name] = value

    def load(self) -> w.StoredState:
        ordered = sorted(self.items.items(), key=lambda entry: entry[1][0])
        assert len({rank for rank, _ in self.items.values()}) == len(self.items), "two items share a rank"
        return w.StoredState(
            tuple((uid, rank, text) for uid, (rank, text) in ordered),
            self.running,
            self.first,
            self.next,
            dict(self.fields),
        )

    @property
    def queue(self) -> list[str]:
        return [uid for uid, _, _ in self.load().items]

    @property
    def running_uid(self) -> str | None:
        return None if self.running is None else json.loads(self.running)["item"]["item_uid"]

    @property
    def history_uids(self) -> list[str]:
        return [uid for _, (uid, _) in sorted(self.history.items())]


@dataclass
class Worker:
    """A worker process: obeys commands, keeps events until they are stored, keeps a ledger."""

    opening_id: str
    token: str
    ready: bool = False
    leaving: bool = False
    epoch: int = 0
    seq: int = 0
    acked: int = 0
    events: deque[link.Event] = field(default_factory=deque)
    ledger: dict[str, link.LedgerEntry] = field(default_factory=dict)
    results: dict[str, link.CommandResult] = field(default_factory=dict)
    in_hand: str | None = None
    paused: bool = False
    pause_wanted: bool = False
    spool: list[link.ItemEnded] = field(default_factory=list)

    def snapshot(self) -> link.Snapshot:
        re_state = "paused" if self.paused else "running" if self._started() else "idle"
        return link.Snapshot(
            link.EnvironmentState.EXECUTING_PLAN if self._started() and not self.paused else link.EnvironmentState.IDLE,
            re_state if self.ready else None,
            self.pause_wanted,
        )

    def _started(self) -> bool:
        return self.in_hand is not None and self.ledger[self.in_hand].stage is link.ItemStage.STARTED

    def hello(self) -> link.Hello:
        phase = link.EnvironmentPhase.READY if self.ready else link.EnvironmentPhase.LOADING
        return link.Hello(
            self.opening_id, self.token, self.epoch, 1, "host", 0.0, "0", phase, self.seq + 1,
            self.snapshot(), tuple(self.ledger.values()), self.acked,
        )  # fmt: skip

    def event(self, body: link.EventBody) -> link.Event:
        self.seq += 1
        event = link.Event(self.seq, body)
        self.events.append(event)
        return event

    def stored(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        while self.events and self.events[0].seq <= seq:
            self.events.popleft()


class World:
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
        self.crash_after: int | None = None
        self.left = False
        self.accepted: set[str] = set()
        self.withdrawn: set[str] = set()

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # The manager -----------------------------------------------------------------------------------------------

    def start_manager(self) -> None:
        core = Core(self.new_uid)
        core.lists.set_existing(json.dumps(PLANS).encode(), b"{}")
        core.lists.set_permissions(PERMISSIONS)
        self.epoch += 1
        self.left = False
        recovery.restore(core, self.disk.load())
        self.core = core
        self.carry_out(recovery.begin(core, self.now))
        environment = core.state.environment
        if environment is None:
            return
        worker = self.worker
        if worker is None or worker.opening_id != environment.opening_id:
            self.ends.clear()
            spool = tuple(self._spool_of(environment.opening_id))
            self.carry_out(recovery.predecessor_worker_ended(core, "it ended", spool, self.now))
        else:
            self.reconnect()

    def _spool_of(self, opening_id: str) -> list[link.ItemEnded]:
        return self.spools.get(opening_id, [])

    @property
    def spools(self) -> dict[str, list[link.ItemEnded]]:
        return self.__dict__.setdefault("_spools", {})

    def crash_manager(self) -> None:
        self.core = None
        self.crash_after = None
        self.launches.clear()
        self.disconnect()

    def disconnect(self) -> None:
        self.connected = False
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

    def carry_out(self, d: Decision) -> Decision:
        """Commit and effects, with a possible crash at every boundary."""
        if d.urgent:
            self._effects(d)
        self._boundary()
        self.disk.apply(d.writes)
        if not d.urgent:
            self._boundary()
            self._effects(d)
        return d

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
            case fx.KillWorker(opening_id, _):
                if self.worker is not None and self.worker.opening_id == opening_id:
                    self.kill_worker("it was killed")
            case fx.LeaveManager():
                self.left = True

    def _send(self, message: link.ToWorker) -> None:
        if self.connected:
            self.to_worker.append(message)

    def request(self, method: str, **params: object) -> dict[str, object]:
        """A client's request; the reply reaches the client only when its commit did."""
        assert self.core is not None
        outcome = decide(self.core, method, params, self.now)
        while isinstance(outcome, Work):
            outcome = outcome.advance(self.now, lambda: self.random.random() < 0.3) or outcome
        self.carry_out(outcome)
        return dict(outcome.reply or {})

    # The worker ------------------------------------------------------------------------------------------------

    def launch(self) -> None:
        opening_id, token = self.launches.popleft()
        assert self.worker is None, "a second worker was started while the first is alive"
        self.worker = Worker(opening_id, token)
        assert self.core is not None
        handle: dict[str, str | int] = {"opening_id": opening_id, "host": "host", "pid": 1, "started": "0"}
        self.carry_out(worker_events.launched(self.core, opening_id, handle, self.now))
        self.reconnect()

    def kill_worker(self, cause: str) -> None:
        assert self.worker is not None
        self.spools[self.worker.opening_id] = list(self.worker.spool)
        self.ends.append((self.worker.opening_id, cause))
        self.worker = None
        self.disconnect()

    def report_end(self) -> None:
        opening_id, cause = self.ends.popleft()
        assert self.core is not None
        spool = tuple(self.spools.get(opening_id, []))
        self.carry_out(worker_events.worker_ended(self.core, opening_id, cause, spool, self.now))

    def worker_says(self, message: link.ToManager) -> None:
        if self.connected:
            self.to_manager.append(message)

    def worker_loads(self, *, fails: bool) -> None:
        worker = self.worker
        assert worker is not None
        if fails:
            self.worker_says(worker.event(link.EnvironmentFailed("ValueError: no such motor")))
        else:
            worker.ready = True
            self.worker_says(worker.event(link.EnvironmentReady(json.dumps(PLANS).encode(), b"{}")))
        self.worker_says(link.SnapshotChanged(worker.snapshot()))

    def worker_starts_item(self) -> None:
        worker = self.worker
        assert worker is not None
        assert worker.in_hand is not None
        entry = worker.ledger[worker.in_hand]
        self.executed.append(worker.in_hand)
        worker.ledger[worker.in_hand] = replace(entry, stage=link.ItemStage.STARTED, time_start=self.now)
        self.worker_says(worker.event(link.ItemStarted(worker.in_hand, self.now)))
        self.worker_says(link.SnapshotChanged(worker.snapshot()))

    def worker_ends_item(self, status: link.ExitStatus, *, refused: bool = False) -> None:
        worker = self.worker
        assert worker is not None
        assert worker.in_hand is not None
        uid, worker.in_hand = worker.in_hand, None
        worker.paused = worker.pause_wanted = False
        end = link.ItemEnded(uid, status, self.now, self.now, refused=refused)
        worker.ledger[uid] = replace(worker.ledger[uid], stage=link.ItemStage.ENDED, end=end)
        worker.spool.append(end)
        self.worker_says(link.SnapshotChanged(worker.snapshot()))
        self.worker_says(worker.event(end))

    def worker_pauses(self) -> None:
        worker = self.worker
        assert worker is not None
        worker.paused, worker.pause_wanted = True, False
        self.worker_says(link.SnapshotChanged(worker.snapshot()))

    def deliver_to_worker(self) -> None:
        worker, message = self.worker, self.to_worker.popleft()
        assert worker is not None
        match message:
            case link.Welcome(epoch, seq):
                worker.epoch = max(worker.epoch, epoch)
                worker.stored(seq)
                for event in worker.events:
                    self.worker_says(event)
            case link.EventsStored(seq):
                worker.stored(seq)
            case link.Introduce():
                self.worker_says(worker.hello())
            case link.Dismiss():
                self.kill_worker("it was dismissed")
            case link.Command(command_id, epoch, body):
                if epoch < worker.epoch:
                    return
                if command_id not in worker.results:
                    ok, text = self._obey(worker, command_id, body)
                    worker.results[command_id] = link.CommandResult(command_id, ok, text)
                self.worker_says(worker.results[command_id])
                if worker.leaving and self.worker is worker:
                    self.kill_worker("it left")

    def _obey(self, worker: Worker, command_id: str, body: link.CommandBody) -> tuple[bool, str]:
        match body:
            case link.RunItem(text):
                uid = json.loads(text)["item_uid"]
                assert worker.in_hand is None, "a second item was sent while one is in hand"
                assert uid not in worker.ledger, "an item was sent twice"
                worker.ledger[uid] = link.LedgerEntry(uid, command_id, link.ItemStage.RECEIVED, item=text)
                worker.in_hand = uid
                return True, ""
            case link.Pause():
                if worker.snapshot().re_state != "running":
                    return False, "not running"
                worker.pause_wanted = True
                return True, ""
            case link.Resume():
                if not worker.paused:
                    return False, "not paused"
                worker.paused = False
                self.worker_says(link.SnapshotChanged(worker.snapshot()))
                return True, ""
            case link.Finish(how):
                if not worker.paused:
                    return False, "not paused"
                status = {"stop": link.ExitStatus.STOPPED, "abort": link.ExitStatus.ABORTED}
                self.worker_ends_item(status.get(how, link.ExitStatus.HALTED))
                return True, ""
            case link.Leave():
                if worker.in_hand is not None:
                    return False, "busy"
                worker.leaving = True
                return True, ""
            case _:
                return True, ""

    def deliver_to_manager(self) -> None:
        core, worker = self.core, self.worker
        assert core is not None
        message = self.to_manager.popleft()
        match message:
            case link.Hello():
                assert worker is not None
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
