"""Handoffs: the offer is claimed with the approval."""

from alembic import op

from migrations.run import apply_sql

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0016_handoff_at_once")
