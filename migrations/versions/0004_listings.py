"""Homes for sale, by CRM location and source."""

from alembic import op

from migrations.run import apply_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    apply_sql(op.get_bind(), "0004_listings")
