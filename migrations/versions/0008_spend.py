"""Money for Claude: a tenant's day, and calls under way."""

from alembic import op

from migrations.run import apply_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0008_spend")
