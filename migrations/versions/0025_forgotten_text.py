"""A text that comes after its contact was forgotten is not taken for an erased one."""

from alembic import op

from migrations.run import apply_sql

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0025_forgotten_text")
