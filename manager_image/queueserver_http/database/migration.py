"""Bringing tables up to date by Alembic; as a program, for the database whose uri comes by standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text

from queueserver_http.database.engine import DatabaseAway, DatabaseError, make_engine, prepare
from queueserver_http.database.revision import revision
from queueserver_http.database.tables import REVISION

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x71736D67
"""Number of the lock that PostgreSQL keeps while the tables are changed: several servers may start at once."""


def migrate(connection: Connection) -> None:
    """Bring the tables up to date, within the transaction of the connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if revision(connection) == REVISION:
        return
    config = migrations()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise DatabaseError(
            "The database has been changed by a newer version of this server; use that one, or another database."
        ) from None


def migrations() -> Config:
    """Alembic's configuration of the migrations."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def main() -> int:
    """Bring the tables up to date; on failure whether the database is away, and a sentence, as JSON."""
    try:
        prepare(make_engine(sys.stdin.read()), apart=False)
    except DatabaseError as error:
        print(json.dumps([isinstance(error, DatabaseAway), str(error)]))  # noqa: T201 - the answer to who runs this
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
