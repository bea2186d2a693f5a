"""Labels in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kit.pg.pool import Pool
from services.cache.labels import KeptLabel, Label


class PgLabelStore:
    """Keeps labels through the functions of `migrations/sql/0007_analyses.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, label: Label) -> None:
        """Keep a label; the same key of the same source counts up and takes the newest analysis."""
        await self._pool.execute("select record_label($1)", asdict(label))

    async def read(
        self, tenant_id: str, prompt: str, version: int, *, after: int = 0, most: int = 10_000
    ) -> Sequence[KeptLabel]:
        """Return a tenant's labels of a prompt's version that changed after `after`, in the order of their changes."""
        rows = await self._pool.fetch("select read_labels($1, $2, $3, $4, $5)", tenant_id, prompt, version, after, most)
        return [_kept(row[0]) for row in rows]


def _kept(row: Mapping[str, Any]) -> KeptLabel:
    names = ("tenant_id", "prompt", "prompt_version", "schema_hash", "state", "masked", "analysis", "source", "key_id")
    return KeptLabel(
        label=Label(**{name: row[name] for name in names}, wrong=row["wrong_times"] > 0),
        change_no=row["change_no"],
        times=row["times"],
        wrong_times=row["wrong_times"],
        stands_for=row["stands_for"],
    )
