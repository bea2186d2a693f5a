"""Notes, tasks and custom fields in the CRM, through the outbox."""

from alembic import op

from migrations.run import apply_sql

revision = "0010"
down_revision = "0016"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0010_effects")
