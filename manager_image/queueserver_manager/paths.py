"""Directories of a manager: data that outlives it, and the runtime directory with its sockets and locks.

Both are told apart by an *identity*: managers that work on the same data share it, all others do not. It stands for
the store and the prefix (`identity_of`), so a restarted manager binds the address that its predecessor's worker dials.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from queueserver_manager.settings.errors import SettingsError

MAX_SOCKET_PATH = 100
"""Bytes; the system's own limit for the path of a unix socket is 108 on Linux and 104 on macOS."""

_LONGEST_NAME = "store.sock.0000000"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where a manager keeps what. The directories exist and belong to this user."""

    data_dir: Path
    runtime_dir: Path
    """Mode 0700; gone after a reboot."""
    identity: str
    """Hash that names the subdirectories of this manager."""
    locks_dir: Path
    """Mode 0700; shared by all managers of this user on this machine."""

    @property
    def link_socket(self) -> Path:
        """Socket that the worker dials."""
        return self.runtime_dir / "link.sock"

    @property
    def link_address(self) -> str:
        """0MQ address of `link_socket`."""
        return f"ipc://{self.link_socket}"

    @property
    def store_dir(self) -> Path:
        """Data of the packaged server; shared by all prefixes of a data directory."""
        return self.data_dir / "store"

    @property
    def spool_dir(self) -> Path:
        """Ends of items that a worker could not report yet."""
        return self.data_dir / "workers" / self.identity / "spool"

    @property
    def worker_log_dir(self) -> Path:
        """Logs of the last openings."""
        return self.data_dir / "workers" / self.identity / "logs"

    def instrument_lock(self, instrument: str) -> Path | None:
        """Lock file of an instrument; None when no instrument is named."""
        if not instrument:
            return None
        # The hash keeps names apart that differ only in characters that a file name cannot hold.
        name = f"{_UNSAFE.sub('_', instrument)[:40]}-{_short_hash(instrument)}.lock"
        return self.locks_dir / name


def identity_of(store: str, prefix: str) -> str:
    """Hash of a store (its address without credentials, or the data directory of the packaged server) and a prefix."""
    return _short_hash(f"{store}\n{prefix}")


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/queueserver`, by default in `~/.local/share`."""
    base = environ.get("XDG_DATA_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if Path(base).is_absolute() else Path("~/.local/share").expanduser()) / "queueserver"


def default_runtime_dir(environ: Mapping[str, str]) -> Path:
    """`$XDG_RUNTIME_DIR/queueserver`, or a directory of this user in `/tmp` where there is none.

    The directory that a login creates is found even when the variable is missing, as it is under cron and sudo:
    a manager started there must find the worker of one that was started at a terminal.
    """
    user = os.getuid()
    for base in (environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        candidate = Path(base) / "queueserver"
        if Path(base).is_absolute() and _is_mine(Path(base)) and _fits(candidate / _short_hash("")):
            return candidate
    return Path(f"/tmp/queueserver-{user}")  # noqa: S108 - owner and mode are verified before anything is put there


def prepare_paths(data_dir: Path, runtime_dir: Path, identity: str) -> Paths:
    """Create the directories of a manager; raises `SettingsError` when they cannot be used."""
    own_runtime_dir = runtime_dir / identity
    locks_dir = runtime_dir / "instruments"
    if not _fits(own_runtime_dir):
        raise SettingsError(
            f"The runtime directory '{runtime_dir}' is too long: the path of a socket in it must stay below "
            f"{MAX_SOCKET_PATH} bytes. Give a shorter one with --runtime-dir."
        )
    paths = Paths(data_dir, own_runtime_dir, identity, locks_dir)
    _create_base(runtime_dir)
    for directory in (own_runtime_dir, locks_dir):
        _create_private(directory)
    for directory in (data_dir, paths.spool_dir, paths.worker_log_dir):
        _create_data(directory)
    return paths


def _short_hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / _LONGEST_NAME)) < MAX_SOCKET_PATH


def _is_mine(directory: Path) -> bool:
    try:
        status = directory.stat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and os.access(directory, os.W_OK | os.X_OK)


def _create_base(directory: Path) -> None:
    """Create the directory that holds the private ones; an existing one, say `/tmp`, is left as it is."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = directory.stat().st_uid
    except OSError as error:
        raise _unusable(directory, error) from None
    if owner not in {os.getuid(), 0}:
        raise _foreign(directory, owner)


def _create_private(directory: Path) -> None:
    """Create a directory that only this user may enter, or make sure that the existing one is such."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        # Not followed: whoever may write beside it could lead a link elsewhere.
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise FileExistsError(errno.ENOTDIR, "it is a link")
        if status.st_uid != os.getuid():
            raise _foreign(directory, status.st_uid)
        if status.st_mode & 0o077:
            directory.chmod(0o700)
    except OSError as error:
        raise _unusable(directory, error) from None


def _foreign(directory: Path, owner: int) -> SettingsError:
    return SettingsError(
        f"The runtime directory '{directory}' belongs to another user (uid {owner}); "
        "give one of your own with --runtime-dir."
    )


def _unusable(directory: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"The runtime directory '{directory}' cannot be used: {error.strerror}; "
        "give a directory that you may write to with --runtime-dir."
    )


def _create_data(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK | os.X_OK)
        problem = "permission denied"
    except OSError as error:
        writable, problem = False, (error.strerror or str(error))
    if not writable:
        raise SettingsError(
            f"The data directory '{directory}' cannot be written to: {problem}; "
            "give a directory that you may write to with --data-dir."
        )
