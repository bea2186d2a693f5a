"""A STOP without an id is obeyed, whatever was read from the CRM before it."""

from alembic import op

from migrations.run import apply_sql

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0027_stop_is_heard")
