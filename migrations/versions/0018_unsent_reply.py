"""Messages whose reply never went out wait again."""

from alembic import op

from migrations.run import apply_sql

revision = "0018"
down_revision = "0011"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0018_unsent_reply")
