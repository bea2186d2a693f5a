"""Reads from Postgres what is known of a contact, and puts scores out (migrations/sql/0005_lead.sql, 0011_pause.sql)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.effects import FieldValue
from kit.errors import ContactNotFound
from kit.lane import Fact
from kit.pg.lane import fact_of
from kit.pg.pool import Pool


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a contact now."""

    facts: tuple[Fact, ...]
    messages_count: int
    opted_out: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A contact whose score is to be said anew, and the state that was looked at."""

    tenant_id: str
    contact_id: str
    version: int
    last_fact_id: int
    known: Known


class PgContacts:
    """The contacts, as the lead bot may see them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def known(self, tenant_id: str, contact_id: str) -> Known:
        """Return what is known of a contact.

        Raises:
            ContactNotFound: Nobody of that id ever wrote.
            StoreUnavailable: Postgres does not answer.
        """
        row = await self._pool.fetchval("select read_facts($1, $2, 'lead')", tenant_id, contact_id)
        if row is None:
            raise ContactNotFound(f"there is no contact {contact_id}", contact_id=contact_id)
        return _known(row)

    async def due_scores(self, limit: int) -> list[Due]:
        """Return contacts whose score in the CRM may not be the newest.

        Raises:
            StoreUnavailable: Postgres does not answer.
        """
        rows = await self._pool.fetch("select due_scores('lead', $1) as due", limit)
        return [Due(**{name: row["due"][name] for name in _DUE}, known=_known(row["due"])) for row in rows]

    async def put_score(self, due: Due, fields: Mapping[str, FieldValue]) -> None:
        """Put a score out, unless something else is known by now: then it stays due.

        Raises:
            StoreUnavailable: Postgres does not answer.
        """
        await self._pool.fetchval(
            "select put_score('lead', $1, $2, $3, $4, $5)",
            due.tenant_id,
            due.contact_id,
            due.version,
            due.last_fact_id,
            dict(fields),
        )


_DUE: Final = ("tenant_id", "contact_id", "version", "last_fact_id")


def _known(row: Mapping[str, Any]) -> Known:
    return Known(
        facts=tuple(fact_of(each) for each in row["facts"]),
        messages_count=row["messages_count"],
        opted_out=row["opted_out"],
    )
