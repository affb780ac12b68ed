"""The manager's dealings with workers: effects go to the launcher and the link, their reports to the core."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from queueserver_common import loggers
from queueserver_common.link.messages import (
    Command,
    CommandResult,
    Console,
    Dismiss,
    Event,
    EventsStored,
    Hello,
    Introduce,
    Leave,
    SnapshotChanged,
    Terminate,
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
    LetGoOfWorker,
    PrepareWorker,
    TellWorker,
    WelcomeWorker,
)
from queueserver_manager.core.model import Environment, EnvironmentStage
from queueserver_manager.core.states import ManagerState
from queueserver_manager.launch.interface import Launcher, LaunchError, Record, Sighting, Stranger, WorkerEnd
from queueserver_manager.link.server import LinkServer
from queueserver_manager.link.silence import SilenceWatch
from queueserver_manager.service import Service
from queueserver_manager.store.errors import StoreError

_log = logging.getLogger(loggers.WORKERS)

ATTACH_TIMEOUT = 1.5
"""Seconds after its start for which a manager waits for its predecessor's worker before it answers from the record."""


class Workers:
    """Carries out effects on workers and feeds what they report to the core."""

    def __init__(
        self,
        service: Service,
        epoch: int,
        spool_dir: str,
        on_console: Callable[[str, float], None],
        close_grace: float = 0.0,
    ) -> None:
        """`close_grace`: seconds that a worker has to leave when it was asked to, 0 for ever."""
        self.link: LinkServer
        self.launcher: Launcher
        self._service = service
        self._core = service.core
        self._close_grace = close_grace
        self._epoch = epoch
        self._spool_dir = spool_dir
        self._on_console = on_console
        self._loop = asyncio.get_running_loop()
        self._silence = SilenceWatch(self._silent, self._heard)
        self._unseen = ""
        """Opening of an earlier manager whose worker may have ended before anybody watched it."""
        self._ended = ""
        """Opening whose worker ended last; what it printed may be read after its end was noticed."""
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
                if isinstance(body, Leave) and self._close_grace:
                    self._later(self._close_grace, self._closing_overdue, command_id)
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
            case FindWorker(opening_id, host, pid, pod_uid):
                self._find(Sighting(opening_id, host, pid, pod_uid))
            case KillWorker(opening_id, grace, keep_remains):
                self.launcher.kill(opening_id, grace, keep_remains=keep_remains)
            case LetGoOfWorker(opening_id):
                self.launcher.let_go(opening_id)
            case PrepareWorker():
                self.launcher.prepare()
            case _:
                raise AssertionError(f"not an effect on workers: {effect}")

    def _send(self, message: Command | EventsStored) -> None:
        environment = self._core.state.environment
        if environment is not None:
            self.link.send(environment.opening_id, message)

    async def _launch(self, opening_id: str, token: str) -> None:
        permissions = self._core.lists.permissions
        try:
            record = await self.launcher.start(
                opening_id, token, None if permissions is None else permissions.as_mapping()
            )
        except LaunchError as error:
            _log.error("%s", error)
            reason = str(error)
            self._with_store(lambda: worker_events.launch_failed(self._core, opening_id, reason, time.time()))
        else:
            self.worker_found(opening_id, record)

    def _find(self, worker: Sighting) -> None:
        if (record := self.launcher.recognise(worker)) is not None:
            self.worker_found(worker.opening_id, record)

    def _closing_overdue(self, command_id: str) -> None:
        environment = self._core.state.environment
        if (
            environment is not None
            and environment.stage is EnvironmentStage.CLOSING
            and self._core.leave_command() == command_id
        ):
            _log.warning("The worker was asked to leave %g s ago and has not ended; it is ended.", self._close_grace)
            self.launcher.kill(environment.opening_id, self._core.settings.destroy_grace)

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
            if isinstance(message, Console) and peer == self._ended:
                self._show(message)
            return
        self._silence.heard(peer)
        match message:
            case Event(seq, body):
                self._service.carry_out(worker_events.worker_event(self._core, seq, body, time.time()))
            case SnapshotChanged(snapshot):
                self._service.carry_out(worker_events.worker_snapshot(self._core, snapshot, time.time()))
            case CommandResult():
                decision = worker_events.command_result(self._core, message, time.time())
                self._service.worker_answered(message, decision)
            case Console():
                self._show(message)

    def _show(self, said: Console) -> None:
        if said.dropped:
            self._on_console(f"\n[{said.dropped} characters of console output were lost]\n", said.time)
        self._on_console(said.text, said.time)

    def _hello(self, peer: str, hello: Hello) -> None:
        if self._core.state.environment is None and not self._adopt_stranger(peer, hello):
            return
        lost = hello.opening_id == peer and recovery.lost_writes(self._core, hello)
        if hello.epoch_seen > self._epoch or lost:
            self._in_background(self._hello_after_loss(peer, hello))
        else:
            self._attach(peer, hello, frozenset())

    def _adopt_stranger(self, peer: str, hello: Hello) -> bool:
        """A worker whose opening is not in the store; False when it cannot be told yet whether it is ours."""
        found = self.launcher.identify(Sighting(hello.opening_id, hello.host, hello.pid, hello.pod_uid))
        if found is Stranger.UNKNOWN:
            self.link.forget(peer)  # asked for its hello again when it says anything
            return False
        if not isinstance(found, Stranger):
            _log.warning("The store knows nothing of the worker of opening %s; it is taken over.", hello.opening_id)
            self._service.carry_out(recovery.adopt_worker(self._core, hello, dict(found)))
        return True

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
        if self._unseen == peer:
            self._unseen = ""
        self._service.carry_out(recovery.worker_hello(self._core, peer, hello, time.time(), in_history))
        environment = self._core.state.environment
        if environment is not None and environment.opening_id == peer:
            self._silence.heard(peer)

    def _silent(self, peer: str) -> None:
        self._service.carry_out(worker_events.link_silent(self._core, time.time()))
        self.launcher.link_changed(peer)

    def _heard(self, peer: str) -> None:
        self._service.carry_out(worker_events.link_heard(self._core, time.time()))
        self.launcher.link_changed(peer)

    def worker_ended(self, end: WorkerEnd) -> None:
        """The launcher proved that a worker ended."""
        _log.info("The worker of opening %s is gone: %s.", end.opening_id, end.cause)
        self._silence.forget(end.opening_id)
        opening_id, cause = end.opening_id, end.cause
        self._ended = opening_id
        ends = (*read_spool(self._spool_dir, opening_id), *end.unreported)
        after = f"\n{end.output}" if end.output else ""
        # One that ended while no manager was there makes this start that of a new application.
        unseen = self._unseen == opening_id

        def decide() -> Decision:
            if unseen:
                return recovery.predecessor_worker_ended(self._core, opening_id, cause, ends, time.time())
            return worker_events.worker_ended(self._core, opening_id, cause, ends, time.time(), after=after)

        self._with_store(decide, then=lambda: remove_spool(self._spool_dir, opening_id))

    def worker_found(self, opening_id: str, record: Record) -> None:
        """The launcher knows more of a worker than was recorded."""
        mapping = dict(record)
        self._with_store(lambda: worker_events.launched(self._core, opening_id, mapping, time.time()))

    def worker_ending(self, opening_id: str, cause: str) -> None:
        """The launcher sees that somebody else is ending the worker."""
        _log.warning("The worker of opening %s is on its way out: %s.", opening_id, cause)
        self._service.carry_out(worker_events.worker_ending(self._core, opening_id, cause, time.time()))

    def opening_waits(self, opening_id: str, reason: str) -> None:
        """The launcher sees what keeps the worker from coming up."""
        _log.warning("The environment is not open yet: %s", reason)
        self._service.carry_out(worker_events.opening_waits(self._core, opening_id, reason, time.time()))

    def opening_failed(self, opening_id: str, reason: str) -> None:
        """The launcher sees that no worker will come up."""
        _log.error("The environment cannot be opened: %s", reason)
        self._with_store(lambda: worker_events.opening_failed(self._core, opening_id, reason, time.time()))

    def environment_deleted(self, opening_id: str) -> None:
        """Somebody deleted the object that stands for the environment."""
        _log.warning("The object of opening %s was deleted: the environment is destroyed.", opening_id)
        self._service.carry_out(worker_events.environment_deleted(self._core, opening_id, time.time()))

    def environment_applied(self, opening_id: str, record: Record) -> None:
        """Somebody made the object that stands for an environment: it is opened when none is open."""
        mapping = dict(record)

        def decide() -> Decision:
            decision = worker_events.environment_applied(self._core, opening_id, mapping, time.time())
            environment = self._core.state.environment
            if environment is not None and environment.opening_id == opening_id:
                self.launcher.adopt(opening_id, mapping)
            return decision

        self._with_store(decide)

    def is_heard(self, opening_id: str) -> bool:
        """Whether the worker's link is alive."""
        return self._silence.is_heard(opening_id)

    def ask_to_end(self, opening_id: str, grace: float, cause: str) -> None:
        """Ask the worker over its link to abort and end."""
        self.link.send(opening_id, Terminate(self._epoch, grace, cause))

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
            self.launcher.prepare()
        else:
            self._look_after(environment)
            self._service.carry_out(recovery.begin(self._core, time.time()))

    def _look_after(self, environment: Environment) -> None:
        """Watch the worker of a stored environment, or find that it has ended."""
        opening_id = environment.opening_id
        alive = self.launcher.adopt(opening_id, environment.handle)
        if alive is False:
            self._predecessor_ended(opening_id, "its process ended while no manager was running")
            return
        self._unseen = opening_id if alive is None else ""
        self._silence.heard(opening_id)
        self._later(ATTACH_TIMEOUT, self._attach_overdue)

    def _predecessor_ended(self, opening_id: str, cause: str) -> None:
        spooled = tuple(read_spool(self._spool_dir, opening_id))
        self._with_store(
            lambda: recovery.predecessor_worker_ended(self._core, opening_id, cause, spooled, time.time()),
            then=lambda: remove_spool(self._spool_dir, opening_id),
        )

    def _attach_overdue(self) -> None:
        self._service.carry_out(recovery.attach_overdue(self._core, time.time()))

    def _later(self, delay: float, call: Callable[..., None], *arguments: object) -> None:
        self._timers.append(self._loop.call_later(delay, call, *arguments))

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
        if hasattr(self, "launcher"):
            await self.launcher.close()
        if hasattr(self, "link"):  # a start that failed earlier has none
            self.link.close()
