"""Records end by age."""

from alembic import op

from migrations.run import apply_sql

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0024_retention")
