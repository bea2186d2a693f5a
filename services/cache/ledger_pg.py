"""The ledger in Postgres."""

from dataclasses import asdict

from kit.pg.pool import Pool
from services.cache.ledger import CallRow


class PgLedger:
    """Keeps rows through the functions of `migrations/sql/0002_cache.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, row: CallRow) -> None:
        """Keep a row; the same `call_id` again changes nothing."""
        await self._pool.execute("select record_completion($1)", asdict(row))

    async def spent_today_microusd(self) -> int:
        """Return what all processes spent since midnight UTC, by the database's clock."""
        return int(await self._pool.fetchval("select spent_today_microusd()"))
