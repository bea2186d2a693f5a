"""The cache's sums and calls end by age; a label goes back however often others moved since."""

from alembic import op

from migrations.run import apply_sql

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0021_cache_mends")
