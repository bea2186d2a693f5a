"""What a test looks at: whether something has come about, and what is in the database."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import asyncpg


async def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> None:
    """Wait until a condition, plain or async, holds."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(0.01)


async def rows(admin_url: str, sql: str, *arguments: object) -> list[dict[str, Any]]:
    """Run a statement as the database's owner, and return what it finds."""
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        return [dict(row) for row in await connection.fetch(sql, *arguments)]
    finally:
        await connection.close()
