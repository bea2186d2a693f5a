"""Closed sales, and the sources that they come from."""

from alembic import op

from migrations.run import apply_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0003_sales")
