"""The protocol of handoffs: people as owners, decisions to replay and to watch, policy versions."""

from alembic import op

from migrations.run import apply_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0006_protocol")
