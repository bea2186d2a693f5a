"""Ends records by age, a few rows at a time: see docs/retention.md."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kit import metrics
from kit.errors import StoreUnavailable
from kit.log import get_logger
from kit.rest import rest
from services.gateway.addresses import Addresses

PAGE_SECONDS: Final = 1.0
"""Between two looks at some contacts: others want the database too."""
ROUND_SECONDS: Final = 3600.0
"""Between two looks at all of them."""
FAILED_SECONDS: Final = 60.0
CONTACTS: Final = 200
ROWS: Final = 500

ENDED: Final = metrics.counter("records_ended", "Rows that ended by age.", ("table",))
FORGOTTEN: Final = metrics.counter("contacts_forgotten", "Contacts that were erased since nothing happened to them.")

log = get_logger()

Place = tuple[str, str]
"""A contact, as tenant and id: lists of contacts go on after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What ended of a contact."""

    rows: Mapping[str, int]
    """How many rows, by table."""
    erased: bool
    """Whether nothing is left of the contact."""
    more: bool
    """Whether there may be more rows to end."""


class Records(Protocol):
    """The records, and how old they may become.

    Raises (all methods):
        StoreUnavailable: The store does not answer. All of them are safe to repeat.
    """

    async def old(self, after: Place, *, limit: int) -> tuple[Sequence[Place], Place | None]:
        """List which of the next contacts have something to end, and where to go on; None at the end."""
        ...

    async def end(self, contact: Place, *, contact_hash: str, limit: int) -> Ended:
        """End a contact's records, oldest first, and the contact where nothing happened to it for as long."""
        ...

    async def end_others(self, *, limit: int) -> Mapping[str, int]:
        """End records of no contact, and say how many rows of each table; `limit` is for each."""
        ...


class Retention:
    """Looks at all contacts every hour, as a worker of the process. Any number of them may run."""

    def __init__(self, records: Records, addresses: Addresses) -> None:
        self._records = records
        self._addresses = addresses

    async def __call__(self, stopping: asyncio.Event) -> None:
        """End records until `stopping`."""
        after: Place | None = ("", "")
        while not stopping.is_set():
            try:
                if after is None:
                    rows = await self._records.end_others(limit=ROWS)
                    _tell(rows, erased=0)
                    done = max(rows.values()) < ROWS
                    after = ("", "") if done else None
                    await rest(stopping, ROUND_SECONDS if done else PAGE_SECONDS)
                else:
                    after = await self._page(after, stopping)
                    await rest(stopping, PAGE_SECONDS)
            except StoreUnavailable as error:
                log.warning("retention.delayed", reason=error.reason)
                await rest(stopping, FAILED_SECONDS)

    async def _page(self, after: Place, stopping: asyncio.Event) -> Place | None:
        old, last = await self._records.old(after, limit=CONTACTS)
        rows: dict[str, int] = {}
        erased = 0
        try:
            for contact in old:
                more = True
                while more and not stopping.is_set():
                    hashed = self._addresses.of_contact(*contact)
                    ended = await self._records.end(contact, contact_hash=hashed, limit=ROWS)
                    rows.update({name: rows.get(name, 0) + count for name, count in ended.rows.items()})
                    erased, more = erased + ended.erased, ended.more
        finally:
            _tell(rows, erased=erased)
        return last


def _tell(rows: Mapping[str, int], *, erased: int) -> None:
    for table, count in rows.items():
        metrics.of(ENDED, table).inc(count)
    FORGOTTEN.inc(erased)
    if erased or any(rows.values()):
        log.info("records.ended", rows=sum(rows.values()), count=erased)
