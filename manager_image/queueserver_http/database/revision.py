"""Which of the migrations the tables are at."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from queueserver_http.database.tables import VERSION_TABLE


def revision(connection: Connection) -> str | None:
    """The revision of the tables; None for a database without them."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608 - a constant
