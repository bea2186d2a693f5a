"""The journal in Postgres."""

from collections.abc import Sequence
from typing import Any

import orjson

from kit.pg.pool import Pool
from services.cache.journal import MOST_KEPT, AnswerRow, Judged, Sums, TierSum, as_json


class PgJournal:
    """Keeps answers through the functions of `migrations/sql/0014_journal.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, rows: Sequence[AnswerRow], *, now: float) -> None:
        """Keep answers and count them; those that are known already change nothing."""
        values = [as_json(row, orjson.Fragment) | {"waited_seconds": max(0.0, now - row.given_at)} for row in rows]
        await self._pool.execute("select record_answers($1, $2)", values, MOST_KEPT)

    async def explain(self, tenant_id: str, answer_id: str) -> dict[str, Any] | None:
        """Return an answer's row, with what is known of it beside."""
        found: dict[str, Any] | None = await self._pool.fetchval("select explain_answer($1, $2)", tenant_id, answer_id)
        return found

    async def judge(self, tenant_id: str, answer_id: str, verdict: str, by: str) -> Judged | None:
        """Keep what a person says of an answer."""
        found = await self._pool.fetchval("select judge_answer($1, $2, $3, $4)", tenant_id, answer_id, verdict, by)
        return None if found is None else Judged(**found)

    async def sums(self, tenant_id: str, prompt: str, *, hours: int) -> Sums:
        """Return sums over the last hours and the one that runs."""
        found = await self._pool.fetchval("select read_stats($1, $2, $3)", tenant_id, prompt, hours)
        return Sums(**found | {"tiers": [TierSum(**each) for each in found["tiers"]]})
