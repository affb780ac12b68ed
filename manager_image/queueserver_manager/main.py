"""The manager process: takes the store, restores the state, opens its sockets, works, leaves in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import uvloop
import zmq

from queueserver_common import loggers
from queueserver_common.link.worker_config import WorkerConfig
from queueserver_manager.api.binding import BindError
from queueserver_manager.api.console import Console, configure_logging
from queueserver_manager.api.console_stream import ConsoleStream
from queueserver_manager.api.control_socket import ControlSocket
from queueserver_manager.api.curve import CurveServerKeys
from queueserver_manager.api.info_socket import InfoSocket
from queueserver_manager.api.legacy_socket import LegacySocket
from queueserver_manager.api.terminal import TerminalWriter
from queueserver_manager.api.wire import Encoding
from queueserver_manager.core import recovery, termination
from queueserver_manager.core.core import Core
from queueserver_manager.core.states import ManagerState
from queueserver_manager.core.writes import Write
from queueserver_manager.core_settings import core_settings
from queueserver_manager.exit_codes import REFUSED, SETTINGS
from queueserver_manager.files import read_files
from queueserver_manager.health import HealthServer
from queueserver_manager.initial_state import load_last_exit_status, load_lists, load_permissions, load_state
from queueserver_manager.launch.process import ProcessLauncher
from queueserver_manager.link.server import LinkServer
from queueserver_manager.paths import Paths, default_data_dir, default_runtime_dir, identity_of, prepare_paths
from queueserver_manager.service import Service
from queueserver_manager.settings.errors import Notice, SettingsError
from queueserver_manager.settings.load import load_settings
from queueserver_manager.settings.model import SECRET_VARIABLES, Settings
from queueserver_manager.settings.saving import save_settings
from queueserver_manager.settings.startup import check_startup
from queueserver_manager.store.address import parse_address
from queueserver_manager.store.errors import AddressError, PackagedServerError, StoreHeld, StoreLost, StoreTooNew
from queueserver_manager.store.holder import this_process
from queueserver_manager.store.packaged_server import ensure_packaged_server, stop_packaged_server
from queueserver_manager.store.redis_store import RedisStore
from queueserver_manager.supervision import Supervision
from queueserver_manager.workers import Workers

if TYPE_CHECKING:
    from queueserver_manager.cluster.parts import ClusterParts

_log = logging.getLogger(loggers.MANAGER)

_DEFAULT_REDIS = "localhost:6379"
_COLLECTION_THRESHOLDS = (10_000, 10, 10)
"""Objects for a collection of the youngest (1 ms), and so many of these for one of the older ones."""

_STORE_WAIT = 10.0
"""Seconds for which a named Redis is waited for at the start."""

_STORE_SILENT = 1.5
"""Seconds without an answer after which Redis counts as lost; clients give up after 2."""


def main() -> int:
    """Entry point; returns the exit code."""
    supervision = Supervision.take(os.environ)
    try:
        settings, notices = load_settings(sys.argv[1:], os.environ)
        notices += check_startup(settings)
        save_settings(settings, os.environ)
    except SettingsError as error:
        return _refuse(error)
    console = Console(TerminalWriter() if settings.print_console_output else None)
    console.start()
    configure_logging(settings.log_level)
    try:
        return uvloop.run(_run(settings, notices, console, supervision))
    except (SettingsError, BindError, AddressError, PackagedServerError, StoreLost, StoreTooNew) as error:
        return _refuse(error)
    except StoreHeld as error:
        _refuse(error)
        return REFUSED
    finally:
        zmq.Context.instance().destroy(linger=0)  # closed sockets still send: the reply to `manager_stop`, say
        console.stop()


def _refuse(error: Exception) -> int:
    sys.stderr.write(f"start-re-manager: {error}\n")
    return SETTINGS


@dataclass(frozen=True, slots=True)
class _Store:
    """The connected store and, when it is the packaged server, where that is."""

    redis: RedisStore
    packaged_address: str
    paths: Paths


async def _open_store(settings: Settings) -> _Store:
    """Connect to the named Redis, to one on the default port, or to the packaged server, which is started."""
    data_dir = settings.data_dir or default_data_dir(os.environ)
    runtime_dir = settings.runtime_dir or default_runtime_dir(os.environ)
    prefix, holder = settings.redis_name_prefix, this_process()
    silent = _STORE_SILENT
    if settings.redis_addr is not None:
        identity = identity_of(str(parse_address(settings.redis_addr)), prefix)
        paths = prepare_paths(data_dir, runtime_dir, identity)
        redis = await RedisStore.connect(
            settings.redis_addr, prefix, holder, wait_seconds=_STORE_WAIT, reply_seconds=silent
        )
        return _Store(redis, "", paths)
    if settings.data_dir is None:
        with suppress(StoreLost):
            redis = await RedisStore.connect(_DEFAULT_REDIS, prefix, holder, reply_seconds=silent)
            identity = identity_of(str(parse_address(_DEFAULT_REDIS)), prefix)
            return _Store(redis, "", prepare_paths(data_dir, runtime_dir, identity))
    paths = prepare_paths(data_dir, runtime_dir, identity_of(str(data_dir), prefix))
    always = settings.appendfsync == "always"

    async def ensure() -> str:
        return await ensure_packaged_server(paths.store_dir, paths.runtime_dir, "always" if always else "everysec")

    async def revive() -> None:
        try:
            await ensure()
        except PackagedServerError as error:
            raise StoreLost(str(error), unknown=False) from None

    redis = await RedisStore.connect(
        address := await ensure(), prefix, holder, wait_seconds=_STORE_WAIT, reply_seconds=silent, revive=revive
    )
    return _Store(redis, address, paths)


async def _run(settings: Settings, notices: list[Notice], console: Console, supervision: Supervision | None) -> int:
    _log.info("Starting ZMQ server at '%s'", settings.zmq_control_addr)
    _log.info("ZMQ control channels: encryption %s", "enabled" if settings.zmq_private_key else "disabled")
    _log.info("Starting RE Manager process")
    start_log = logging.getLogger(loggers.START)
    start_log.info("%s", settings.describe())
    for notice in notices:
        start_log.log(notice.level, "%s", notice.text)
    store = await _open_store(settings)
    worker_left = False
    try:
        epoch = await store.redis.take_epoch(0)
        manager = Manager(settings, store, epoch, console)
        try:
            await manager.start()
            if supervision is not None:  # from the first beat on a crash is answered by a new start
                supervision.attach(asyncio.get_running_loop(), manager.supervisor_lost)
            return await manager.service.ended
        finally:
            worker_left = manager.has_environment
            await manager.close()
    finally:
        await store.redis.close()
        if store.packaged_address:
            await _stop_packaged(store.packaged_address, needed=worker_left)


async def _stop_packaged(address: str, *, needed: bool) -> None:
    if needed:
        _log.info("The worker goes on; the packaged server stays for it and for the next start.")
        return
    try:
        await stop_packaged_server(address)
    except PackagedServerError as error:
        _log.warning("%s", error)


class Manager:
    """All parts of the process, from the restored state to the last socket."""

    def __init__(self, settings: Settings, store: _Store, epoch: int, console: Console) -> None:
        self._settings = settings
        self._store = store
        self._console = console
        self._encoding = Encoding(settings.zmq_encoding)
        self.service = Service(Core(_new_uid, core_settings(settings)), store.redis, self._encoding, _new_uid)
        self.service.lookups.read_files = partial(read_files, settings)
        self.workers = Workers(
            self.service,
            epoch,
            str(store.paths.spool_dir),
            self._show_worker_text,
            close_grace=settings.close_grace if settings.in_cluster else 0.0,
        )
        self.service.worker_side = self.workers
        self.service.console = ConsoleStream(epoch)
        self._control: ControlSocket | None = None
        self._legacy: LegacySocket | None = None
        self._cluster: ClusterParts | None = None
        if settings.in_cluster:
            from queueserver_manager.cluster.parts import ClusterParts  # with httpx: 10 MB that others do not need

            self._cluster = ClusterParts(settings, os.environ, self.service, self.workers)
            self.workers.launcher = self._cluster.launcher
        else:
            self.workers.launcher = ProcessLauncher(
                self._worker_config,
                self.workers.worker_ended,
                log_dir=store.paths.worker_log_dir,
                preload=settings.preload,
                hidden_variables=SECRET_VARIABLES,
            )
        self._health = HealthServer(self._unready, self._remark)

    @property
    def has_environment(self) -> bool:
        """Whether an environment is recorded: its worker may go on without the manager."""
        return self.service.core.state.environment is not None

    async def start(self) -> None:
        """Restore the state and open the sockets; raises `BindError` and `SettingsError`."""
        service, settings, core = self.service, self._settings, self.service.core
        self._console.connect(service.console.publish)
        if settings.health_addr is not None:
            await self._health.start(*settings.health_addr)
        stored = await load_state(self._store.redis, settings)
        recovery.restore(core, stored)
        restart = core.state.environment is not None
        _log.info("Loading the lists of allowed plans and devices ...")
        writes: list[Write] = load_permissions(core, stored, settings, restart=restart)
        writes += await load_lists(core, self._store.redis, settings, restart=restart)
        await self._store.redis.commit(_new_uid(), writes)
        core.state.last_exit_status = await load_last_exit_status(self._store.redis, stored)
        keys = CurveServerKeys.from_text(settings.zmq_private_key) if settings.zmq_private_key else None
        self._control = ControlSocket(
            settings.zmq_control_addr,
            self._encoding,
            service.on_request,
            max_frame=settings.max_request_size,
            curve=keys,
        )
        if settings.legacy_addr is not None:
            self._legacy = LegacySocket(
                settings.legacy_addr, service.on_request, max_frame=settings.max_request_size, curve=keys
            )
            _log.info("Requests of version 0.0.1 are answered on %s", settings.legacy_addr)
        if settings.zmq_publish_console:
            service.info = _open_info_socket(settings, self._encoding, keys, service.console)
        self.workers.link = self._open_link()
        service.begin()
        self.workers.begin()
        if self._cluster is not None:
            self._cluster.begin()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        _collect_garbage_seldom()
        _log.info("Starting ZeroMQ server ...")
        _log.info("ZeroMQ server is waiting on %s", settings.zmq_control_addr)

    def _open_link(self) -> LinkServer:
        if self._cluster is None:
            return LinkServer(self._store.paths.link_address, self.workers.on_message)
        return LinkServer(self._settings.link_addr, self.workers.on_message, keys=self._cluster.link_keys)

    def _unready(self) -> str:
        core = self.service.core
        if self._control is None or core.state.manager_state is ManagerState.INITIALIZING:
            return "The manager is starting."
        return self._remark()

    def _remark(self) -> str:
        core = self.service.core
        return "" if core.store_connected else f"The store is away: {core.store_problem}"

    def _terminate(self) -> None:
        _log.info("The manager was asked to end.")
        decision = termination.terminate(self.service.core, self._settings.on_terminate, time.time())
        self.service.carry_out(decision)

    def supervisor_lost(self) -> None:
        """Nobody would start this manager again: it leaves at once and leaves the worker alone."""
        _log.warning("The supervisor of the manager has gone; the manager leaves.")
        self.service.carry_out(termination.abandon())

    def _worker_config(self, opening_id: str, token: str, permissions: dict[str, Any] | None) -> WorkerConfig:
        paths, settings = self._store.paths, self._settings
        return settings.worker_config(
            link_address=paths.link_address,
            opening_id=opening_id,
            token=token,
            spool_dir=paths.spool_dir,
            instrument_lock=paths.instrument_lock(settings.instrument or f"manager-{paths.identity}"),
            permissions=permissions,
            packaged_store_socket=_socket_of(self._store.packaged_address),
        )

    def _show_worker_text(self, text: str, when: float) -> None:
        self._console.show_worker_text(text)
        self.service.console.publish(text, when)

    async def close(self) -> None:
        """Close everything but the store; a running worker is left alone."""
        self._health.close()
        await self.service.close()
        await self.workers.close()
        if self._cluster is not None:
            await self._cluster.close()
        for socket in (self._control, self._legacy):
            if socket is not None:
                socket.close()
        self._console.disconnect()
        if self.service.info is not None:
            self.service.info.close()


def _open_info_socket(
    settings: Settings, encoding: Encoding, keys: CurveServerKeys | None, console: ConsoleStream
) -> InfoSocket:
    encrypted = settings.encrypted_info_addr
    return InfoSocket(
        settings.zmq_info_addr if settings.clear_info else None,
        encoding,
        encrypted=(encrypted, keys) if encrypted is not None and keys is not None else None,
        console=console,
    )


def _socket_of(address: str) -> str:
    return address.removeprefix("unix://").partition("?")[0] if address else ""


def _collect_garbage_seldom() -> None:
    """Let no collection look at modules and restored items again, and few at a queue that grows: each of these would
    hold up all clients, 35 ms with 100,000 items.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


def _new_uid() -> str:
    return str(uuid.UUID(bytes=os.urandom(16), version=4))
