"""How far the CRM's conversations were read, by location, and whose turn it is to read on: a port and its twin."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """A claim on the round of a location. Its times are the CRM's."""

    tenant_id: str
    claim_no: int
    begin_time: datetime
    """What was written before is not ours to answer."""
    whole_time: datetime
    """Everything that was written before it was read."""
    read_time: datetime
    """How far the pass that is under way got; later than `whole_time` when the last round was cut."""


class Cursors(Protocol):
    """Storage of cursors.

    Raises (both methods):
        StoreUnavailable: The store does not answer; both are safe to repeat.
    """

    async def claim(self, tenant_id: str, *, now: datetime, lease: timedelta) -> Cursor | None:
        """Claim a location's round; None when none is due, or another replica has it.

        A location that was never read begins at `now`.
        """
        ...

    async def move(self, cursor: Cursor, *, wait: timedelta) -> bool:
        """End a round where `cursor` says; the next is due after `wait`. False when the claim was no longer current."""
        ...


class MemoryCursors:
    """The twin.

    Args:
        clock: Stands in for the database's clock, for leases and waits.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._cursors: dict[str, tuple[Cursor, datetime]] = {}

    async def claim(self, tenant_id: str, *, now: datetime, lease: timedelta) -> Cursor | None:
        """See `Cursors.claim`."""
        begun = Cursor(tenant_id=tenant_id, claim_no=0, begin_time=now, whole_time=now, read_time=now)
        cursor, ready_time = self._cursors.setdefault(tenant_id, (begun, self._clock()))
        if ready_time > self._clock():
            return None
        cursor = replace(cursor, claim_no=cursor.claim_no + 1)
        self._cursors[tenant_id] = cursor, self._clock() + lease
        return cursor

    async def move(self, cursor: Cursor, *, wait: timedelta) -> bool:
        """See `Cursors.move`."""
        kept, _ = self._cursors[cursor.tenant_id]
        if kept.claim_no != cursor.claim_no:
            return False
        whole, read = max(kept.whole_time, cursor.whole_time), max(kept.read_time, cursor.read_time)
        self._cursors[cursor.tenant_id] = replace(kept, whole_time=whole, read_time=read), self._clock() + wait
        return True
