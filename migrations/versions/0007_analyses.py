"""What masked texts say, and which stored answers no longer hold."""

from alembic import op

from migrations.run import apply_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0007_analyses")
