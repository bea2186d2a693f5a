"""Money for Claude: spent and held are read in one statement."""

from alembic import op

from migrations.run import apply_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0009_spend_in_one_look")
