"""The prompts in Postgres."""

from collections.abc import Sequence

from kit.pg.pool import Pool
from services.cache.prompts import Prompt, make_prompt


class PgPromptStore:
    """Reads through the function of `migrations/sql/0002_cache.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at."""
        rows = await self._pool.fetch("select read_prompts()")
        return [(row[0]["label"], make_prompt(row[0]["version"], row[0]["body"])) for row in rows]
