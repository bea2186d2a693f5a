"""Erasures, pauses and deliveries leave nothing open."""

from alembic import op

from migrations.run import apply_sql

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0020_mends")
