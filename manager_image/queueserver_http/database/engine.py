"""Opening the database and bringing its tables up to date."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionInTime
from sqlalchemy.pool import QueuePool

from queueserver_http.database.revision import revision
from queueserver_http.database.tables import REVISION

_MIGRATION = "queueserver_http.database.migration"
_BUSY_S = 10
"""Seconds that a statement waits for another process that writes to the same SQLite file."""

_CONNECTION_OF_POSTGRESQL: dict[str, str | int] = {
    "connect_timeout": 10,
    # A machine that lost its power closes no connection: without these a statement would wait for a quarter of an hour.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # From a database without an encoding (SQL_ASCII) the driver would give bytes.
    "client_encoding": "utf8",
}
"""Times are seconds, but for the one that libpq takes in milliseconds; what the uri says itself comes first."""

_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied", "not permitted")
"""What PostgreSQL says to a connection that it will never take; libpq tells no code of an error so early."""

AWAY = (OperationalError, InterfaceError, NoConnectionInTime)
"""What a statement raises when the database is away, or busy for too long."""


class DatabaseError(ValueError):
    """A database that cannot be used; the text is a sentence and holds no password."""


class DatabaseAway(DatabaseError):
    """A database that cannot be reached now, and may be at another time."""


def make_engine(uri: str, *, pool_size: int = 5, pre_ping: bool = True) -> Engine:
    """The database, not connected to yet; raises `DatabaseError`."""
    url = _url(uri)
    try:
        engine = create_engine(
            url,
            poolclass=QueuePool,
            pool_size=1 if _in_memory(url) else pool_size,
            max_overflow=0,
            pool_pre_ping=pre_ping,
            connect_args=_arguments(url),
        )
    except (SQLAlchemyError, ImportError) as error:
        raise DatabaseError(_sentence(url, error)) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def prepare(engine: Engine, *, apart: bool = True) -> None:
    """Bring the tables up to date; raises `DatabaseError`, which is `DatabaseAway` where waiting may help.

    `apart`: by a process of its own, because Alembic takes 22 MB of which nothing is needed afterwards.
    """
    try:
        with engine.connect() as connection:
            if revision(connection) == REVISION:
                return
        if apart and not _in_memory(engine.url):
            _migrate_apart(engine.url)
            return
        from queueserver_http.database.migration import migrate

        with engine.begin() as connection:
            migrate(connection)
    except SQLAlchemyError as error:
        sentence = _sentence(engine.url, error)
        away = engine.dialect.name == "postgresql" and isinstance(error, AWAY)
        if away and not any(words in sentence for words in _REFUSALS):
            raise DatabaseAway(sentence) from None
        raise DatabaseError(sentence) from None


def reason(error: Exception) -> str:
    """What a driver says of an error, in one line."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _migrate_apart(url: URL) -> None:
    uri = url.render_as_string(hide_password=False)  # by standard input: everybody may read the arguments of a process
    done = subprocess.run(
        [sys.executable, "-P", "-m", _MIGRATION], input=uri, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    try:
        away, sentence = json.loads(done.stdout)
    except ValueError:
        [*_, last] = done.stderr.splitlines() or [f"its process ended with code {done.returncode}"]
        raise DatabaseError(f"The tables of the database {url.render_as_string()} cannot be made: {last}") from None
    raise (DatabaseAway if away else DatabaseError)(sentence)


def _url(uri: str) -> URL:
    try:
        url = make_url(uri)
    except ArgumentError:
        raise DatabaseError(
            "The database uri is not understood; it looks like 'sqlite:///./bluesky_httpserver.sqlite' or "
            "'postgresql://user:password@host/name'."
        ) from None
    kind, _, driver = url.drivername.partition("+")
    if kind in ("postgres", "postgresql") and driver in ("", "asyncpg", "psycopg2"):
        url = url.set(drivername="postgresql+psycopg")
    elif kind == "sqlite":
        url = url.set(drivername="sqlite")
    return url


def _sentence(url: URL, error: Exception) -> str:
    return f"The database {url.render_as_string()} cannot be used: {reason(error)}"


def _arguments(url: URL) -> dict[str, Any]:
    if url.drivername == "sqlite":
        return {"timeout": _BUSY_S, "check_same_thread": False}
    if url.drivername != "postgresql+psycopg":
        return {}
    return {name: value for name, value in _CONNECTION_OF_POSTGRESQL.items() if name not in url.query}


def _in_memory(url: URL) -> bool:
    return url.drivername == "sqlite" and url.database in (None, "", ":memory:")


def _prepare_sqlite(connection: object, record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()
