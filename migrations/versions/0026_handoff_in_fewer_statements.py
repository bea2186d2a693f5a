"""A handoff for less of Postgres' time."""

from alembic import op

from migrations.run import apply_sql

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0026_handoff_in_fewer_statements")
