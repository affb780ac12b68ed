"""Addresses of Redis: `host[:port][/db]` and `redis://`, `rediss://` and `unix://` URLs (cli.md 2, `--redis-addr`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from queueserver_manager.store.errors import AddressError

DEFAULT_PORT = 6379

_FORMS = "'host', 'host:port', 'host:port/db', or a URL 'redis://', 'rediss://' (TLS) or 'unix://'"
_PLAIN = re.compile(r"(?P<host>\[[^\[\]]+\]|[^\s:/@\[\]]+)(?::(?P<port>[^/@]*))?(?:/(?P<db>[^@]*))?")
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and how to log in. `str()` shows where, never the credentials."""

    host: str = "localhost"
    port: int = DEFAULT_PORT
    db: int = 0
    path: str = ""
    """Path of a unix socket; host and port mean nothing when it is set."""
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls_options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "rediss://" if self.tls else ""
        return f"{scheme}{host}:{self.port}" + (f"/{self.db}" if self.db else "")

    def new_connection(self) -> AbstractConnection:
        """A connection that is not open yet. It has no time limit of its own on replies."""
        common: dict[str, Any] = {
            "db": self.db,
            "username": self.username,
            "password": self.password,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": _CONNECT_SECONDS,
        }
        if self.path:
            return UnixDomainSocketConnection(path=self.path, **common)
        network: dict[str, Any] = {"host": self.host, "port": self.port, "socket_keepalive": True}
        if self.tls:
            network.update(self.tls_options)
            return SSLConnection(**network, **common)
        return Connection(**network, **common)


def parse_address(text: str) -> RedisAddress:
    """Read an address; raises `AddressError` with a sentence that says what is wrong."""
    text = text.strip()
    if "://" in text:
        return _parse_url(text)
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise AddressError(f"Redis address {_hidden(text)!r} cannot be understood: expected {_FORMS}.")
    port, db = match["port"], match["db"]
    return RedisAddress(
        host=match["host"].strip("[]"),
        port=DEFAULT_PORT if port is None else _port(port, text),
        db=_db(db, text) if db else 0,
    )


def unix_address(path: Path) -> str:
    """Address of the Redis that listens on a unix socket, in the form that `parse_address` reads."""
    return f"unix://{path}"


def _parse_url(text: str) -> RedisAddress:
    try:
        parts = urlsplit(text)
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise AddressError(
            f"Redis address {_hidden(text)!r} cannot be understood: its port or its options are not valid. Special "
            f"characters in a password are written as %XX, such as %2F for a slash."
        ) from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise AddressError(f"Redis address {_hidden(text)!r} has an unknown scheme: expected {_FORMS}.")
    allowed = {"db"} | (_TLS_OPTIONS if parts.scheme == "rediss" else set())
    unknown = sorted(set(query) - allowed)
    if unknown:
        raise AddressError(
            f"Redis address {_hidden(text)!r} has unknown options: {', '.join(unknown)}. "
            f"Known: {', '.join(sorted(allowed))}."
        )
    options = {name: values[-1] for name, values in query.items()}
    db_text = options.pop("db", None)
    path = unquote(parts.path)
    if parts.scheme == "unix":
        if not path.startswith("/"):
            raise AddressError(f"Redis address {_hidden(text)!r} needs an absolute path: unix:///run/redis.sock.")
        where: dict[str, Any] = {"path": path}
    else:
        where = {
            "host": parts.hostname or "localhost",
            "port": DEFAULT_PORT if port is None else _port(str(port), text),
            "tls": parts.scheme == "rediss",
            "tls_options": tuple(sorted(options.items())),
        }
        if db_text is None and path not in ("", "/"):
            db_text = path.removeprefix("/")
    return RedisAddress(
        **where,
        db=0 if db_text is None else _db(db_text, text),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def _port(value: str, text: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise AddressError(
            f"Redis address {_hidden(text)!r} has a port that is not valid: expected a number from 1 to 65535."
        )
    return int(value)


def _db(value: str, text: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise AddressError(f"Redis address {_hidden(text)!r} has a database that is not valid: expected a number.")
    return int(value)


def _hidden(text: str) -> str:
    """The address without what may be a user name and a password; messages never quote single parts of it."""
    scheme, mark, rest = text.rpartition("://")
    credentials, at, where = rest.rpartition("@")
    return f"{scheme}{mark}{'...' if credentials else ''}{at}{where}"
