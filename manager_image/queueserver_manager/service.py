"""The manager at work: requests come in, the core decides, the committer makes it durable, effects are carried out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from queueserver_common import __version__, loggers
from queueserver_common.link.messages import CommandResult
from queueserver_manager.api.console_stream import ConsoleStream
from queueserver_manager.api.control_socket import Request
from queueserver_manager.api.info_socket import InfoSocket
from queueserver_manager.api.wire import Encoding, encode_reply
from queueserver_manager.committer import Committer
from queueserver_manager.core import recovery
from queueserver_manager.core.core import Core
from queueserver_manager.core.decision import (
    AuditQuery,
    AwaitWorker,
    ConsoleQuery,
    Decision,
    HistoryQuery,
    Reply,
    TaskResultQuery,
)
from queueserver_manager.core.effects import Effect, LeaveManager
from queueserver_manager.core.methods import METHODS
from queueserver_manager.core.refusal import Code, Refusal
from queueserver_manager.core.requests import StoreAway, Work, decide, refuse
from queueserver_manager.core.status import status_mapping, stored_fields
from queueserver_manager.exit_codes import CRASHED, FENCED
from queueserver_manager.lookups import LookUp, Lookups
from queueserver_manager.reading import read, read_console
from queueserver_manager.store.errors import Fenced, StoreError
from queueserver_manager.store.redis_store import RedisStore

_log = logging.getLogger(loggers.MANAGER)

SLICE = 0.002
"""Seconds of one step of long work (validation of a batch); others are answered in between."""

WORKER_ANSWER_TIMEOUT = 1.5
"""Seconds that a reply waits for the worker's answer; clients give up after 2."""

PUBLISH_PERIOD = 0.01
"""Least seconds between two publications of the status because of changes."""

HEARTBEAT_PERIOD = 1.0
"""Seconds after which the status is published even without a change (zmq-api 1.4)."""

LAST_REPLY = 0.2
"""Seconds that a client has to take the reply to `manager_stop`.

A 0MQ socket that sends only while it is connected (ZMQ_IMMEDIATE) drops what it has not read when the connection ends.
"""

_CONNECTED, _AWAY = "connected", "away"


class WorkerSide(Protocol):
    """The part of the manager that carries out effects on workers."""

    def carry_out(self, effect: Effect) -> None:
        """Carry out an effect."""

    def store_back(self) -> None:
        """Process what was held while the store was away, and ask the worker to introduce itself."""


class Service:
    """Ties the core to its sockets and its store."""

    def __init__(self, core: Core, store: RedisStore, encoding: Encoding, new_uid: Callable[[], str]) -> None:
        self.core = core
        self.store = store
        self.worker_side: WorkerSide
        self.info: InfoSocket | None = None
        self.console: ConsoleStream
        self.on_change: Callable[[], None] = lambda: None
        """Called whenever the status may have changed."""
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolved with the exit code when the manager is to leave."""
        self.lookups = Lookups(core, store)
        self._encoding = encoding
        self._new_uid = new_uid
        self._loop = asyncio.get_running_loop()
        self.committer = Committer(
            store,
            new_uid,
            on_lost=self._store_lost,
            reload=self._reload,
            on_back=self._store_back,
            on_fatal=self._store_fatal,
        )
        store.on_lost = self.committer.store_lost
        store.on_trouble = self._store_trouble
        store.on_back = self._note_rollback
        store.on_refused = self._store_fatal
        self._working: dict[bytes, deque[Request]] = {}
        """Clients with a request that is decided in steps, and what they sent after it."""
        self._answers: dict[str, tuple[Request, AwaitWorker, asyncio.TimerHandle]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._status: dict[str, Any] = {}
        self._status_bytes = b""
        self._status_version = -1
        self._stored: dict[str, Any] = {}
        """The fields of the status that follow from what the store holds, as of the last commit."""
        self._published = (-1, 0.0)
        self._publishing: asyncio.TimerHandle | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None
        """The question to Redis whether it is there."""

    # Requests --------------------------------------------------------------------------------------------------

    def on_request(self, request: Request) -> None:
        """Answer a request of a client; requests of one client are decided in their order."""
        if self._working and request.client[0] in self._working:
            self._working[request.client[0]].append(request)
            return
        if request.method in ("status", "ping"):
            self._answer_status(request)
        elif self.committer.connected and (look_up := self.lookups.wanted_by(request.method, request.params)):
            self._working[request.client[0]] = deque()
            self._in_background(self._decide_after(look_up, request))
        else:
            self._decide(request)

    def _decide(self, request: Request) -> None:
        outcome = decide(self.core, request.method, request.params, time.time())
        _announce(request.method, outcome)
        if isinstance(outcome, Work):
            self._working[request.client[0]] = deque()
            self._advance(request, outcome)
        else:
            self.carry_out(outcome, request)

    def _advance(self, request: Request, work: Work) -> None:
        end = time.perf_counter() + SLICE
        decision = work.advance(time.time(), lambda: time.perf_counter() > end)
        if decision is None:
            self._loop.call_soon(self._advance, request, work)
            return
        if decision.writes and not self.committer.connected:
            decision = refuse(self.core, METHODS[request.method], StoreAway(self.core.store_problem))
        self.carry_out(decision, request)
        for later in self._working.pop(request.client[0]):
            self.on_request(later)

    async def _decide_after(self, look_up: LookUp, request: Request) -> None:
        await look_up()
        self._decide(request)
        for later in self._working.pop(request.client[0]):
            self.on_request(later)

    # Decisions -------------------------------------------------------------------------------------------------

    def carry_out(self, d: Decision, request: Request | None = None) -> None:
        """Make the decision's writes durable, then reply and carry out its effects."""
        if d.hang:
            _log.warning("The manager stops answering, as it was asked to (manager_kill).")
            while True:
                time.sleep(3600)
        if d.urgent:
            self._follow(d, request)
            self.committer.submit(d.writes, _nothing)
        elif d.writes:
            stored = stored_fields(self.core.state)
            self.committer.submit(d.writes, lambda durable: self._finish(d, request, durable, stored))
        else:
            self.committer.submit((), lambda durable: self._finish(d, request, durable, self._stored))
        self.publish_soon()

    def _finish(self, d: Decision, request: Request | None, durable: bool, stored: dict[str, Any]) -> None:
        if durable:
            self._stored = stored
            self._follow(d, request)
        elif request is not None:
            reply = refuse(self.core, METHODS[request.method], StoreAway(self.core.store_problem)).reply
            self._reply(request, reply)

    def _follow(self, d: Decision, request: Request | None) -> None:
        if request is not None:
            if isinstance(d.reads, ConsoleQuery):
                self._reply(request, {**(d.reply or {}), **read_console(self.console, d.reads)})
            elif d.reads is not None:
                self._in_background(self._answer_from_store(request, d))
            elif d.awaits is not None:
                self._await_worker(request, d.awaits)
            else:
                self._reply(request, d.reply)
        for effect in d.effects:
            if isinstance(effect, LeaveManager):
                self._loop.call_later(0.0 if request is None else LAST_REPLY, self.leave, 0)
            else:
                self.worker_side.carry_out(effect)

    def _reply(self, request: Request, reply: Reply | None) -> None:
        if reply is not None:
            request.socket.reply(request, reply)

    def leave(self, code: int) -> None:
        """End the manager process with an exit code."""
        if not self.ended.done():
            self.ended.set_result(code)

    async def _answer_from_store(self, request: Request, d: Decision) -> None:
        assert isinstance(d.reads, HistoryQuery | AuditQuery | TaskResultQuery)
        assert d.reply is not None
        try:
            values = await read(self.store, d.reads)
        except StoreError as error:
            self._reply(request, refuse(self.core, METHODS[request.method], StoreAway(str(error))).reply)
        else:
            self._reply(request, {**d.reply, **values})

    def _await_worker(self, request: Request, awaits: AwaitWorker) -> None:
        timer = self._loop.call_later(WORKER_ANSWER_TIMEOUT, self._worker_answers_not, awaits.command_id)
        self._answers[awaits.command_id] = request, awaits, timer

    def _worker_answers_not(self, command_id: str) -> None:
        request, awaits, _ = self._answers.pop(command_id)
        self.core.commands.pop(command_id, None)
        self._reply(request, awaits.timed_out)

    def worker_answered(self, result: CommandResult, d: Decision) -> None:
        """The worker accepted or refused a command; a client may wait for it."""
        self.carry_out(d)
        if result.command_id in self._answers:
            request, awaits, timer = self._answers.pop(result.command_id)
            timer.cancel()
            reply = awaits.accepted(result.value) if result.ok else self._worker_refused(request, result.msg)
            self.committer.submit((), lambda _: self._reply(request, reply))

    def _worker_refused(self, request: Request, msg: str) -> Reply | None:
        refusal = Refusal(msg, code=Code.WORKER_REFUSED, prefixed=False)
        return refuse(self.core, METHODS[request.method], refusal).reply

    def _in_background(self, work: Any) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Status ----------------------------------------------------------------------------------------------------

    def _answer_status(self, request: Request) -> None:
        status = self.status_bytes()
        if self.committer.connected:
            self.committer.submit((), lambda durable: self._reply_status(request, status, durable))
        else:
            request.socket.reply(request, status)

    def _reply_status(self, request: Request, status: bytes, durable: bool) -> None:
        # The store was lost under the decisions that this status shows: take the last durable ones.
        request.socket.reply(request, status if durable else self.status_bytes())

    def status(self) -> Mapping[str, Any]:
        """The status as it is decided."""
        self._refresh_status()
        return self._status

    def status_bytes(self) -> bytes:
        """The encoded status; built anew only after a decision."""
        self._refresh_status()
        return self._status_bytes

    def _refresh_status(self) -> None:
        if self._status_version == self.core.version:
            return
        connected = self.committer.connected
        self._status = status_mapping(
            self.core.state,
            version=__version__,
            time=datetime.now().isoformat(),
            status_uid=self._new_uid(),
            store=_CONNECTED if connected else _AWAY,
        )
        if not connected:
            self._status |= self._stored
        self._status_bytes = encode_reply(self._status, self._encoding)
        self._status_version = self.core.version

    def publish_soon(self) -> None:
        """Publish the status if it changed; often repeated changes are published together."""
        self.on_change()
        if self._publishing is None and self.info is not None and self._published[0] != self.core.version:
            delay = max(0.0, self._published[1] + PUBLISH_PERIOD - self._loop.time())
            self._publishing = self._loop.call_later(delay, self._publish)

    def _publish(self) -> None:
        self._publishing = None
        self._refresh_status()
        status = self._status
        self._published = self._status_version, self._loop.time()
        self.committer.submit((), lambda durable: self._send_status(status if durable else self._status))

    def _send_status(self, status: Mapping[str, Any]) -> None:
        if self.info is not None:
            self.info.publish_status(status)

    def begin(self) -> None:
        """The state was restored from the store: from now on the status is published."""
        self._stored = stored_fields(self.core.state)
        self._beat()

    def _beat(self) -> None:
        if self.committer.connected and (self._checking is None or self._checking.done()):
            self._checking = self._in_background(self.store.check())
        if self._publishing is None:
            self._publish()
        self._heartbeat = self._loop.call_later(HEARTBEAT_PERIOD, self._beat)

    # The store -------------------------------------------------------------------------------------------------

    def _note_rollback(self, rolled_back: bool) -> None:
        self.committer.rolled_back = self.committer.rolled_back or rolled_back

    def _store_lost(self, reason: str) -> None:
        self.core.store_connected = False
        self.core.store_problem = reason
        self.core.touch()
        self.publish_soon()

    def _store_trouble(self, reason: str) -> None:
        self.core.store_problem = reason

    async def _reload(self, differs: bool) -> None:
        if differs:
            recovery.restore(self.core, await self.store.load())
            self._stored = stored_fields(self.core.state)
            self.core.touch()

    def _store_back(self) -> None:
        self.core.store_connected = True
        self.core.touch()
        self.carry_out(recovery.begin_again(self.core, time.time()))
        self.worker_side.store_back()

    def _store_fatal(self, error: StoreError) -> None:
        _log.error("%s", error)
        self.leave(FENCED if isinstance(error, Fenced) else CRASHED)

    async def close(self) -> None:
        """Stop answering."""
        for timer in (self._publishing, self._heartbeat):
            if timer is not None:
                timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await self.committer.close()


def _announce(method: str, outcome: Decision | Work) -> None:
    """Say in the log what a request brings about; the words are those of the contract's console."""
    text = METHODS[method].announcement if method in METHODS else ""
    if not text or not isinstance(outcome, Decision) or outcome.repeated:
        return
    if outcome.awaits or (outcome.reply or {}).get("success"):
        _log.info("%s", text)


def _nothing(_: bool) -> None:
    """An urgent decision was carried out already; its record is not waited for."""
