"""The student learns from one tenant's labels, and an audit stands for the answers that were not checked."""

from alembic import op

from migrations.run import apply_sql

revision = "0012"
down_revision = "0014"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0012_labels_for_the_student")
