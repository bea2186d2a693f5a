"""The ledger in Postgres: one SQL function, one round trip, one commit per method."""

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from kit.lane import Fact
from kit.pg.pool import Pool
from services.handoff.ledger import (
    Change,
    Changes,
    Cursor,
    Decided,
    Ended,
    Entry,
    Offer,
    Owner,
    PolicyVersion,
    Position,
    Reading,
    Recorded,
    Settled,
)
from services.handoff.values import (
    Handoff,
    Kind,
    Outcome,
    OverrideMessage,
    PastHandoff,
    Rule,
    Snapshot,
    State,
    Verdict,
)

Json: TypeAlias = Mapping[str, Any]


class PostgresLedger:
    """A Ledger over the functions of `migrations/sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read(
        self,
        *,
        tenant_id: str,
        contact_id: str,
        request_id: str,
        target_bot: str,
        override_message_id: str,
    ) -> Reading:
        row = await self._pool.fetchval(
            "select handoff_snapshot($1, $2, $3, $4, $5)",
            tenant_id, contact_id, request_id, target_bot, override_message_id,
        )  # fmt: skip
        policy = row["policy"] or {"version": 0, "body": None}
        return Reading(
            earlier=_handoff(row["earlier"]) if row["earlier"] else None,
            snapshot=_snapshot(row) if row["contact"] else None,
            policy_version=policy["version"],
            policy_body=policy["body"],
        )

    async def record(self, entry: Entry) -> Recorded:
        result = await self._pool.fetchval("select record_handoff($1, $2)", _entry(entry), entry.capsule)
        return Recorded(result)

    async def claim_offers(self, *, limit: int, lease_seconds: float) -> list[Offer]:
        rows = await self._pool.fetch("select claim_offers($1, $2)", limit, timedelta(seconds=lease_seconds))
        return [
            Offer(
                handoff=_handoff(row),
                capsule=base64.b64decode(row["capsule"]),
                attempt=row["offer_attempts"],
            )
            for (row,) in rows
        ]

    async def postpone_offer(self, handoff_id: str, *, seconds: float) -> None:
        await self._pool.execute("select postpone_offer($1, $2)", handoff_id, timedelta(seconds=seconds))

    async def expire_offers(self, *, limit: int) -> list[str]:
        return list(await self._pool.fetchval("select expire_offers($1)", limit))

    async def redeem(self, handoff_id: str, *, epoch: int) -> Settled:
        return _settled(
            await self._pool.fetchval("select redeem_ticket($1, $2)", handoff_id, epoch),
            State.ACCEPTED,
        )

    async def decline(self, handoff_id: str, *, reason: str) -> Settled:
        result = await self._pool.fetchval("select compensate($1, 'DECLINED', $2)", handoff_id, reason)
        return _settled(result, State.DECLINED)

    async def get(self, handoff_id: str) -> Handoff | None:
        row = await self._pool.fetchval("select get_handoff($1)", handoff_id)
        return _handoff(row) if row else None

    async def page(self, tenant_id: str, contact_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        time, handoff_id = before or (None, None)
        rows = await self._pool.fetch(
            "select list_handoffs($1, $2, $3, $4, $5)",
            tenant_id,
            contact_id,
            limit,
            time,
            handoff_id,
        )
        return [_handoff(row) for (row,) in rows]

    async def escalations(self, tenant_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        time, handoff_id = before or (None, None)
        sql = "select list_escalations($1, $2, $3, $4)"
        return [_handoff(row) for (row,) in await self._pool.fetch(sql, tenant_id, limit, time, handoff_id)]

    async def decision(self, handoff_id: str) -> Decided | None:
        row = await self._pool.fetchval("select get_decision($1)", handoff_id)
        if row is None:
            return None
        policy = _policy(row["policy"]) if row["policy"] else None
        return Decided(handoff=_handoff(row["handoff"]), inputs=row["inputs"], policy=policy)

    async def decisions(self, tenant_id: str, *, limit: int) -> list[Decided]:
        rows = await self._pool.fetch("select list_decisions($1, $2)", tenant_id, limit)
        return [Decided(handoff=_handoff(row["handoff"]), inputs=row["inputs"]) for (row,) in rows]

    async def policy(self, version: int | None) -> PolicyVersion | None:
        row = await self._pool.fetchval("select get_policy($1)", version)
        return _policy(row) if row else None

    async def put_policy(
        self, body: Mapping[str, object], *, expected: int, author: str, reason: str
    ) -> PolicyVersion | None:
        row = await self._pool.fetchval("select put_policy($1, $2, $3, $4)", expected, body, author, reason)
        return _policy(row) if row else None

    async def changes(self, tenant_id: str, contact_id: str, *, after: Cursor | None, limit: int) -> Changes:
        xact, event_id = after or (None, None)
        sql = "select handoff_events($1, $2, $3, $4, $5)"
        row = await self._pool.fetchval(sql, tenant_id, contact_id or None, xact, event_id, limit)
        found = [
            Change(
                cursor=(each["xact"], each["event_id"]),
                handoff=_handoff(each["handoff"]),
                state=State(each["state"]),
                event_time=_time(each["event_time"]),
            )
            for each in row["events"]
        ]
        return Changes(head=(row["head"], 0), found=found)

    async def owner(self, tenant_id: str, contact_id: str) -> Owner | None:
        row = await self._pool.fetchval("select get_owner($1, $2)", tenant_id, contact_id)
        if row is None:
            return None
        return Owner(
            name=row["owner"],
            epoch=row["epoch"],
            pending_handoff_id=row["pending_handoff_id"],
        )


def _settled(result: str, wanted: State) -> Settled:
    if result == "DONE":
        return Settled(ended=Ended.DONE, state=wanted)
    if result == "UNKNOWN":
        return Settled(ended=Ended.UNKNOWN, state=None)
    return Settled(ended=Ended.WRONG_STATE, state=State(result))


def _snapshot(row: Json) -> Snapshot:
    contact, override = row["contact"], row["override"]
    return Snapshot(
        now=_time(row["now"]),
        owner=contact["owner"],
        epoch=contact["epoch"],
        version=contact["version"],
        turn_no=contact["turn_no"],
        turn_open=contact["turn_open"],
        pending_handoff_id=contact["pending_handoff_id"],
        opted_out=contact["opted_out"],
        dnd=contact["dnd"],
        history=tuple(
            PastHandoff(
                source_bot=past["source_bot"],
                target_bot=past["target_bot"],
                state=State(past["state"]),
                decide_time=_time(past["decide_time"]),
                message_ids=tuple(past["message_ids"]),
            )
            for past in row["history"]
        ),
        waiting_message_ids=tuple(row["waiting_message_ids"]),
        override=OverrideMessage(
            message_id=override["message_id"],
            text=override["text"],
            receive_time=_time(override["receive_time"]),
            used=override["used"],
        )
        if override
        else None,
        facts=tuple(_fact(fact) for fact in row["facts"]),
    )


def _fact(row: Json) -> Fact:
    return Fact(**{**row, "learn_time": _time(row["learn_time"])})


def _handoff(row: Json) -> Handoff:
    return Handoff(
        handoff_id=row["handoff_id"],
        tenant_id=row["tenant_id"],
        contact_id=row["contact_id"],
        request_id=row["request_id"],
        request_digest=row["request_digest"],
        actor=row["actor"],
        source_bot=row["source_bot"],
        target_bot=row["target_bot"],
        state=State(row["state"]),
        verdicts=tuple(_verdict(verdict) for verdict in row["verdicts"]),
        blocking_rule=Rule(row["blocking_rule"]) if row["blocking_rule"] else None,
        block_reason=row["block_reason"],
        confidence=row["confidence"],
        summary=row["summary"],
        open_question=row["open_question"],
        message_ids=tuple(row["message_ids"]),
        override_message_id=row["override_message_id"],
        policy_version=row["policy_version"],
        epoch=row["epoch"],
        decide_time=_time(row["decide_time"]),
        kind=Kind(row["kind"]),
        reason=row["reason"],
        person=row["person"],
        retry_time=_time_if_any(row["retry_time"]),
        due_time=_time_if_any(row["due_time"]),
        answer_time=_time_if_any(row["answer_time"]),
        overdue=bool(row["overdue"]),
    )


def _policy(row: Json) -> PolicyVersion:
    return PolicyVersion(**{**row, "create_time": _time(row["create_time"])})


def _verdict(row: Json) -> Verdict:
    return Verdict(
        rule=Rule(row["rule"]),
        outcome=Outcome(row["outcome"]),
        observed=row["observed"],
        limit=row["limit"],
        detail=row["detail"],
        shadow=row.get("shadow", False),
    )


def _entry(entry: Entry) -> dict[str, Any]:
    handoff = entry.handoff
    return {
        "tenant_id": handoff.tenant_id,
        "contact_id": handoff.contact_id,
        "expected_version": entry.expected_version,
        "turn_no": entry.turn_no,
        "offer_seconds": entry.offer_seconds,
        "claim_seconds": entry.claim_seconds,
        "facts": [
            {
                "name": fact.name,
                "value": fact.value,
                "words": fact.words,
                "message_id": fact.message_id,
                "extractor": fact.extractor,
                "confidence": fact.confidence,
                "private_to": fact.private_to,
            }
            for fact in entry.facts
        ],
        "record": dict(entry.turn_record),
        "inputs": entry.inputs,
        "handoff": {
            "kind": handoff.kind.value,
            "reason": handoff.reason,
            "person": handoff.person,
            "handoff_id": handoff.handoff_id,
            "request_id": handoff.request_id,
            "request_digest": handoff.request_digest,
            "actor": handoff.actor,
            "source_bot": handoff.source_bot,
            "target_bot": handoff.target_bot,
            "state": handoff.state.value,
            "verdicts": [
                {
                    "rule": verdict.rule.value,
                    "outcome": verdict.outcome.value,
                    "observed": verdict.observed,
                    "limit": verdict.limit,
                    "detail": verdict.detail,
                    "shadow": verdict.shadow,
                }
                for verdict in handoff.verdicts
            ],
            "blocking_rule": handoff.blocking_rule.value if handoff.blocking_rule else None,
            "block_reason": handoff.block_reason,
            "confidence": handoff.confidence,
            "summary": handoff.summary,
            "open_question": handoff.open_question,
            "message_ids": handoff.message_ids,
            "override_message_id": handoff.override_message_id,
            "policy_version": handoff.policy_version,
            "decide_time": handoff.decide_time.isoformat(),
            "retry_time": handoff.retry_time and handoff.retry_time.isoformat(),
            "due_time": handoff.due_time and handoff.due_time.isoformat(),
        },
    }


def _time(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _time_if_any(value: str | None) -> datetime | None:
    return None if value is None else _time(value)
