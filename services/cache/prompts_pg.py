"""The prompts in Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from kit.pg.pool import Pool
from kit.prompt_file import PromptFile
from services.cache.prompt_archive import LabelChange, PromptState, Put, Version
from services.cache.prompts import Prompt, make_prompt


class PgPromptStore:
    """Reads and writes through the functions of `migrations/sql/0002_cache.sql` and `..._prompts.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at."""
        rows = await self._pool.fetch("select read_prompts()")
        return [(row[0]["label"], make_prompt(row[0]["version"], row[0]["body"])) for row in rows]

    async def states(self, *, after: str, most: int) -> Sequence[PromptState]:
        """Return prompts by name, those after a name."""
        return [_state(row[0]) for row in await self._pool.fetch("select list_prompts($1, $2)", after, most)]

    async def state(self, name: str) -> PromptState | None:
        """Return a prompt; None when there is none."""
        found = await self._pool.fetchval("select find_prompt($1)", name)
        return None if found is None else _state(found)

    async def before(self, name: str, label: str) -> int:
        """Return the version that a label pointed at before its last move; 0 when it never pointed elsewhere."""
        return int(await self._pool.fetchval("select label_before($1, $2)", name, label))

    async def versions(self, name: str, *, below: int, most: int) -> Sequence[Version]:
        """Return versions below a number, newest first."""
        rows = await self._pool.fetch("select prompt_versions($1, $2, $3)", name, below, most)
        return [Version(**row[0]) for row in rows]

    async def create(self, file: PromptFile, *, etag: str, author: str, reason: str) -> Put:
        """Store a version, unless the prompt changed."""
        wanted = {"name": file.name, "digest": file.digest, "body": file.body}
        wanted |= {"etag": etag, "author": author, "reason": reason}
        return Put(**await self._pool.fetchval("select create_prompt($1)", wanted))

    async def set_label(self, name: str, label: str, version: int, *, etag: str, author: str, reason: str) -> Put:
        """Point a label at a version, unless the prompt changed."""
        wanted = {"name": name, "label": label, "version": version, "etag": etag, "author": author, "reason": reason}
        found = await self._pool.fetchval("select set_prompt_label($1)", wanted)
        return Put(**found) if found else Put(missing=True)


_CHANGE = tuple(field.name for field in fields(LabelChange))


def _state(row: Mapping[str, Any]) -> PromptState:
    changes = [LabelChange(**{name: each[name] for name in _CHANGE}) for each in row.get("changes", ())]
    return PromptState(**{**row, "changes": changes})
