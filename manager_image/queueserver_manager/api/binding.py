"""Binding a socket, with sentences for what can go wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import socket as sockets
import stat
import struct
from pathlib import Path
from typing import cast

import zmq

from queueserver_manager.api.listeners import describe_process, listening_process

_IPC = "ipc://"
_LONGEST_IPC_PATH = 107
_LARGEST_PORT = 65_535
_FORMS = "write tcp://INTERFACE:PORT, where INTERFACE is *, an IP address or a network interface of this machine"
_SENTENCES = {
    errno.EINVAL: f"this is not an address to listen on; {_FORMS}, or ipc:///PATH",
    errno.EPROTONOSUPPORT: f"this protocol is not supported; {_FORMS}, or ipc:///PATH",
    errno.ENODEV: f"no network interface has this name or address; {_FORMS}",
    errno.EADDRNOTAVAIL: f"no network interface of this machine has this address; {_FORMS}",
    errno.EACCES: "permission denied; choose a port from 1024 on, or a path in a directory that may be written to",
    errno.EPERM: "permission denied; choose a port from 1024 on, or a path in a directory that may be written to",
    errno.ENOENT: "the directory of this path does not exist; create it or choose another path",
    errno.ENOTDIR: "the directory of this path is not a directory; choose another path",
    errno.ENAMETOOLONG: f"the path is longer than {_LONGEST_IPC_PATH} characters; choose a shorter one",
}


class BindError(Exception):
    """A socket could not be bound; the text is a sentence for the user."""


def bind(socket: zmq.Socket[bytes], address: str, name: str) -> str:
    """Bind and return the effective address (a port of 0 or `*` is chosen by the system); raises `BindError`.

    `name` says which socket it is, for the message. The file that a process which has gone left at an ipc address
    is replaced; an address where somebody answers is not.
    """
    try:
        if address.startswith(_IPC):
            _check_ipc_path(address.removeprefix(_IPC))
        elif (_tcp_port(address) or 0) > _LARGEST_PORT:  # 0MQ itself would cut the number
            raise OSError(errno.EINVAL, "port out of range")
        socket.bind(address)
    except (OSError, zmq.ZMQError) as error:
        raise BindError(f"The {name} cannot listen on {address!r}: {_reason(address, error)}") from None
    return cast(bytes, socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()


def _reason(address: str, error: OSError | zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = error.filename if isinstance(error, OSError) else _tcp_holder(address)
        return f"the address is in use by {holder or 'another process'}; stop that or choose another address"
    if error.errno == errno.EEXIST:
        return "a file that is not a socket is in the way; remove it or choose another path"
    return _SENTENCES.get(error.errno or 0) or f"{error.strerror or error}"


def _tcp_holder(address: str) -> str | None:
    port = _tcp_port(address)
    return None if port is None else listening_process(port)


def _tcp_port(address: str) -> int | None:
    scheme, _, port = address.rpartition(":")
    return int(port) if scheme.startswith("tcp:") and port.isdecimal() else None


def _check_ipc_path(path: str) -> None:
    """0MQ replaces whatever lies at the path, so look what it is; raises OSError as `bind` itself would."""
    if path.startswith("@") or path == "*":
        return
    if len(os.fsencode(path)) > _LONGEST_IPC_PATH:
        raise OSError(errno.ENAMETOOLONG, "name too long")
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "not a socket")
    with contextlib.closing(sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)) as probe:
        probe.setblocking(False)  # a listener whose backlog is full answers as well
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, "in use") from None
        raise OSError(errno.EADDRINUSE, "in use", _answering_process(probe))


def _answering_process(probe: sockets.socket) -> str | None:
    if not hasattr(sockets, "SO_PEERCRED"):
        return None
    credentials = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, struct.calcsize("3i"))
    return describe_process(cast(int, struct.unpack("3i", credentials)[0]))
