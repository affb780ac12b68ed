"""Reading and writing accounts. Blocking: `Accounts` calls it from threads."""

from __future__ import annotations

import hashlib
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Table, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from queueserver_http.accounts.model import Account, FoundKey, hashed
from queueserver_http.database.engine import prepare
from queueserver_http.database.tables import API_KEYS, IDENTITIES, PRINCIPALS, SESSIONS

_ACTIVITY_S = 60.0
"""Seconds between two notes of an API key's latest use."""


class Records:
    """The database as functions, each a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.place = engine.url.render_as_string()
        """The uri without its password."""

    def prepare(self) -> None:
        """Bring the tables up to date; raises `DatabaseError`."""
        prepare(self._engine)

    def check(self) -> None:
        """Raise whatever a statement would."""
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    # Principals -------------------------------------------------------------------------------------------------

    def logged_in(self, provider: str, name: str) -> Account:
        """The principal of an identity, made at its first login."""
        try:
            return self._logged_in(provider, name)
        except IntegrityError:  # somebody with this name logged in for the first time at the same moment
            return self._logged_in(provider, name)

    def _logged_in(self, provider: str, name: str) -> Account:
        key = hashlib.sha256(f"{provider}\0{name}".encode()).hexdigest()
        now = time.time()
        with self._engine.begin() as connection:
            known = update(IDENTITIES).where(IDENTITIES.c.key == key).values(latest_login=now)
            if not connection.execute(known).rowcount:
                owner = str(uuid.uuid4())
                connection.execute(insert(PRINCIPALS).values(uuid=owner, kind="user", time_created=now))
                new = {"key": key, "provider": provider, "name": name, "latest_login": now}
                connection.execute(insert(IDENTITIES).values(new | {"principal_id": _id_of(owner)}))
            owning = select(PRINCIPALS).join(IDENTITIES).where(IDENTITIES.c.key == key)
            return _account(connection.execute(owning).one(), connection)

    def account(self, principal: str) -> Account | None:
        """A principal by its uuid."""
        with self._engine.connect() as connection:
            row = _principal(connection, principal)
            return _account(row, connection) if row else None

    def shown(self, principal: str) -> dict[str, Any] | None:
        """A principal with its identities, keys and sessions, as it is shown."""
        with self._engine.connect() as connection:
            row = _principal(connection, principal)
            return _shown(row, connection) if row else None

    def all_shown(self) -> list[dict[str, Any]]:
        """All principals."""
        with self._engine.connect() as connection:
            rows = connection.execute(select(PRINCIPALS).order_by(PRINCIPALS.c.id)).all()
            return [_shown(row, connection) for row in rows]

    # API keys ---------------------------------------------------------------------------------------------------

    def add_key(
        self, principal: str, secret: str, scopes: list[str], note: str | None, expires: float | None
    ) -> dict[str, Any]:
        """Store a key; returns what is shown of it."""
        values = {
            "hashed_secret": hashed(secret),
            "first_eight": secret[:8],
            "scopes": scopes,
            "note": note,
            "time_created": time.time(),
            "expiration_time": expires,
            "principal_id": _id_of(principal),
        }
        with self._engine.begin() as connection:
            connection.execute(insert(API_KEYS).values(values))
            return _shown_key(connection.execute(select(API_KEYS).where(_has(secret))).one())

    def find_key(self, secret: str) -> FoundKey | None:
        """A key that is stored and has not expired; its use is noted once a minute."""
        now = time.time()
        with self._engine.begin() as connection:
            row = connection.execute(select(API_KEYS).where(_has(secret))).one_or_none()
            if row is None or (row.expiration_time is not None and row.expiration_time <= now):
                return None
            if row.latest_activity is None or row.latest_activity < now - _ACTIVITY_S:
                connection.execute(update(API_KEYS).where(API_KEYS.c.id == row.id).values(latest_activity=now))
            owner = connection.execute(select(PRINCIPALS).where(PRINCIPALS.c.id == row.principal_id)).one()
            return FoundKey(_account(owner, connection), row.first_eight, tuple(row.scopes), row.expiration_time)

    def shown_key(self, secret: str) -> dict[str, Any] | None:
        """What is shown of a key."""
        with self._engine.connect() as connection:
            row = connection.execute(select(API_KEYS).where(_has(secret))).one_or_none()
            return _shown_key(row) if row else None

    def delete_key(self, principal: str, first_eight: str) -> bool:
        """Delete a principal's key; False when there is none."""
        own = (API_KEYS.c.principal_id == _id_of(principal), API_KEYS.c.first_eight == first_eight)
        with self._engine.begin() as connection:
            return bool(connection.execute(delete(API_KEYS).where(*own)).rowcount)

    # Sessions ---------------------------------------------------------------------------------------------------

    def add_session(self, principal: str, age: float) -> str:
        """Begin a session of `age` seconds at most; returns its uuid."""
        now, new = time.time(), str(uuid.uuid4())
        values = {
            "uuid": new,
            "time_created": now,
            "refresh_count": 0,
            "expiration_time": now + age,
            "revoked": False,
            "principal_id": _id_of(principal),
        }
        with self._engine.begin() as connection:
            connection.execute(insert(SESSIONS).values(values))
        return new

    def refresh_session(self, uuid: str) -> Account | None:
        """Note a refresh; None for a session that is unknown, revoked or expired."""
        now = time.time()
        good = (SESSIONS.c.uuid == uuid, SESSIONS.c.revoked.is_(False), SESSIONS.c.expiration_time > now)
        noted = {"refresh_count": SESSIONS.c.refresh_count + 1, "time_last_refreshed": now}
        with self._engine.begin() as connection:
            if not connection.execute(update(SESSIONS).where(*good).values(noted)).rowcount:
                return None
            owning = select(PRINCIPALS).join(SESSIONS).where(SESSIONS.c.uuid == uuid)
            return _account(connection.execute(owning).one(), connection)

    def revoke_session(self, uuid: str, principal: str) -> bool:
        """Revoke a session of a principal; False when it has no such session."""
        own = (SESSIONS.c.uuid == uuid, SESSIONS.c.principal_id == _id_of(principal))
        with self._engine.begin() as connection:
            return bool(connection.execute(update(SESSIONS).where(*own).values(revoked=True)).rowcount)

    def purge(self) -> None:
        """Delete sessions and keys that have expired."""
        now = time.time()
        with self._engine.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.expiration_time <= now))
            connection.execute(delete(API_KEYS).where(API_KEYS.c.expiration_time <= now))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _has(secret: str) -> ColumnElement[bool]:
    return API_KEYS.c.hashed_secret == hashed(secret)


def _id_of(principal: str) -> Any:
    """The key of a principal in the other tables, as a part of a statement."""
    return select(PRINCIPALS.c.id).where(PRINCIPALS.c.uuid == principal).scalar_subquery()


def _principal(connection: Connection, uuid: str) -> Row[Any] | None:
    return connection.execute(select(PRINCIPALS).where(PRINCIPALS.c.uuid == uuid)).one_or_none()


def _of(table: Table, principal: Row[Any], connection: Connection) -> list[Row[Any]]:
    """What a table holds of a principal, in the order in which it came."""
    own = select(table).where(table.c.principal_id == principal.id).order_by(table.c.id)
    return list(connection.execute(own))


def _account(principal: Row[Any], connection: Connection) -> Account:
    identities = _of(IDENTITIES, principal, connection)
    return Account(principal.uuid, principal.kind, tuple((one.provider, one.name) for one in identities))


def _shown(principal: Row[Any], connection: Connection) -> dict[str, Any]:
    return {
        "uuid": principal.uuid,
        "type": principal.kind,
        "identities": [
            {"provider": one.provider, "id": one.name, "latest_login": _iso(one.latest_login)}
            for one in _of(IDENTITIES, principal, connection)
        ],
        "api_keys": [_shown_key(key) for key in _of(API_KEYS, principal, connection)],
        "sessions": [
            {"uuid": one.uuid, "expiration_time": _iso(one.expiration_time), "revoked": one.revoked}
            for one in _of(SESSIONS, principal, connection)
        ],
    }


def _shown_key(row: Row[Any]) -> dict[str, Any]:
    return {
        "first_eight": row.first_eight,
        "expiration_time": _iso(row.expiration_time),
        "note": row.note,
        "scopes": list(row.scopes),
        "latest_activity": _iso(row.latest_activity),
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
