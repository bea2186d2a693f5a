"""What the CRM never told us is read from it."""

from alembic import op

from migrations.run import apply_sql

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0023_reconcile")
