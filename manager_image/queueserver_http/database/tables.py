"""Tables. Times are seconds since the epoch. Of an API key only its hash and its first eight characters are kept."""

from __future__ import annotations

from sqlalchemy import JSON, ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

REVISION = "0001"
"""The newest of the migrations; a database with it is up to date."""

VERSION_TABLE = "qs_alembic_version"


class Base(DeclarativeBase):
    """All tables of the server; the prefix lets them share a database."""


class PrincipalRow(Base):
    """A person or a program."""

    __tablename__ = "qs_principals"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    time_created: Mapped[float]
    identities: Mapped[list[IdentityRow]] = relationship(back_populates="principal", order_by="IdentityRow.id")
    api_keys: Mapped[list[ApiKeyRow]] = relationship(back_populates="principal", order_by="ApiKeyRow.id")
    sessions: Mapped[list[SessionRow]] = relationship(back_populates="principal", order_by="SessionRow.id")


class IdentityRow(Base):
    """The name by which a provider knows a principal."""

    __tablename__ = "qs_identities"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Hash of provider and name: two logins at the same time make one principal."""
    provider: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(Text)
    latest_login: Mapped[float | None]
    principal_id: Mapped[int] = mapped_column(ForeignKey("qs_principals.id"), index=True)
    principal: Mapped[PrincipalRow] = relationship(back_populates="identities")


class ApiKeyRow(Base):
    """An API key of a principal."""

    __tablename__ = "qs_api_keys"

    id: Mapped[int] = mapped_column(primary_key=True)
    hashed_secret: Mapped[str] = mapped_column(String(64), unique=True)
    first_eight: Mapped[str] = mapped_column(String(8), index=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    note: Mapped[str | None] = mapped_column(Text)
    time_created: Mapped[float]
    expiration_time: Mapped[float | None]
    latest_activity: Mapped[float | None]
    principal_id: Mapped[int] = mapped_column(ForeignKey("qs_principals.id"), index=True)
    principal: Mapped[PrincipalRow] = relationship(back_populates="api_keys")


class SessionRow(Base):
    """What a refresh token stands for."""

    __tablename__ = "qs_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), unique=True)
    time_created: Mapped[float]
    time_last_refreshed: Mapped[float | None]
    refresh_count: Mapped[int]
    expiration_time: Mapped[float] = mapped_column(index=True)
    revoked: Mapped[bool]
    principal_id: Mapped[int] = mapped_column(ForeignKey("qs_principals.id"), index=True)
    principal: Mapped[PrincipalRow] = relationship(back_populates="sessions")
