"""Between the gateway's values and the messages on the wire."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NoReturn

import orjson
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.ops.v1 import ops_service_pb2 as ops_pb

from kit.errors import InvalidField
from kit.facts_wire import fact_to_proto
from kit.lane import Erased, Fact, Resumed, Turn
from kit.stamps import stamp
from services.gateway.effects import words_of

PAGE_DEFAULT: Final = 50
PAGE_MOST: Final = 200
_TOKEN_MOST: Final = 400


def handle_turn_request(turn: Turn) -> bot_pb.HandleTurnRequest:
    """Say a turn."""
    return bot_pb.HandleTurnRequest(
        tenant_id=turn.tenant_id,
        contact_id=turn.contact_id,
        epoch=turn.epoch,
        turn_no=turn.turn_no,
        messages=[
            bot_pb.Message(
                message_id=message.message_id,
                text=message.text,
                channel=message.channel,
                write_time=stamp(message.write_time),
            )
            for message in turn.messages
        ],
    )


def outcome_name(response: bot_pb.HandleTurnResponse) -> str:
    """Return an outcome without its prefix; one of a newer bot by its number."""
    if response.outcome not in bot_pb.TurnOutcome.values():
        return f"OUTCOME_{response.outcome}"
    return bot_pb.TurnOutcome.Name(response.outcome).removeprefix("TURN_OUTCOME_")


def timeline_response(story: Mapping[str, Any], *, size: int) -> contact_pb.GetTimelineResponse:
    """Say a contact's story. `story` may hold one event more than `size`: then there is a next page."""
    events = story["events"]
    return contact_pb.GetTimelineResponse(
        entries=[_entry(event) for event in events[:size]],
        next_page_token=page_token(events[size - 1]["event_time"]) if len(events) > size else "",
        owner=story["owner"],
        epoch=story["epoch"],
        pending_handoff_id=story["pending_handoff_id"] or "",
        opted_out=story["opted_out"],
        pause_cause=contact_pb.PauseCause.Value(f"PAUSE_CAUSE_{story['pause_cause'] or 'UNSPECIFIED'}"),
        facts=[
            fact_to_proto(Fact(**{**fact, "learn_time": datetime.fromisoformat(fact["learn_time"])}))
            for fact in story["facts"]
        ],
    )


def resume_response(resumed: Resumed) -> contact_pb.ResumeContactResponse:
    """Say what a resumed contact is still silenced by."""
    return contact_pb.ResumeContactResponse(
        silence=contact_pb.Silence.Value(f"SILENCE_{resumed.silence or 'UNSPECIFIED'}")
    )


def delete_response(erased: Erased, *, cache_cleared: bool) -> contact_pb.DeleteContactResponse:
    """Say the receipt of an erasure."""
    return contact_pb.DeleteContactResponse(
        erasure_id=erased.erasure_id,
        erase_time=stamp(erased.erase_time),
        rows=erased.rows,
        opt_out_kept=erased.opt_out_kept,
        cache_cleared=cache_cleared,
    )


def lanes_response(lanes: Sequence[Mapping[str, Any]], *, size: int) -> ops_pb.ListLanesResponse:
    """Say lanes. There may be one more than `size`: then there is a next page."""
    last = lanes[size - 1] if len(lanes) > size else None
    return ops_pb.ListLanesResponse(
        lanes=[_lane(lane) for lane in lanes[:size]],
        next_page_token="" if last is None else page_token(last["wait_time"], last["contact_id"]),
    )


def page_token(*parts: str) -> str:
    """Return an opaque token for where a page ended."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_page_token(token: str, *, parts: int) -> tuple[datetime, list[str]] | None:
    """Return the time and the rest of a token; None for the first page.

    Raises:
        InvalidField: It is no token of this method.
    """
    if not token:
        return None
    if len(token) > _TOKEN_MOST:
        _refuse_token()
    try:
        time, *rest = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        moment = datetime.fromisoformat(time)
    except (binascii.Error, ValueError, TypeError):
        _refuse_token()
    if len(rest) != parts - 1 or not all(isinstance(part, str) for part in rest) or moment.tzinfo is None:
        _refuse_token()
    return moment, rest


def _refuse_token() -> NoReturn:
    limit = "a token from the page before"
    raise InvalidField(f"page_token is not {limit}", field="page_token", limit=limit)


def _entry(event: Mapping[str, Any]) -> contact_pb.TimelineEntry:
    body = event["body"]
    entry = contact_pb.TimelineEntry(event_time=stamp(event["event_time"]))
    match event["kind"]:
        case "inbound":
            entry.inbound.CopyFrom(_inbound(body))
        case "turn":
            entry.turn.CopyFrom(_turn(body))
        case "handoff":
            entry.handoff.CopyFrom(_handoff(body))
        case _:
            entry.outbound.CopyFrom(_outbound(body))
    return entry


def _inbound(body: Mapping[str, Any]) -> contact_pb.InboundEvent:
    return contact_pb.InboundEvent(
        message_id=body["message_id"],
        kind=body["kind"],
        text=body["body"],
        outcome=body["outcome"],
        cause=body["cause"] or "",
        event_id=body["event_id"],
    )


def _turn(body: Mapping[str, Any]) -> contact_pb.TurnEvent:
    record = body["record"] or {}
    return contact_pb.TurnEvent(
        bot=body["bot"],
        epoch=body["epoch"],
        turn_no=body["turn_no"],
        state=body["state"],
        move=str(record.get("move") or ""),
        extractor=str(record.get("extractor") or ""),
        cache_tier=str(record.get("cache_tier") or ""),
        cost_microusd=int(record.get("cost_microusd") or 0),
        fallback_cause=str(record.get("fallback_cause") or ""),
        message_ids=body["message_ids"],
        answer_id=str(record.get("answer_id") or ""),
    )


def _handoff(body: Mapping[str, Any]) -> contact_pb.HandoffEvent:
    return contact_pb.HandoffEvent(
        handoff_id=body["handoff_id"],
        source_bot=body["source_bot"],
        target_bot=body["target_bot"],
        state=body["state"],
        block_reason=body["block_reason"] or "",
        verdicts=[
            contact_pb.RuleVerdict(
                rule=verdict["rule"].lower(),
                **{name: str(verdict.get(name) or "") for name in ("outcome", "observed", "limit", "detail")},
            )
            for verdict in body["verdicts"] or ()
        ],
        override_message_id=body["override_message_id"] or "",
        confidence=body["confidence"],
    )


def _outbound(body: Mapping[str, Any]) -> contact_pb.OutboundEvent:
    event = contact_pb.OutboundEvent(
        outbox_id=str(body["outbox_id"]),
        kind=body["kind"],
        text=words_of(body["kind"], body["body"]),
        state=body["state"],
        cause=body["cause"] or "",
        crm_message_id=body["crm_message_id"] or "",
        attempts=body["attempts"],
    )
    if body["send_time"] is not None:
        event.send_time.CopyFrom(stamp(body["send_time"]))
    return event


def _lane(lane: Mapping[str, Any]) -> ops_pb.Lane:
    message = ops_pb.Lane(
        tenant_id=lane["tenant_id"],
        contact_id=lane["contact_id"],
        owner=lane["owner"],
        waiting_messages=lane["waiting_messages"],
        waiting_deliveries=lane["waiting_deliveries"],
        pending_handoff_id=lane["pending_handoff_id"] or "",
        wait_time=stamp(lane["wait_time"]),
        attempts=lane["attempts"],
    )
    if lane["lease_expire_time"] is not None:
        message.lease_expire_time.CopyFrom(stamp(lane["lease_expire_time"]))
    return message
