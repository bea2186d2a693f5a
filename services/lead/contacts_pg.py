"""Reads from Postgres what is known of a contact (migrations/sql/0005_lead.sql)."""

from dataclasses import dataclass

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
        return Known(
            facts=tuple(fact_of(each) for each in row["facts"]),
            messages_count=row["messages_count"],
            opted_out=row["opted_out"],
        )
