"""Principals, identities, API keys and sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "qs_principals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("time_created", sa.Float(53), nullable=False),
    )
    op.create_table(
        "qs_identities",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("provider", sa.String(100), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("latest_login", sa.Float(53)),
        sa.Column("principal_id", sa.Integer, sa.ForeignKey("qs_principals.id"), nullable=False, index=True),
    )
    op.create_table(
        "qs_api_keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("hashed_secret", sa.String(64), nullable=False, unique=True),
        sa.Column("first_eight", sa.String(8), nullable=False, index=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("note", sa.Text),
        sa.Column("time_created", sa.Float(53), nullable=False),
        sa.Column("expiration_time", sa.Float(53)),
        sa.Column("latest_activity", sa.Float(53)),
        sa.Column("principal_id", sa.Integer, sa.ForeignKey("qs_principals.id"), nullable=False, index=True),
    )
    op.create_table(
        "qs_sessions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False, unique=True),
        sa.Column("time_created", sa.Float(53), nullable=False),
        sa.Column("time_last_refreshed", sa.Float(53)),
        sa.Column("refresh_count", sa.Integer, nullable=False),
        sa.Column("expiration_time", sa.Float(53), nullable=False, index=True),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("principal_id", sa.Integer, sa.ForeignKey("qs_principals.id"), nullable=False, index=True),
    )


def downgrade() -> None:
    """Drop the tables, with all accounts."""
    for table in ("qs_sessions", "qs_api_keys", "qs_identities", "qs_principals"):
        op.drop_table(table)
