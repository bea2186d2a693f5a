"""Which answers were given and why, what people said of them, and sums by the hour."""

from alembic import op

from migrations.run import apply_sql

revision = "0014"
down_revision = "0009"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0014_journal")
