"""Plays a conversation against the running system, as a person with a phone."""

from collections.abc import Sequence
from typing import Any, Final

from porchlight.contact.v1 import contact_service_pb2 as pb

from bench.conversations.check import ANSWER, ASK, NONE, SILENT, Conversation, Played, PlayedTurn
from kit.lane import EFFECTS
from tests.support.system import TENANT, System, until

SETTINGS: Final = {
    "PORCHLIGHT_USE_MODEL": "false",
    "PORCHLIGHT_DEBOUNCE_SECONDS": "0",
    "PORCHLIGHT_DEBOUNCE_LONGEST_SECONDS": "0",
}
"""Rules only, and no waiting for a second text."""
_MOVES: Final = {"ask": ASK, "answer": ANSWER, "stay_silent": SILENT}


async def play(system: System, conversation: Conversation, *, phone: str) -> Played:
    """Text it to the bots, each text after the last one was dealt with.

    Args:
        system: Running with `SETTINGS`.
        conversation: What the person writes; nothing else of it is looked at.
        phone: The person's number, one for each conversation.
    """
    contact = await system.contact("Ana", phone)
    turns: list[PlayedTurn] = []
    told = moved = seen_turns = 0
    for number, turn in enumerate(conversation.turns, 1):
        await system.text(contact, turn.say)
        timeline = await _settled(system, contact, texts=number)
        rows = _events(timeline, "turn")
        handoffs = [each for each in _events(timeline, "handoff") if each.state in ("ACCEPTED", "COMPLETED")]
        replies = [each.text for each in _texts(timeline)]
        done = [row for row in rows[seen_turns:] if row.move in _MOVES]
        turns.append(
            PlayedTurn(
                does=_MOVES[done[-1].move] if done else NONE,
                asks=await _asked(system, contact) if done else "",
                route=tuple(f"{each.source_bot}>{each.target_bot}" for each in handoffs[moved:]),
                replies=tuple(replies[told:]),
            )
        )
        told, moved, seen_turns = len(replies), len(handoffs), len(rows)
    return Played(
        turns=tuple(turns),
        owner=timeline.owner,
        facts={fact.name: getattr(fact, str(fact.WhichOneof("value"))) for fact in timeline.facts},
        opted_out=timeline.opted_out,
    )


def _texts(timeline: pb.GetTimelineResponse) -> list[Any]:
    """What went out to the person; notes, tasks and fields are the brokerage's."""
    return [each for each in _events(timeline, "outbound") if each.kind not in EFFECTS]


async def _settled(system: System, contact: str, *, texts: int) -> pb.GetTimelineResponse:
    """Wait until every text has its outcome, nobody is being handed over and nothing is left to send."""

    async def settled() -> pb.GetTimelineResponse | None:
        if not await system.sql("select from contact where tenant_id = $1 and contact_id = $2", TENANT, contact):
            return None
        timeline = await system.timeline(contact)
        written = [each for each in _events(timeline, "inbound") if each.kind == "MESSAGE_IN"]
        busy = any(each.outcome == "WAITING" for each in written) or timeline.pending_handoff_id
        leaving = any(each.state in ("PENDING", "CLAIMED") for each in _texts(timeline))
        return timeline if len(written) == texts and not busy and not leaving else None

    found: pb.GetTimelineResponse = await until(f"text {texts} of {contact} is dealt with", settled, seconds=30)
    return found


async def _asked(system: System, contact: str) -> str:
    """Return the slot that the last reply asked for."""
    (row,) = await system.sql(
        "select record->>'question' as asked from turn where tenant_id = $1 and contact_id = $2 and record ? 'question'"
        " order by turn_no desc limit 1",
        TENANT,
        contact,
    )
    return str(row["asked"] or "")


def _events(timeline: pb.GetTimelineResponse, kind: str) -> Sequence[Any]:
    return [getattr(entry, kind) for entry in reversed(timeline.entries) if entry.WhichOneof("event") == kind]
