"""Sales in Postgres."""

from collections.abc import Sequence
from typing import Final

from kit.homes import Sale
from kit.pg.pool import Pool
from services.seller.sales import SalesSource

PAGE: Final = 5_000
"""Sales a round trip: a county of any size stays within the pool's two seconds a statement."""


class PgSalesStore:
    """Reads through the functions of `migrations/sql/0003_sales.sql`."""

    def __init__(self, pool: Pool, *, page: int = PAGE) -> None:
        self._pool = pool
        self._page = page

    async def sources(self) -> Sequence[SalesSource]:
        """Return all sources, the one loaded last first."""
        rows = await self._pool.fetch("select * from read_sale_sources()")
        return [
            SalesSource(
                name=row["source"],
                title=row["title"],
                valuation_date=row["valuation_date"],
                revision=row["revision"],
                sales_count=row["sales_count"],
                sample=row["sample"],
            )
            for row in rows
        ]

    async def read(self, source: str) -> Sequence[Sale]:
        """Return all sales of a source, oldest first."""
        sales: list[Sale] = []
        while True:
            after = sales[-1].sale_id if sales else ""
            rows = await self._pool.fetch("select * from read_sales($1, $2, $3)", source, after, self._page)
            sales += [Sale(**row) for row in rows]
            if len(rows) < self._page:
                return sorted(sales, key=lambda sale: (sale.sale_date, sale.sale_id))
