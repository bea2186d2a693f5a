"""The lead bot's score: reading a contact's facts outside a turn."""

from alembic import op

from migrations.run import apply_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0005_lead")
