"""Ends records in Postgres: one SQL function a method (migrations/sql/0024_retention.sql)."""

from collections.abc import Mapping, Sequence

from kit.pg.pool import Pool
from services.gateway.retention import Ended, Place


class PgRecords:
    """See `services.gateway.retention.Records`.

    Args:
        keep_days: How old records may become, 90 or more.
    """

    def __init__(self, pool: Pool, *, keep_days: int) -> None:
        self._pool = pool
        self._days = keep_days

    async def old(self, after: Place, *, limit: int) -> tuple[Sequence[Place], Place | None]:
        found = await self._pool.fetchval("select old_contacts($1, $2, $3, $4)", self._days, *after, limit)
        last = found["last"]
        return [(tenant, contact) for tenant, contact in found["contacts"]], last and (last[0], last[1])

    async def end(self, contact: Place, *, contact_hash: str, limit: int) -> Ended:
        return Ended(
            **await self._pool.fetchval(
                "select end_records($1, $2, $3, $4, $5)", self._days, *contact, contact_hash, limit
            )
        )

    async def end_others(self, *, limit: int) -> Mapping[str, int]:
        counts: Mapping[str, int] = await self._pool.fetchval("select end_other_records($1, $2)", self._days, limit)
        return counts
