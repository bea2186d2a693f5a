"""The lane: contacts, inbox, turns, facts, handoffs, outbox, and the roles that may use them."""

from alembic import op

from migrations.run import apply_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    apply_sql(op.get_bind(), "0000_roles")
    apply_sql(op.get_bind(), "0001_lane")
