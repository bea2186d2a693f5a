"""A contact deleted in the CRM opts nobody out of its addresses."""

from alembic import op

from migrations.run import apply_sql

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0022_own_wish")
