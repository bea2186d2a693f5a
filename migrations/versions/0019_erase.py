"""A contact can be erased; an opt-out survives as keyed hashes."""

from alembic import op

from migrations.run import apply_sql

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0019_erase")
