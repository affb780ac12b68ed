"""The simulated worker process: what it remembers and reports."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field, replace

from queueserver_common.link import messages as link

PLANS = json.dumps(
    {"count": {"name": "count", "module": "bluesky.plans", "properties": {"is_generator": True}, "parameters": []}}
).encode()
"""The plans that its profile makes."""


@dataclass
class Worker:
    """A worker process: obeys commands, keeps events until they are stored, keeps a ledger."""

    opening_id: str
    token: str
    ready: bool = False
    failed: bool = False
    ending: bool = False
    """It was told to end by somebody else, aborts what it has in hand and takes nothing more."""
    leaving: bool = False
    welcomed: bool = False
    """A manager has answered its hello."""
    epoch: int = 0
    seq: int = 0
    acked: int = 0
    events: deque[link.Event] = field(default_factory=deque)
    ledger: dict[str, link.LedgerEntry] = field(default_factory=dict)
    results: dict[str, link.CommandResult] = field(default_factory=dict)
    in_hand: str | None = None
    paused: bool = False
    pause_wanted: bool = False
    spool: list[link.End] = field(default_factory=list)
    tasks: dict[str, link.KnownTask] = field(default_factory=dict)
    """All that it was ever told to run."""
    task_ends: list[link.Event] = field(default_factory=list)
    """Events that it keeps also when they are stored."""

    def running_tasks(self) -> list[link.KnownTask]:
        return [task for task in self.tasks.values() if not task.ended]

    def foreground_task(self) -> link.KnownTask | None:
        return next((task for task in self.running_tasks() if not task.background), None)

    def snapshot(self) -> link.Snapshot:
        re_state = "paused" if self.paused else "running" if self._started() else "idle"
        state = link.EnvironmentState.EXECUTING_PLAN if self._started() else link.EnvironmentState.IDLE
        state = link.EnvironmentState.EXECUTING_TASK if self.foreground_task() is not None else state
        return link.Snapshot(
            link.EnvironmentState.IDLE if self.paused else state,
            re_state if self.ready else None,
            self.pause_wanted,
        )

    def _started(self) -> bool:
        return self.in_hand is not None and self.ledger[self.in_hand].stage is link.ItemStage.STARTED

    def hello(self) -> link.Hello:
        self.welcomed = False
        phase = link.EnvironmentPhase.READY if self.ready else link.EnvironmentPhase.LOADING
        phase = link.EnvironmentPhase.FAILED if self.failed else phase
        return link.Hello(
            self.opening_id, self.token, self.epoch, 1, "host", 0.0, "0", phase, self.seq + 1,
            self.snapshot(), tuple(self.ledger.values()), self.acked, tasks=tuple(self.tasks.values()),
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


class WorkerActions:
    """What the worker of a world does, by itself and when it is told to."""

    now: float
    connected: bool
    worker: Worker | None
    executed: list[str]
    tasks_run: list[str]
    to_worker: deque[link.ToWorker]
    to_manager: deque[link.ToManager]

    def kill_worker(self, cause: str) -> None:
        raise NotImplementedError

    def worker_says(self, message: link.ToManager) -> None:
        if isinstance(message, link.Event) and not (self.worker and self.worker.welcomed):
            return  # it follows the welcome, after those before it
        if self.connected:
            self.to_manager.append(message)

    def worker_loads(self, *, fails: bool) -> None:
        worker = self.worker
        assert worker is not None
        if fails:
            worker.failed = True
            self.worker_says(worker.event(link.EnvironmentFailed("ValueError: no such motor")))
        else:
            worker.ready = True
            self.worker_says(worker.event(link.EnvironmentReady(PLANS, b"{}")))
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

    def worker_ends_task(self, uid: str, *, success: bool) -> None:
        worker = self.worker
        assert worker is not None
        worker.tasks[uid] = replace(worker.tasks[uid], ended=True)
        end = link.TaskEnded(uid, success, worker.tasks[uid].time_start, self.now)
        worker.spool.append(end)
        self.worker_says(link.SnapshotChanged(worker.snapshot()))
        event = worker.event(end)
        worker.task_ends.append(event)
        self.worker_says(event)

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
                worker.welcomed = True
                again = {event.seq: event for event in (*worker.task_ends, *worker.events) if event.seq > seq}
                for _, event in sorted(again.items()):
                    self.worker_says(event)
                self._leave_if_failed(worker)
            case link.EventsStored(seq):
                worker.stored(seq)
                self._leave_if_failed(worker)
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

    def _leave_if_failed(self, worker: Worker) -> None:
        if worker.failed and not worker.events:
            self.kill_worker("it left")

    def _obey(self, worker: Worker, command_id: str, body: link.CommandBody) -> tuple[bool, str]:
        match body:
            case link.RunItem(text):
                uid = json.loads(text)["item_uid"]
                if worker.ending:
                    return False, "the worker takes no more items"
                assert worker.in_hand is None, "a second item was sent while one is in hand"
                assert worker.foreground_task() is None, "an item was sent while a task is in hand"
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
            case link.RunScript(uid) | link.CallFunction(uid):
                if worker.ending:
                    return False, "the worker takes no more tasks"
                assert uid not in worker.tasks, "a task was sent twice"
                if not body.background:
                    assert worker.in_hand is None, "a task was sent while an item is in hand"
                    assert worker.foreground_task() is None, "a second task was sent while one is in hand"
                worker.tasks[uid] = link.KnownTask(uid, command_id, body.background, self.now)
                self.tasks_run.append(uid)
                self.worker_says(link.SnapshotChanged(worker.snapshot()))
                return True, ""
            case link.CancelTask(uid):
                if uid not in [task.task_uid for task in worker.running_tasks()]:
                    return False, "not running"
                self.worker_ends_task(uid, success=False)
                return True, ""
            case link.Leave():
                if worker.in_hand is not None or worker.foreground_task() is not None:
                    return False, "busy"
                worker.leaving = True
                return True, ""
            case _:
                return True, ""
