"""Prompts written by people, and every move of a label."""

from alembic import op

from migrations.run import apply_sql

revision = "0015"
down_revision = "0012"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0015_prompts")
