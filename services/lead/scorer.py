"""Keeps the score in the CRM's custom fields up with what is known, whichever bot learned it."""

import asyncio
import contextlib
from functools import partial
from typing import Final

from kit.effects import FieldValue
from kit.errors import StoreUnavailable
from kit.log import describe, get_logger
from kit.rest import rest
from services.lead.contacts_pg import Due, PgContacts
from services.lead.qualification import qualify
from services.lead.writeback import fields

SWEEP_SECONDS: Final = 1.0
_AT_ONCE: Final = 50

log = get_logger()


class Scorer:
    """A worker of the process. Any number may run: a score that is not the newest any more is not put out."""

    def __init__(self, contacts: PgContacts) -> None:
        self._contacts = contacts

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Score until `stopping`."""
        while not stopping.is_set():
            with contextlib.suppress(StoreUnavailable):
                for due in await self._contacts.due_scores(_AT_ONCE):
                    await self._score(due)
            await rest(stopping, SWEEP_SECONDS)

    async def _score(self, due: Due) -> None:
        # Where a score fails nothing is put out, and the contact is not due again until something new is known: were
        # they due for ever, fifty of them would leave nobody else a turn.
        for values in (partial(_values, due), dict[str, FieldValue]):
            try:
                await self._contacts.put_score(due, values())
                return
            except StoreUnavailable:
                raise
            # Protects the other contacts' scores from one that meets a mistake of ours.
            except Exception as error:  # noqa: BLE001
                log.error("score.failed", tenant_id=due.tenant_id, contact_id=due.contact_id, **describe(error))


def _values(due: Due) -> dict[str, FieldValue]:
    known = due.known
    scored = qualify(known.facts, messages_count=known.messages_count, opted_out=known.opted_out)
    return fields(scored, known.facts)
