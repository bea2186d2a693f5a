"""The truth about invalidations, in Postgres."""

from collections.abc import Iterable

from kit.pg.pool import Pool
from services.cache.generations import News


class PgGenerationStore:
    """Keeps invalidations through the functions of `migrations/sql/0007_analyses.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def invalidate(self, tags: Iterable[str]) -> int:
        """Make what was stored with any of these tags unusable, and return the generation."""
        return int(await self._pool.fetchval("select invalidate_answers($1)", list(tags)))

    async def since(self, generation: int) -> News:
        """Return what was invalidated after a generation."""
        found = await self._pool.fetchval("select read_invalidations($1)", generation)
        return News(generation=found["generation"], tags=found["tags"])
