"""Brings a database up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

HERE = Path(__file__).parent


def apply_sql(connection: Connection, name: str) -> None:
    """Run one file of `migrations/sql`, which may hold many statements.

    Goes past SQLAlchemy to the driver, inside the same transaction: a prepared
    statement, which SQLAlchemy would make, holds one statement only.
    """
    script = (HERE / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    driver = connection.connection.dbapi_connection
    assert driver is not None
    driver.run_async(lambda raw: raw.execute(f"set local search_path = porchlight;\n{script}"))


async def migrate(admin_url: str) -> None:
    """Apply every migration that the database does not have yet.

    Several processes may call it at once, they take turns; within one process, one call at a time.

    Args:
        admin_url: `postgresql://` URL of a role that may create schemas and roles.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: A migration failed; nothing of it stays.
    """
    engine = create_async_engine(admin_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
