"""Cursors in Postgres: one SQL function a method (migrations/sql/0023_reconcile.sql)."""

from datetime import datetime, timedelta

from kit.pg.pool import Pool
from services.gateway.cursors import Cursor


class PgCursors:
    """See `services.gateway.cursors.Cursors`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def claim(self, tenant_id: str, *, now: datetime, lease: timedelta) -> Cursor | None:
        """See `Cursors.claim`."""
        row = await self._pool.fetchval("select claim_crm_cursor($1, $2, $3)", tenant_id, now, lease)
        if row is None:
            return None
        times = {name: datetime.fromisoformat(row[name]) for name in ("begin_time", "whole_time", "read_time")}
        return Cursor(tenant_id=tenant_id, claim_no=row["claim_no"], **times)

    async def move(self, cursor: Cursor, *, wait: timedelta) -> bool:
        """See `Cursors.move`."""
        moved: bool = await self._pool.fetchval(
            "select move_crm_cursor($1, $2, $3, $4, $5)",
            cursor.tenant_id,
            cursor.claim_no,
            cursor.whole_time,
            cursor.read_time,
            wait,
        )
        return moved
