"""Tables. Times are seconds since the epoch. Of an API key only its hash and its first eight characters are kept."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Integer, MetaData, String, Table, Text

REVISION = "0001"
"""The newest of the migrations; a database with it is up to date."""

VERSION_TABLE = "qs_alembic_version"

METADATA = MetaData()
"""All tables of the server; the prefix lets them share a database."""

PRINCIPALS = Table(
    "qs_principals",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("kind", String(20), nullable=False),
    Column("time_created", Float(53), nullable=False),
)
"""Persons and programs."""


def _owner() -> Column[int]:
    return Column("principal_id", Integer, ForeignKey("qs_principals.id"), nullable=False, index=True)


IDENTITIES = Table(
    "qs_identities",
    METADATA,
    Column("id", Integer, primary_key=True),
    # Hash of provider and name: two logins at the same time make one principal.
    Column("key", String(64), nullable=False, unique=True),
    Column("provider", String(100), nullable=False),
    Column("name", Text, nullable=False),
    Column("latest_login", Float(53)),
    _owner(),
)
"""Names by which providers know principals."""

API_KEYS = Table(
    "qs_api_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("hashed_secret", String(64), nullable=False, unique=True),
    Column("first_eight", String(8), nullable=False, index=True),
    Column("scopes", JSON, nullable=False),
    Column("note", Text),
    Column("time_created", Float(53), nullable=False),
    Column("expiration_time", Float(53)),
    Column("latest_activity", Float(53)),
    _owner(),
)

SESSIONS = Table(
    "qs_sessions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("time_created", Float(53), nullable=False),
    Column("time_last_refreshed", Float(53)),
    Column("refresh_count", Integer, nullable=False),
    Column("expiration_time", Float(53), nullable=False, index=True),
    Column("revoked", Boolean, nullable=False),
    _owner(),
)
"""What refresh tokens stand for."""
