"""The cache: prompts as immutable versions, and what every call to Claude cost."""

from alembic import op

from migrations.run import apply_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0002_cache")
