"""The manager's dealings with workers: effects go to the launcher and the link, their reports to the core."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from queueserver_common.link.messages import (
    Command,
    CommandResult,
    Console,
    Dismiss,
    Event,
    EventsStored,
    Hello,
    Introduce,
    SnapshotChanged,
    ToManager,
    Welcome,
)
from queueserver_common.spool import read_spool, remove_spool
from queueserver_manager.core import recovery, worker_events
from queueserver_manager.core.decision import Decision
from queueserver_manager.core.effects import (
    AcknowledgeEvents,
    AskWorker,
    DismissWorker,
    Effect,
    FindWorker,
    KillWorker,
    LaunchWorker,
    PrepareWorker,
    TellWorker,
    WelcomeWorker,
)
from queueserver_manager.core.model import Environment
from queueserver_manager.core.states import ManagerState
from queueserver_manager.launch.interface import Launcher, LaunchError, WorkerEnd, WorkerHandle
from queueserver_manager.link.server import LinkServer
from queueserver_manager.link.silence import SilenceWatch
from queueserver_manager.service import Service
from queueserver_manager.store.errors import StoreError

_log = logging.getLogger("bluesky_queueserver.manager.workers")

ATTACH_TIMEOUT = 1.5
"""Seconds after its start for which a manager waits for its predecessor's worker before it answers from the record."""

UNRECORDED_TIMEOUT = 10.0
"""Seconds for which a worker is waited for whose process was not recorded (its manager died while it started it)."""


class Workers:
    """Carries out effects on workers and feeds what they report to the core."""

    def __init__(
        self, service: Service, launcher: Launcher, epoch: int, spool_dir: str, on_console: Callable[[str, float], None]
    ) -> None:
        self.link: LinkServer
        self._service = service
        self._core = service.core
        self._launcher = launcher
        self._epoch = epoch
        self._spool_dir = spool_dir
        self._on_console = on_console
        self._loop = asyncio.get_running_loop()
        self._silence = SilenceWatch(self._silent, self._heard)
        self._held: list[Callable[[], None]] = []
        """Reports of the launcher, kept in order while the store is away."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: list[asyncio.TimerHandle] = []

    # Effects ---------------------------------------------------------------------------------------------------

    def carry_out(self, effect: Effect) -> None:
        """Carry out one effect of a decision."""
        match effect:
            case TellWorker(command_id, body):
                self._send(Command(command_id, self._epoch, body))
            case AcknowledgeEvents(seq):
                self._send(EventsStored(seq))
            case WelcomeWorker(peer, stored_seq):
                self.link.send(peer, Welcome(self._epoch, stored_seq))
            case DismissWorker(peer, reason):
                _log.warning("A worker was sent away: %s.", reason)
                self._silence.forget(peer)
                self.link.send(peer, Dismiss(self._epoch, reason))
            case AskWorker(opening_id):
                self.link.send(opening_id, Introduce())
            case LaunchWorker(opening_id, token):
                self._in_background(self._launch(opening_id, token))
            case FindWorker(opening_id, host, pid):
                self._find(opening_id, host, pid)
            case KillWorker(opening_id, grace):
                self._launcher.kill(opening_id, grace)
            case PrepareWorker():
                self._launcher.prepare()
            case _:
                raise AssertionError(f"not an effect on workers: {effect}")

    def _send(self, message: Command | EventsStored) -> None:
        environment = self._core.state.environment
        if environment is not None:
            self.link.send(environment.opening_id, message)

    async def _launch(self, opening_id: str, token: str) -> None:
        permissions = self._core.lists.permissions
        try:
            handle = await self._launcher.start(
                opening_id, token, None if permissions is None else permissions.as_mapping()
            )
        except LaunchError as error:
            _log.error("%s", error)
            reason = str(error)
            self._with_store(lambda: worker_events.launch_failed(self._core, opening_id, reason, time.time()))
        else:
            mapping = handle.as_mapping()
            self._with_store(lambda: worker_events.launched(self._core, opening_id, mapping, time.time()))

    def _find(self, opening_id: str, host: str, pid: int) -> None:
        handle = self._launcher.recognise(opening_id, host, pid)
        if handle is not None:
            mapping = handle.as_mapping()
            self._with_store(lambda: worker_events.launched(self._core, opening_id, mapping, time.time()))

    # Reports ---------------------------------------------------------------------------------------------------

    def on_message(self, peer: str, message: ToManager) -> None:
        """Take a message of a worker; called by the link socket."""
        if isinstance(message, Hello | Event) and not self._core.store_connected:
            return  # the worker is asked for its hello once the store is back, and then sends its events again
        if isinstance(message, Hello):
            self._hello(peer, message)
            return
        environment = self._core.state.environment
        if environment is None or environment.opening_id != peer:
            return
        self._silence.heard(peer)
        match message:
            case Event(seq, body):
                self._service.carry_out(worker_events.worker_event(self._core, seq, body, time.time()))
            case SnapshotChanged(snapshot):
                self._service.carry_out(worker_events.worker_snapshot(self._core, snapshot, time.time()))
            case CommandResult(command_id, ok, msg):
                decision = worker_events.command_result(self._core, message, time.time())
                self._service.worker_answered(command_id, ok, msg, decision)
            case Console(when, text, dropped):
                if dropped:
                    self._on_console(f"\n[{dropped} characters of console output were lost]\n", when)
                self._on_console(text, when)

    def _hello(self, peer: str, hello: Hello) -> None:
        lost = hello.opening_id == peer and recovery.lost_writes(self._core, hello)
        if hello.epoch_seen > self._epoch or lost:
            self._in_background(self._hello_after_loss(peer, hello))
        else:
            self._attach(peer, hello, frozenset())

    async def _hello_after_loss(self, peer: str, hello: Hello) -> None:
        """Redis lost its last writes: take a higher epoch, and see which items of the ledger the history holds."""
        try:
            if hello.epoch_seen >= self._epoch:
                self._epoch = await self._service.store.raise_epoch(hello.epoch_seen + 1)
            numbers = {
                entry.item_uid: await self._service.store.history_seq_of(entry.item_uid) for entry in hello.ledger
            }
        except StoreError:
            return  # the worker introduces itself again once the store is back
        self._attach(peer, hello, frozenset(uid for uid, number in numbers.items() if number is not None))

    def _attach(self, peer: str, hello: Hello, in_history: frozenset[str]) -> None:
        if hello.opening_id != peer:
            return
        self._service.carry_out(recovery.worker_hello(self._core, peer, hello, time.time(), in_history))
        environment = self._core.state.environment
        if environment is not None and environment.opening_id == peer:
            self._silence.heard(peer)

    def _silent(self, peer: str) -> None:
        self._service.carry_out(worker_events.link_silent(self._core, time.time()))

    def _heard(self, peer: str) -> None:
        self._service.carry_out(worker_events.link_heard(self._core, time.time()))

    def worker_ended(self, end: WorkerEnd) -> None:
        """The launcher proved that a worker ended."""
        _log.info("The worker of opening %s is gone: %s.", end.opening_id, end.cause)
        self._silence.forget(end.opening_id)
        spooled = tuple(read_spool(self._spool_dir, end.opening_id))
        self._with_store(
            lambda: worker_events.worker_ended(self._core, end.opening_id, end.cause, spooled, time.time()),
            then=lambda: remove_spool(self._spool_dir, end.opening_id),
        )

    def _with_store(self, decide: Callable[[], Decision], then: Callable[[], None] | None = None) -> None:
        def work() -> None:
            self._service.carry_out(decide())
            self._service.committer.submit((), done)

        def done(durable: bool) -> None:
            if not durable:
                self._held.append(work)  # the store was lost meanwhile
            elif then is not None:
                then()

        if self._core.store_connected:
            work()
        else:
            self._held.append(work)

    def store_back(self) -> None:
        """The store is back: ask the worker for its ledger, and take what it reported meanwhile."""
        environment = self._core.state.environment
        if environment is not None:
            # What it says before its hello belongs to the time before: the hello tells what became of everything.
            self.link.forget(environment.opening_id)
            self.link.send(environment.opening_id, Introduce())
        held, self._held = self._held, []
        for work in held:
            work()
        environment = self._core.state.environment
        if environment is not None and self._core.state.manager_state is ManagerState.INITIALIZING:
            self._look_after(environment)  # loaded anew: it may be older than what was known

    # Start and end ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Take over what the predecessor left; called once, after the state was restored."""
        environment = self._core.state.environment
        if environment is None:
            self._service.carry_out(recovery.begin(self._core, time.time()))
            self._launcher.prepare()
        else:
            self._look_after(environment)
            self._service.carry_out(recovery.begin(self._core, time.time()))

    def _look_after(self, environment: Environment) -> None:
        """Watch the worker of a stored environment, or find that it has ended."""
        opening_id = environment.opening_id
        if environment.handle is None:
            self._later(UNRECORDED_TIMEOUT, lambda: self._never_came(opening_id))
        elif self._launcher.adopt(WorkerHandle(**environment.handle)) is False:
            self._predecessor_ended(opening_id, "its process ended while no manager was running")
            return
        self._silence.heard(opening_id)
        self._later(ATTACH_TIMEOUT, self._attach_overdue)

    def _never_came(self, opening_id: str) -> None:
        environment = self._core.state.environment
        if environment is None or environment.opening_id != opening_id or environment.handle is not None:
            return
        if self._core.state.snapshot is None:
            self._predecessor_ended(opening_id, "its start was interrupted")

    def _predecessor_ended(self, opening_id: str, cause: str) -> None:
        spooled = tuple(read_spool(self._spool_dir, opening_id))
        self._with_store(
            lambda: recovery.predecessor_worker_ended(self._core, opening_id, cause, spooled, time.time()),
            then=lambda: remove_spool(self._spool_dir, opening_id),
        )

    def _attach_overdue(self) -> None:
        self._service.carry_out(recovery.attach_overdue(self._core, time.time()))

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        self._timers.append(self._loop.call_later(delay, call))

    def _in_background(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop listening to workers; running ones are left alone."""
        for timer in self._timers:
            timer.cancel()
        self._silence.close()
        for task in tuple(self._tasks):
            task.cancel()
        await self._launcher.close()
        if hasattr(self, "link"):  # a start that failed earlier has none
            self.link.close()
