"""Answers what a home may sell for, and keeps the markets that this takes."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from kit.errors import SalesSourceNotFound
from kit.homes import SAMPLE_TENANTS
from kit.log import get_logger
from services.seller.book import Book, make_book
from services.seller.cma import Estimate, Subject, TooFewSales, estimate
from services.seller.market import Knowledge, Market, make_market
from services.seller.sales import SalesSource, SalesStore

log = get_logger()

MOST_BOOKS: Final = 4
MOST_MARKETS: Final = 32
"""One per source and set of known features; some 4 MB each for 20,000 sales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Valuation:
    """An answer, and the sales that it stands on."""

    result: Estimate | TooFewSales
    source: SalesSource


class Valuations:
    """Estimates from stored sales.

    What is slow (reading a source, making a market) is done once, in a thread, and shared
    by all who ask meanwhile. A source that was loaded anew is read anew.
    """

    def __init__(self, store: SalesStore) -> None:
        self._store = store
        self._kept: dict[str, OrderedDict[Hashable, asyncio.Task[Any]]] = {
            "books": OrderedDict(),
            "markets": OrderedDict(),
        }

    async def value(self, subject: Subject, *, tenant_id: str, source: str = "") -> Valuation:
        """Estimate the price of a home as of its source's date.

        Args:
            subject: The home.
            tenant_id: Who asks: sample sales value homes of the sandbox only.
            source: Name of the sales; empty for those loaded last.

        Raises:
            SalesSourceNotFound: No such sales are loaded.
            StoreUnavailable: Postgres does not answer.
        """
        chosen = await self._choose(source, samples=tenant_id in SAMPLE_TENANTS)
        book = await self._book(chosen)
        knowledge = subject.knowledge.within(book)
        market = await self._market(chosen, book, knowledge)
        return Valuation(result=estimate(market, subject, on=chosen.valuation_date), source=chosen)

    async def prepare(self, knowledge: Knowledge) -> None:
        """Make the market for homes of which this much is known, from the sales loaded last, unless it is there already.

        Raises:
            SalesSourceNotFound: No such sales are loaded.
            StoreUnavailable: Postgres does not answer.
        """
        chosen = await self._choose("", samples=True)
        book = await self._book(chosen)
        await self._market(chosen, book, knowledge.within(book))

    async def _choose(self, name: str, *, samples: bool) -> SalesSource:
        for source in await self._store.sources():
            if name in ("", source.name) and (samples or not source.sample):
                return source
        said = f"no sales of {name} are loaded" if name else "no sales are loaded"
        raise SalesSourceNotFound(said, source=name)

    async def _book(self, source: SalesSource) -> Book:
        async def make() -> Book:
            sales = await self._store.read(source.name)
            return await asyncio.to_thread(make_book, sales)

        book: Book = await self._once("books", (source.name, source.revision), make, most=MOST_BOOKS)
        return book

    async def _market(self, source: SalesSource, book: Book, knowledge: Knowledge) -> Market | None:
        async def make() -> Market | None:
            return await asyncio.to_thread(make_market, book, on=source.valuation_date, knowledge=knowledge)

        key = (source.name, source.revision, source.valuation_date, knowledge)
        market: Market | None = await self._once("markets", key, make, most=MOST_MARKETS)
        return market

    async def _once(self, kind: str, key: Hashable, make: Callable[[], Awaitable[Any]], *, most: int) -> Any:
        """Return what was made for a key, or make it; who asks meanwhile waits for the same one."""
        kept = self._kept[kind]
        task = kept.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = kept[key] = asyncio.ensure_future(make())
        kept.move_to_end(key)
        while len(kept) > most:
            kept.popitem(last=False)
        # Shielded: a caller who gives up does not take the work from the others.
        return await asyncio.shield(task)
