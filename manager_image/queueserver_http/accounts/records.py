"""Reading and writing accounts. Blocking: `Accounts` calls it from threads."""

from __future__ import annotations

import hashlib
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from queueserver_http.accounts.model import Account, FoundKey, hashed
from queueserver_http.database.engine import prepare
from queueserver_http.database.tables import ApiKeyRow, IdentityRow, PrincipalRow, SessionRow

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
        with Session(self._engine) as session, session.begin():
            identity = session.scalar(select(IdentityRow).where(IdentityRow.key == key))
            if identity is None:
                principal = PrincipalRow(uuid=str(uuid.uuid4()), kind="user", time_created=now)
                identity = IdentityRow(key=key, provider=provider, name=name, principal=principal)
                session.add(identity)
            identity.latest_login = now
            session.flush()
            return _account(identity.principal)

    def account(self, principal: str) -> Account | None:
        """A principal by its uuid."""
        with Session(self._engine) as session:
            row = _principal(session, principal)
            return _account(row) if row else None

    def shown(self, principal: str) -> dict[str, Any] | None:
        """A principal with its identities, keys and sessions, as it is shown."""
        with Session(self._engine) as session:
            row = _principal(session, principal)
            return _shown(row) if row else None

    def all_shown(self) -> list[dict[str, Any]]:
        """All principals."""
        with Session(self._engine) as session:
            return [_shown(row) for row in session.scalars(select(PrincipalRow).order_by(PrincipalRow.id))]

    # API keys ---------------------------------------------------------------------------------------------------

    def add_key(
        self, principal: str, secret: str, scopes: list[str], note: str | None, expires: float | None
    ) -> dict[str, Any]:
        """Store a key; returns what is shown of it."""
        with Session(self._engine) as session, session.begin():
            owner = session.scalars(select(PrincipalRow).where(PrincipalRow.uuid == principal)).one()
            row = ApiKeyRow(
                hashed_secret=hashed(secret),
                first_eight=secret[:8],
                scopes=scopes,
                note=note,
                time_created=time.time(),
                expiration_time=expires,
                latest_activity=None,
                principal=owner,
            )
            session.add(row)
            return _shown_key(row)

    def find_key(self, secret: str) -> FoundKey | None:
        """A key that is stored and has not expired; its use is noted once a minute."""
        now = time.time()
        with Session(self._engine) as session, session.begin():
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.hashed_secret == hashed(secret)))
            if row is None or (row.expiration_time is not None and row.expiration_time <= now):
                return None
            if row.latest_activity is None or row.latest_activity < now - _ACTIVITY_S:
                row.latest_activity = now
            return FoundKey(_account(row.principal), row.first_eight, tuple(row.scopes), row.expiration_time)

    def shown_key(self, secret: str) -> dict[str, Any] | None:
        """What is shown of a key."""
        with Session(self._engine) as session:
            row = session.scalar(select(ApiKeyRow).where(ApiKeyRow.hashed_secret == hashed(secret)))
            return _shown_key(row) if row else None

    def delete_key(self, principal: str, first_eight: str) -> bool:
        """Delete a principal's key; False when there is none."""
        with Session(self._engine) as session, session.begin():
            owner = _principal(session, principal)
            found = [] if owner is None else [key for key in owner.api_keys if key.first_eight == first_eight]
            for row in found:
                session.delete(row)
            return bool(found)

    # Sessions ---------------------------------------------------------------------------------------------------

    def add_session(self, principal: str, age: float) -> str:
        """Begin a session of `age` seconds at most; returns its uuid."""
        now = time.time()
        with Session(self._engine) as session, session.begin():
            owner = session.scalars(select(PrincipalRow).where(PrincipalRow.uuid == principal)).one()
            row = SessionRow(
                uuid=str(uuid.uuid4()),
                time_created=now,
                time_last_refreshed=None,
                refresh_count=0,
                expiration_time=now + age,
                revoked=False,
                principal=owner,
            )
            session.add(row)
            return row.uuid

    def refresh_session(self, uuid: str) -> Account | None:
        """Note a refresh; None for a session that is unknown, revoked or expired."""
        with Session(self._engine) as session, session.begin():
            row = session.scalar(select(SessionRow).where(SessionRow.uuid == uuid))
            if row is None or row.revoked or row.expiration_time <= time.time():
                return None
            row.refresh_count += 1
            row.time_last_refreshed = time.time()
            return _account(row.principal)

    def revoke_session(self, uuid: str, principal: str) -> bool:
        """Revoke a session of a principal; False when it has no such session."""
        with Session(self._engine) as session, session.begin():
            row = session.scalar(select(SessionRow).where(SessionRow.uuid == uuid))
            if row is None or row.principal.uuid != principal:
                return False
            row.revoked = True
            return True

    def purge(self) -> None:
        """Delete sessions and keys that have expired."""
        now = time.time()
        with Session(self._engine) as session, session.begin():
            session.execute(delete(SessionRow).where(SessionRow.expiration_time <= now))
            session.execute(delete(ApiKeyRow).where(ApiKeyRow.expiration_time <= now))

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _principal(session: Session, uuid: str) -> PrincipalRow | None:
    return session.scalar(select(PrincipalRow).where(PrincipalRow.uuid == uuid))


def _account(row: PrincipalRow) -> Account:
    return Account(row.uuid, row.kind, tuple((one.provider, one.name) for one in row.identities))


def _shown(row: PrincipalRow) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "type": row.kind,
        "identities": [
            {"provider": one.provider, "id": one.name, "latest_login": _iso(one.latest_login)} for one in row.identities
        ],
        "api_keys": [_shown_key(key) for key in row.api_keys],
        "sessions": [
            {"uuid": one.uuid, "expiration_time": _iso(one.expiration_time), "revoked": one.revoked}
            for one in row.sessions
        ],
    }


def _shown_key(row: ApiKeyRow) -> dict[str, Any]:
    return {
        "first_eight": row.first_eight,
        "expiration_time": _iso(row.expiration_time),
        "note": row.note,
        "scopes": list(row.scopes),
        "latest_activity": _iso(row.latest_activity),
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
