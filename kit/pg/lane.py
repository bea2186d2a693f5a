"""The lane in Postgres: one SQL function a method (migrations/sql/0001_lane.sql)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kit.effects import Effect, effect_row
from kit.lane import (
    Accepted,
    CompleteStatus,
    Debounce,
    Delivery,
    DeliveryResult,
    Erased,
    Event,
    Fact,
    InboundMessage,
    OpenedTurn,
    OpenStatus,
    Resumed,
    Turn,
)
from kit.pg.pool import Pool


class PgLane:
    """See `kit.lane.Lane`. What a process may call depends on its database role."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def accept(self, event: Event, *, debounce: Debounce, first_owner: str) -> Accepted:
        row = await self._pool.fetchval(
            "select accept_event($1)",
            {
                "tenant_id": event.tenant_id,
                "contact_id": event.contact_id,
                "source": event.source,
                "event_id": event.event_id,
                "kind": event.kind,
                "crm_message_id": event.crm_message_id,
                "conversation_id": event.conversation_id,
                "channel": event.channel,
                "text": event.text,
                "write_time": event.write_time,
                "keyword": event.keyword,
                "keyword_reply": event.keyword_reply,
                "profile": dict(event.profile),
                "dnd": event.dnd,
                "contact_hash": event.contact_hash or None,
                "address_hashes": event.address_hashes,
                "late": event.late,
                "first_owner": first_owner,
                "debounce_seconds": debounce.wait.total_seconds(),
                "debounce_longest_seconds": debounce.longest.total_seconds(),
            },
        )
        return Accepted(
            duplicate=row["status"] == "DUPLICATE", message_id=row.get("message_id", ""), outcome=row.get("outcome", "")
        )

    async def claim(self, *, limit: int, lease: timedelta, messages_most: int, attempts_most: int) -> list[Turn]:
        rows = await self._pool.fetch(
            "select claim_turn($1, $2, $3, $4) as turn", limit, lease, messages_most, attempts_most
        )
        return [Turn(**{**row["turn"], "messages": _messages(row["turn"]["messages"])}) for row in rows]

    async def release(self, turn: Turn, *, cause: str, wait: timedelta, refused: bool = False) -> bool:
        released: bool = await self._pool.fetchval(
            "select release_turn($1, $2, $3, $4, $5, $6, $7)",
            turn.tenant_id,
            turn.contact_id,
            turn.epoch,
            turn.turn_no,
            cause,
            wait,
            refused,
        )
        return released

    async def open_turn(self, bot: str, tenant_id: str, contact_id: str, *, epoch: int, turn_no: int) -> OpenedTurn:
        row = await self._pool.fetchval(
            "select open_turn($1, $2, $3, $4, $5)", bot, tenant_id, contact_id, epoch, turn_no
        )
        return OpenedTurn(
            status=OpenStatus(row["status"]),
            state=row.get("state") or "",
            owner=row.get("owner") or "",
            handoff_id=row.get("handoff_id") or "",
            facts=tuple(fact_of(fact) for fact in row.get("facts") or ()),
            profile=row.get("profile") or {},
            messages=_messages(row.get("messages") or ()),
            handoff=row.get("handoff"),
            last_record=row.get("last_turn"),
            turns_before=row.get("turns_before") or 0,
            denied_targets=frozenset(row.get("denied_targets") or ()),
        )

    async def complete_turn(  # noqa: PLR0913 - all that becomes one commit
        self,
        bot: str,
        tenant_id: str,
        contact_id: str,
        *,
        epoch: int,
        turn_no: int,
        reply: str | None,
        facts: Sequence[Fact],
        record: Mapping[str, Any],
        effects: Sequence[Effect] = (),
    ) -> CompleteStatus:
        status = await self._pool.fetchval(
            "select complete_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            bot,
            tenant_id,
            contact_id,
            epoch,
            turn_no,
            "SILENT" if reply is None else "REPLIED",
            reply,
            [fact_row(fact) for fact in facts],
            dict(record),
            [effect_row(effect) for effect in effects],
        )
        return CompleteStatus(status)

    async def claim_deliveries(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        rows = await self._pool.fetch("select claim_outbox($1, $2) as delivery", limit, lease)
        return [
            Delivery(
                **{
                    **row["delivery"],
                    "known_crm_message_ids": frozenset(row["delivery"]["known_crm_message_ids"]),
                    "create_time": _time(row["delivery"]["create_time"]),
                    "first_attempt_time": _time(row["delivery"]["first_attempt_time"]),
                    "claim_time": _time(row["delivery"]["claim_time"]),
                }
            )
            for row in rows
        ]

    async def finish_delivery(
        self,
        delivery: Delivery,
        result: DeliveryResult,
        *,
        cause: str | None = None,
        crm_message_id: str | None = None,
        wait: timedelta = timedelta(0),
        needs_read_back: bool = False,
    ) -> bool:
        finished: bool = await self._pool.fetchval(
            "select finish_outbox($1, $2, $3, $4, $5, $6, $7)",
            delivery.outbox_id,
            delivery.claim_token,
            result,
            cause,
            crm_message_id,
            wait,
            needs_read_back,
        )
        return finished

    async def pause(self, tenant_id: str, contact_id: str, *, actor: str) -> bool:
        known: bool = await self._pool.fetchval("select pause_contact($1, $2, $3)", tenant_id, contact_id, actor)
        return known

    async def resume(self, tenant_id: str, contact_id: str, *, actor: str) -> Resumed | None:
        row = await self._pool.fetchval("select resume_contact($1, $2, $3)", tenant_id, contact_id, actor)
        return None if row is None else Resumed(silence=row["silence"])

    async def screen(self, tenant_id: str, contact_id: str, hashes: Sequence[str]) -> str | None:
        silence: str | None = await self._pool.fetchval(
            "select screen_contact($1, $2, $3)", tenant_id, contact_id, list(hashes)
        )
        return silence

    async def erase(self, tenant_id: str, contact_id: str, *, contact_hash: str, actor: str) -> Erased:
        row = await self._pool.fetchval(
            "select erase_contact($1, $2, $3, $4)", tenant_id, contact_id, contact_hash, actor
        )
        return _erased(row)

    async def open_erasures(self, *, limit: int) -> list[Erased]:
        rows = await self._pool.fetch("select open_erasures($1) as erasure", limit)
        return [_erased(row["erasure"]) for row in rows]

    async def close_erasure(self, erased: Erased) -> None:
        await self._pool.fetchval("select close_erasure($1)", erased.erasure_id)

    async def timeline(
        self, tenant_id: str, contact_id: str, *, limit: int, before: datetime | None
    ) -> Mapping[str, Any] | None:
        row: Mapping[str, Any] | None = await self._pool.fetchval(
            "select contact_timeline($1, $2, $3, $4)", tenant_id, contact_id, limit, before
        )
        return row

    async def lanes(self, *, limit: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
        time, contact_id = after or (None, None)
        return [
            row["lane"]
            for row in await self._pool.fetch("select list_lanes($1, $2, $3) as lane", limit, time, contact_id)
        ]


def fact_row(fact: Fact) -> dict[str, Any]:
    """Turn a fact into what `put_facts` reads."""
    return {
        "name": fact.name,
        "value": fact.value,
        "words": fact.words,
        "message_id": fact.message_id,
        "extractor": fact.extractor,
        "confidence": fact.confidence,
        "private_to": fact.private_to,
    }


def fact_of(row: Mapping[str, Any]) -> Fact:
    """Read a fact as `current_facts` writes it."""
    return Fact(**{**row, "learn_time": _time(row["learn_time"])})


def _messages(rows: Sequence[Mapping[str, Any]]) -> tuple[InboundMessage, ...]:
    return tuple(
        InboundMessage(
            message_id=row["message_id"],
            text=row["text"],
            channel=row["channel"] or "",
            write_time=_time(row["write_time"]),
        )
        for row in rows
    )


def _erased(row: Mapping[str, Any]) -> Erased:
    return Erased(
        erasure_id=row["erasure_id"],
        tenant_id=row["tenant_id"],
        contact_id=row["contact_id"],
        rows=row["rows"],
        opt_out_kept=row["opt_out_kept"],
        erase_time=_time(row["erase_time"]),
    )


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)
