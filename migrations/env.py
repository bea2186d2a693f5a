"""Alembic's entry: one connection, one transaction, one migration at a time."""

from alembic import context
from sqlalchemy import text

# Any fixed number will do: two processes that migrate at once meet here.
MIGRATION_LOCK = 7_046_029_254

connection = context.config.attributes["connection"]
connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
connection.execute(text("create schema if not exists porchlight"))
context.configure(connection=connection, version_table_schema="porchlight")
context.run_migrations()
