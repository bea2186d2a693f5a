"""Contacts that no bot may write to for now, and scores that are written back."""

from alembic import op

from migrations.run import apply_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0011_pause")
