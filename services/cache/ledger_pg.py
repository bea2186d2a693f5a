"""The ledger in Postgres."""

from collections.abc import Sequence
from dataclasses import asdict

from kit.pg.pool import Pool
from services.cache.ledger import CallRow, SpendLine, Spends, Spent


class PgLedger:
    """Keeps rows through the functions of `migrations/sql/0002_cache.sql`, `..._spend.sql` and `..._journal.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def reserve(self, row: CallRow, *, total_microusd: int, tenant_microusd: int) -> Spent:
        """Put a call's cost aside in one step."""
        wanted = {"row": asdict(row), "total_limit": total_microusd, "tenant_limit": tenant_microusd}
        return Spent(**await self._pool.fetchval("select reserve_spend($1)", wanted))

    async def record(self, row: CallRow) -> None:
        """Keep a row; the same `call_id` again changes nothing."""
        await self._pool.execute("select record_completion($1)", asdict(row))

    async def spent_today_microusd(self) -> int:
        """Return what all processes spent since midnight UTC, by the database's clock."""
        return int(await self._pool.fetchval("select spent_today_microusd()"))

    async def spends(self, tenant_id: str, *, days: int, after: Sequence[str] = (), most: int = 200) -> Spends:
        """Return what was spent in the last days, today included."""
        found = await self._pool.fetchval("select read_spend($1, $2, $3, $4)", tenant_id, days, list(after), most)
        lines = [SpendLine(**each) for each in found["spends"]]
        return Spends(total_microusd=found["total_microusd"], spends=lines)
