"""What the lane in memory holds, as the tables of migrations/sql/0001_lane.sql do."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from kit.lane import EFFECTS, Delivery, Event, EventKind, Fact, InboundMessage, Keyword

FINISHED: Final = ("REPLIED", "SILENT", "HANDED_OFF")
OPEN_TEXT: Final = ("PENDING", "CLAIMED")


@dataclass(kw_only=True)
class InboxRow:
    """An event."""

    inbox_id: int
    event: Event
    kind: EventKind
    text: str
    write_time: datetime
    receive_time: datetime
    outcome: str = "RECORDED"
    cause: str | None = None
    attempts: int = 0

    @property
    def message_id(self) -> str:
        return f"m_{self.inbox_id}"

    def take_name(self, event: Event) -> None:
        """Be known by the name of the other way that the same message came, too."""
        if event.late is None:
            self.event = replace(self.event, source=event.source, event_id=event.event_id)
        else:
            self.event = replace(self.event, crm_message_id=event.crm_message_id)


@dataclass(kw_only=True)
class TurnRow:
    """A claim."""

    turn_no: int
    epoch: int
    bot: str
    message_ids: tuple[str, ...]
    claim_time: datetime
    state: str = "OPEN"
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class TextRow:
    """A text that goes out, or an effect."""

    outbox_id: int
    epoch: int
    turn_no: int
    kind: str
    channel: str
    body: str
    create_time: datetime
    next_attempt_time: datetime
    state: str = "PENDING"
    cause: str | None = None
    attempts: int = 0
    needs_read_back: bool = False
    claim_token: str | None = None
    first_attempt_time: datetime | None = None
    crm_message_id: str | None = None
    send_time: datetime | None = None


@dataclass(kw_only=True)
class ContactRow:
    """A contact with everything that hangs on it."""

    tenant_id: str
    contact_id: str
    owner: str
    epoch: int = 1
    turn_no: int = 0
    ready_time: datetime | None = None
    lease_expire_time: datetime | None = None
    opt_out_time: datetime | None = None
    dnd: bool = False
    pause_cause: str | None = None
    operator_paused: bool = False
    kept_opt_outs: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """The lane's: the table `suppression`."""
    address_hashes: set[str] = field(default_factory=set)
    screened: bool = False
    opt_in_time: datetime | None = None
    conversation_id: str | None = None
    channel: str | None = None
    profile: dict[str, Any] = field(default_factory=dict)
    inbox: list[InboxRow] = field(default_factory=list)
    turns: dict[int, TurnRow] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    texts: list[TextRow] = field(default_factory=list)
    crm_fields: dict[str, Any] = field(default_factory=dict)

    def waiting(self) -> list[InboxRow]:
        rows = [row for row in self.inbox if row.outcome == "WAITING"]
        return sorted(rows, key=lambda row: (row.write_time, row.inbox_id))

    def open_texts(self) -> list[TextRow]:
        return [text for text in self.texts if text.state in OPEN_TEXT]


def is_ours(c: ContactRow, event: Event) -> bool:
    """Say whether a message in a user's name is a text of ours."""
    return any(
        (event.crm_message_id is not None and text.crm_message_id == event.crm_message_id)
        or (text.body == event.text and (text.state == "CLAIMED" or (text.state == "PENDING" and text.needs_read_back)))
        for text in c.texts
    )


MESSAGES: Final = (EventKind.MESSAGE_IN, EventKind.HUMAN_MESSAGE, EventKind.MESSAGE_OUT)
MISSED: Final = ("LATE", "OVERTAKEN")


def twin_of(c: ContactRow, event: Event, now: datetime) -> InboxRow | None:
    """Find the same message as it came the other way, where the webhook did not name it: see twin_of in SQL."""
    written = event.write_time or now
    found = []
    if event.late is None and event.keyword is Keyword.STOP:
        return None
    for row in c.inbox:
        named = row.event.crm_message_id is not None
        if event.late is None:
            other_way, after = row.event.source == "ghl-reconcile" and named, written - row.write_time
        else:
            other_way, after = row.event.source != event.source and not named, row.write_time - written
        alike = (row.kind is EventKind.MESSAGE_IN) == (event.kind is EventKind.MESSAGE_IN) and row.kind in MESSAGES
        near = timedelta(minutes=-5) <= after <= timedelta(hours=2)
        if other_way and alike and near and row.text.split() == event.text.split():
            found.append(row)
    return min(found, key=lambda row: abs(row.write_time - written), default=None)


def missed_cause(c: ContactRow, event: Event, now: datetime) -> str | None:
    """Say why no bot may answer what was read from the CRM; None when one may."""
    if event.late:
        return "LATE"
    overtaken = any(
        row.kind is EventKind.MESSAGE_IN and row.write_time > (event.write_time or now)
        for row in c.inbox
        if row.outcome != "WAITING" or leased(c, now)
    )
    return "OVERTAKEN" if overtaken and event.late is not None else None


def heard(event: Event, cause: str | None) -> Event:
    """Return the event as it may be acted upon: of what no bot may answer, a STOP keeps its meaning."""
    return event if cause is None or event.keyword is Keyword.STOP else replace(event, keyword=None)


def missed_task(event: Event) -> dict[str, Any]:
    """Return the task that accept_missed puts out."""
    return {
        "title": "A text of this person was not answered",
        "text": f"A text of {event.write_time:%Y-%m-%d %H:%M} UTC was known to the bots too late for an answer."
        " Please look at the conversation.",
        "due_hours": 4,
    }


def opted_out(c: ContactRow) -> bool:
    """Say whether the person opted out, as this contact or as one that was erased."""
    kept = (c.kept_opt_outs.get((c.tenant_id, hashed)) for hashed in c.address_hashes)
    return c.opt_out_time is not None or any(
        time is not None and (c.opt_in_time is None or time > c.opt_in_time) for time in kept
    )


def wants_no_texts(c: ContactRow) -> bool:
    """Say whether the person asked for no texts, with the keyword or in other words."""
    return c.opt_out_time is not None or c.pause_cause == "ASKED_TO_STOP"


def silence_of(c: ContactRow) -> str | None:
    """Say why no bot may write to the contact; None when one may."""
    if opted_out(c):
        return "OPTED_OUT"
    if c.dnd:
        return "DO_NOT_DISTURB"
    return "PAUSED" if c.pause_cause else None


def forbidden(c: ContactRow, text: TextRow) -> str | None:
    """Say why a text may no longer go out; None when it may."""
    if text.kind != "REPLY":
        return None
    if (silence := silence_of(c)) is not None:
        return silence
    if c.owner == "human":
        return "HUMAN_TAKEOVER"
    return "STALE_EPOCH" if c.epoch != text.epoch else None


def delivery_of(c: ContactRow, text: TextRow, *, now: datetime, cause: str | None, unscreened: bool) -> Delivery:
    """Return a claimed row as whoever delivers it gets it."""
    assert text.claim_token is not None and text.first_attempt_time is not None
    return Delivery(
        outbox_id=text.outbox_id,
        claim_token=text.claim_token,
        tenant_id=c.tenant_id,
        contact_id=c.contact_id,
        conversation_id=c.conversation_id,
        kind=text.kind,
        channel=text.channel,
        text=text.body,
        attempts=text.attempts,
        needs_read_back=text.needs_read_back,
        suppress_cause=cause,
        create_time=text.create_time,
        first_attempt_time=text.first_attempt_time,
        claim_time=now,
        known_crm_message_ids=frozenset(t.crm_message_id for t in c.texts if t.crm_message_id is not None),
        reference=f"ref_{text.outbox_id}",
        unscreened=unscreened,
    )


def heads_of(texts: Sequence[TextRow]) -> list[TextRow]:
    """Return which of a contact's open rows may go: the first text, and an effect that nothing is before."""
    first_text = [text for text in texts if text.kind not in EFFECTS][:1]
    return first_text + [text for text in texts[:1] if text.kind in EFFECTS]


def lost_reply_task(text: TextRow) -> dict[str, Any]:
    """Return the task that finish_outbox puts out for a reply that never left."""
    fate = "was not sent" if text.state == "DEAD" else "may or may not have been sent"
    return {
        "title": "A reply may not have reached the person",
        "text": f"A reply of {text.create_time:%Y-%m-%d %H:%M} UTC {fate} ({text.cause or 'no cause known'})."
        " It is not tried again: please look at the conversation.",
        "due_hours": 4,
    }


LEFT_ALONE_TASK: Final = {
    "title": "Seems to want no more texts",
    "text": "The person asked in their own words to be left alone, so the automated assistant is silent from now on."
    " Please read the conversation. If that was a misunderstanding, resume the contact;"
    " otherwise set do-not-disturb. The person can text START.",
    "due_hours": 24,
}
"""The task that put_pause puts out."""


def change_owner(c: ContactRow, owner: str) -> None:
    """Give the contact to somebody else; what its owner had under way is fenced off."""
    c.owner, c.epoch = owner, c.epoch + 1
    c.lease_expire_time = c.ready_time = None
    for turn in c.turns.values():
        turn.state = "EXPIRED" if turn.state == "OPEN" else turn.state


def suppress(c: ContactRow, cause: str) -> None:
    """Keep replies that certainly did not go out from going out."""
    for text in c.texts:
        if text.kind == "REPLY" and text.state == "PENDING" and not text.needs_read_back:
            keep_back(c, text, cause)


def keep_back(c: ContactRow, text: TextRow, cause: str) -> None:
    """Never send a text; what it was about is for whoever has the contact now."""
    text.state, text.cause = "SUPPRESSED", cause
    turn = c.turns.get(text.turn_no)
    if turn is None or turn.state != "REPLIED" or text.kind != "REPLY":
        return
    for row in c.inbox:
        if row.message_id in turn.message_ids and row.outcome == "REPLIED":
            if cause == "HUMAN_TAKEOVER" or (cause == "STALE_EPOCH" and c.owner == "human"):
                row.outcome, row.cause = "ESCALATED_HUMAN", "HUMAN_TAKEOVER"
            elif (
                cause == "STALE_EPOCH"
                and silence_of(c) is None
                and not any(
                    other.kind is EventKind.HUMAN_MESSAGE and other.inbox_id > row.inbox_id for other in c.inbox
                )
            ):
                row.outcome, row.attempts = "WAITING", 0


def settle(c: ContactRow, outcome: str, cause: str) -> None:
    """Give everything that waits its outcome."""
    for row in c.waiting():
        row.outcome, row.cause = outcome, cause
    if c.lease_expire_time is None:
        c.ready_time = None


def messages(rows: Sequence[InboxRow]) -> tuple[InboundMessage, ...]:
    """Return rows as a bot gets them."""
    return tuple(
        InboundMessage(
            message_id=row.message_id, text=row.text, channel=row.event.channel or "", write_time=row.write_time
        )
        for row in rows
    )


def fact_row(fact: Fact) -> dict[str, Any]:
    """Return a fact as the database does."""
    assert fact.learn_time is not None
    return {
        "name": fact.name,
        "value": fact.value,
        "words": fact.words,
        "message_id": fact.message_id,
        "extractor": fact.extractor,
        "confidence": fact.confidence,
        "bot": fact.bot,
        "private_to": fact.private_to,
        "learn_time": fact.learn_time.isoformat(),
    }


def inbox_event(row: InboxRow) -> dict[str, Any]:
    """Return an event for the timeline."""
    body = {
        "message_id": row.message_id,
        "kind": str(row.kind),
        "body": row.text,
        "outcome": row.outcome,
        "cause": row.cause,
        "event_id": row.event.event_id,
    }
    return {"event_time": row.receive_time, "kind": "inbound", "body": body}


def turn_event(turn: TurnRow) -> dict[str, Any]:
    """Return a claim for the timeline."""
    body = {
        "bot": turn.bot,
        "epoch": turn.epoch,
        "turn_no": turn.turn_no,
        "state": turn.state,
        "record": dict(turn.record),
        "message_ids": list(turn.message_ids),
    }
    return {"event_time": turn.claim_time, "kind": "turn", "body": body}


def text_event(text: TextRow) -> dict[str, Any]:
    """Return a text for the timeline."""
    body = {
        "outbox_id": text.outbox_id,
        "kind": text.kind,
        "body": text.body,
        "state": text.state,
        "cause": text.cause,
        "crm_message_id": text.crm_message_id,
        "attempts": text.attempts,
        "send_time": None if text.send_time is None else text.send_time.isoformat(),
    }
    return {"event_time": text.create_time, "kind": "outbound", "body": body}


def row_counts(c: ContactRow | None) -> dict[str, int]:
    """Return how many rows a contact has, by table; the twin keeps no handoffs and no audit."""
    if c is None:
        return {}
    return {"contact": 1, "inbox": len(c.inbox), "turn": len(c.turns), "fact": len(c.facts), "outbox": len(c.texts)}


def failed_twice(c: ContactRow) -> bool:
    """Say whether something that waits was tried twice."""
    return any(row.attempts > 1 for row in c.waiting())


def leased(c: ContactRow, now: datetime) -> bool:
    """Say whether a turn is in progress."""
    return c.lease_expire_time is not None and c.lease_expire_time > now


def story(c: ContactRow, *, limit: int, before: datetime | None) -> dict[str, Any]:
    """Return owner, facts and the newest events."""
    events = [*map(inbox_event, c.inbox), *map(turn_event, c.turns.values()), *map(text_event, c.texts)]
    page = [event for event in events if before is None or event["event_time"] < before]
    page.sort(key=lambda event: str(event["kind"]))
    page.sort(key=lambda event: event["event_time"], reverse=True)
    return {
        "owner": c.owner,
        "epoch": c.epoch,
        "pending_handoff_id": None,
        "opted_out": c.opt_out_time is not None,
        "pause_cause": c.pause_cause,
        "facts": [fact_row(fact) for fact in c.facts.values()],
        "events": [{**event, "event_time": event["event_time"].isoformat()} for event in page[:limit]],
    }


def lane_rows(contacts: Iterable[ContactRow], after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
    """Return the lanes that wait, the longest waiting first."""
    rows = []
    for c in contacts:
        waiting = sorted(c.waiting(), key=lambda row: row.inbox_id)
        texts = c.open_texts()
        times = [row.receive_time for row in waiting] + [text.create_time for text in texts]
        if times and (after is None or (min(times), c.contact_id) > after):
            rows.append((min(times), c.contact_id, lane_row(c, waiting, texts, min(times))))
    return [row for *_, row in sorted(rows, key=lambda found: found[:2])]


def lane_row(c: ContactRow, waiting: list[InboxRow], texts: list[TextRow], since: datetime) -> dict[str, Any]:
    """Return a lane that waits."""
    return {
        "tenant_id": c.tenant_id,
        "contact_id": c.contact_id,
        "owner": c.owner,
        "pending_handoff_id": None,
        "lease_expire_time": None if c.lease_expire_time is None else c.lease_expire_time.isoformat(),
        "waiting_messages": len(waiting),
        "waiting_deliveries": len(texts),
        "attempts": waiting[0].attempts if waiting else 0,
        "wait_time": since.isoformat(),
    }
