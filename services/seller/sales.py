"""Where closed sales come from: the port, and its twin in memory. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from kit.homes import Sale


@dataclass(frozen=True, kw_only=True, slots=True)
class SalesSource:
    """A set of sales that speaks of one date."""

    name: str
    title: str
    """What people are told, such as "King County public records, sample data"."""
    valuation_date: date
    """The day after its last sale: what estimates from it are as of."""
    revision: str
    """Changes whenever its sales do."""
    sales_count: int
    sample: bool = False
    """Whether it is there to show things with; only `kit.homes.SAMPLE_TENANTS` may hear of it."""


class SalesStore(Protocol):
    """Where sales are kept. Public records: the same for every tenant."""

    async def sources(self) -> Sequence[SalesSource]:
        """Return all sources, the one loaded last first."""
        ...

    async def read(self, source: str) -> Sequence[Sale]:
        """Return all sales of a source, oldest first; none for a source that is not there."""
        ...


class MemorySalesStore:
    """Sales in memory."""

    def __init__(self, sales: Mapping[SalesSource, Sequence[Sale]]) -> None:
        self._sales = dict(sales)

    async def sources(self) -> Sequence[SalesSource]:
        """Return all sources, the one given last first."""
        return tuple(reversed(self._sales))

    async def read(self, source: str) -> Sequence[Sale]:
        """Return all sales of a source, oldest first."""
        found = (sales for known, sales in self._sales.items() if known.name == source)
        return sorted(next(found, ()), key=lambda sale: (sale.sale_date, sale.sale_id))
