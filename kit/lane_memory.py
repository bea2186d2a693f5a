"""The lane in memory: the twin of migrations/sql/0001_lane.sql, for tests and try-outs.

One contract suite runs against both (tests/contract/test_lane.py). Handoffs are the
arbiter's; the twin knows none.
"""

import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from kit.clock import Clock
from kit.effects import Effect, effect_row
from kit.lane import (
    EFFECTS,
    Accepted,
    CompleteStatus,
    Debounce,
    Delivery,
    DeliveryResult,
    Erased,
    Event,
    EventKind,
    Fact,
    Keyword,
    OpenedTurn,
    OpenStatus,
    Resumed,
    Turn,
)
from kit.lane_memory_rows import (
    FINISHED,
    LEFT_ALONE_TASK,
    MESSAGES,
    MISSED,
    ContactRow,
    InboxRow,
    TextRow,
    TurnRow,
    change_owner,
    delivery_of,
    failed_twice,
    forbidden,
    heads_of,
    heard,
    is_ours,
    keep_back,
    lane_rows,
    leased,
    lost_reply_task,
    messages,
    missed_cause,
    missed_task,
    row_counts,
    settle,
    silence_of,
    story,
    suppress,
    twin_of,
    wants_no_texts,
)


class MemoryLane:
    """See `kit.lane.Lane`.

    Args:
        clock: Stands in for the database's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contacts: dict[tuple[str, str], ContactRow] = {}
        self._seen: set[tuple[str, ...]] = set()
        self._inbox_ids = itertools.count(1)
        self._outbox_ids = itertools.count(1)
        self._suppressed: dict[tuple[str, str], datetime] = {}
        self._erasures: dict[str, Erased] = {}
        self._erase_times: dict[tuple[str, str], datetime] = {}
        """By tenant and hash of the contact."""
        self._erased_turns: dict[tuple[str, str], int] = {}
        """Turn numbers of erased contacts: what begins anew counts on, see begin_above_erased."""
        self.stale: list[tuple[str, str, str]] = []
        """Refused writes: contact, bot, step. What the table `audit` holds."""

    async def accept(self, event: Event, *, debounce: Debounce, first_owner: str) -> Accepted:
        """See `Lane.accept`."""
        now = self._clock()
        keys: list[tuple[str, ...]] = [(event.tenant_id, event.source, "event", event.event_id)]
        if event.crm_message_id is not None:
            keys.append((event.tenant_id, "message", event.crm_message_id))
        if self._seen.intersection(keys):
            return Accepted(duplicate=True)
        self._seen.update(keys)
        if event.contact_id is not None and event.kind in MESSAGES and self._is_another(event, now):
            return Accepted(duplicate=True)
        row = InboxRow(
            inbox_id=next(self._inbox_ids),
            event=event,
            kind=event.kind,
            text=event.text,
            write_time=event.write_time or now,
            receive_time=now,
        )
        if event.contact_id is not None:
            key = (event.tenant_id, event.contact_id)
            begun = ContactRow(tenant_id=key[0], contact_id=key[1], owner=first_owner, kept_opt_outs=self._suppressed)
            begun.turn_no = self._erased_turns.get(key, 0)
            c = self._contacts.setdefault(key, begun)
            c.inbox.append(row)
            self._know(c, {event.contact_hash, *event.address_hashes} - {""})
            self._learn(c, event)
            self._apply(c, row, event)
            if row.outcome == "WAITING" and (c.lease_expire_time is None or c.lease_expire_time < now):
                first = min(waiting.receive_time for waiting in c.waiting())
                self._wake(c, min(now + debounce.wait, first + debounce.longest))
        return Accepted(duplicate=False, message_id=row.message_id, outcome=row.outcome)

    def _is_another(self, event: Event, now: datetime) -> bool:
        """Say whether a message is one that came the other way, or of a contact that was erased since."""
        erased = self._erase_times.get((event.tenant_id, event.contact_hash))
        if event.late is not None and erased is not None and erased + timedelta(minutes=5) >= (event.write_time or now):
            if event.keyword is Keyword.STOP:
                self._suppressed.setdefault((event.tenant_id, event.contact_hash), now)
            return True
        c = self._contacts.get((event.tenant_id, event.contact_id or ""))
        unnamed = event.late is not None or event.crm_message_id is None
        twin = twin_of(c, event, now) if c is not None and unnamed else None
        if twin is not None:
            twin.take_name(event)
        return twin is not None

    def _learn(self, c: ContactRow, event: Event) -> None:
        c.profile |= event.profile
        c.dnd = c.dnd if event.dnd is None else event.dnd
        c.conversation_id = event.conversation_id or c.conversation_id
        if event.kind is EventKind.MESSAGE_IN:
            c.channel = event.channel or c.channel

    def _apply(self, c: ContactRow, row: InboxRow, event: Event) -> None:
        if event.kind is EventKind.HUMAN_MESSAGE and is_ours(c, event):
            row.kind = EventKind.MESSAGE_OUT
        match row.kind:
            case EventKind.MESSAGE_IN:
                row.outcome, row.cause = self._read_missed(c, event)
            case EventKind.HUMAN_MESSAGE if c.owner != "human":
                change_owner(c, "human")
                suppress(c, "HUMAN_TAKEOVER")
                settle(c, "ESCALATED_HUMAN", "HUMAN_TAKEOVER")
            case EventKind.CONTACT_DELETE:
                self._suppressed.setdefault((c.tenant_id, event.contact_hash), self._clock())
                self._erase(c.tenant_id, c.contact_id, event.contact_hash)
        if row.kind in (EventKind.DND, EventKind.CONTACT_UPSERT) and c.dnd:
            suppress(c, "DO_NOT_DISTURB")
            settle(c, "SUPPRESSED", "DO_NOT_DISTURB")

    def _read_missed(self, c: ContactRow, event: Event) -> tuple[str, str | None]:
        now = self._clock()
        cause = missed_cause(c, event, now)
        event = heard(event, cause)
        if cause == "LATE" and event.keyword is Keyword.STOP:
            # Without a confirmation.
            c.opt_out_time = c.opt_out_time or now
        outcome, other_cause = self._read(c, event)
        if cause is None or outcome not in ("WAITING", "ESCALATED_HUMAN"):
            return outcome, other_cause
        if outcome == "WAITING" and not any(
            row.cause in MISSED and row.receive_time > now - timedelta(days=1) for row in c.inbox
        ):
            self._put_text(c, "TASK", json.dumps(missed_task(event)))
        return "ESCALATED_HUMAN", cause

    def _read(self, c: ContactRow, event: Event) -> tuple[str, str | None]:
        if event.keyword is Keyword.STOP:
            suppress(c, "OPTED_OUT")
            settle(c, "SUPPRESSED", "OPTED_OUT")
            if c.opt_out_time is None:
                c.opt_out_time = self._clock()
                self._put_text(c, "OPT_OUT_CONFIRMATION", event.keyword_reply)
            return "SUPPRESSED", "OPT_OUT"
        if event.keyword is Keyword.START and wants_no_texts(c):
            c.opt_out_time, c.opt_in_time = None, self._clock()
            for hashed in c.address_hashes:
                self._suppressed.pop((c.tenant_id, hashed), None)
            c.pause_cause = "OPERATOR" if c.operator_paused else None
            self._put_text(c, "OPT_IN_CONFIRMATION", event.keyword_reply)
            return "REPLIED", "OPT_IN"
        if event.keyword is Keyword.HELP:
            self._put_text(c, "HELP", event.keyword_reply)
            return "REPLIED", "HELP"
        if (silence := silence_of(c)) is not None:
            return "SUPPRESSED", silence
        return ("ESCALATED_HUMAN", None) if c.owner == "human" else ("WAITING", None)

    async def claim(self, *, limit: int, lease: timedelta, messages_most: int, attempts_most: int) -> list[Turn]:
        """See `Lane.claim`."""
        now = self._clock()
        ready = sorted(
            (c for c in self._contacts.values() if c.ready_time is not None and c.ready_time <= now),
            key=lambda c: c.ready_time or now,
        )
        suspected = {c.owner for c in self._contacts.values() if failed_twice(c) and (c in ready or leased(c, now))}
        turns: list[Turn] = []
        for c in ready:
            # Who failed twice is tried while the bot does nothing else: see claim_turn.
            alone = c.owner not in suspected or (
                failed_twice(c) and not any(k.owner == c.owner and leased(k, now) for k in self._contacts.values())
            )
            if len(turns) < limit and c.owner != "human" and alone:
                turn = self._claim(c, lease, messages_most, attempts_most)
                turns += [turn] if turn else []
        return turns

    def _claim(self, c: ContactRow, lease: timedelta, messages_most: int, attempts_most: int) -> Turn | None:
        if any(text.kind not in EFFECTS for text in c.open_texts()):
            c.ready_time = None
            return None
        for turn in c.turns.values():
            turn.state = "EXPIRED" if turn.state == "OPEN" else turn.state
        for row in c.waiting():
            if row.attempts >= attempts_most:
                row.outcome, row.cause = "DEAD_LETTER", row.cause or "TURN_NEVER_ENDED"
        rows = c.waiting()[:messages_most]
        c.ready_time = c.lease_expire_time = self._clock() + lease if rows else None
        if not rows:
            return None
        c.turn_no += 1
        c.turns[c.turn_no] = TurnRow(
            turn_no=c.turn_no,
            epoch=c.epoch,
            bot=c.owner,
            message_ids=tuple(row.message_id for row in rows),
            claim_time=self._clock(),
        )
        return Turn(
            tenant_id=c.tenant_id,
            contact_id=c.contact_id,
            bot=c.owner,
            epoch=c.epoch,
            turn_no=c.turn_no,
            messages=messages(rows),
        )

    async def release(self, turn: Turn, *, cause: str, wait: timedelta, refused: bool = False) -> bool:
        """See `Lane.release`."""
        c = self._contacts.get((turn.tenant_id, turn.contact_id))
        held = None if c is None else c.turns.get(turn.turn_no)
        if c is None or held is None or held.state != "OPEN" or (c.epoch, c.turn_no) != (turn.epoch, turn.turn_no):
            return False
        held.state, held.record = "RELEASED", {"cause": cause}
        for row in c.waiting():
            if row.message_id in held.message_ids:
                row.cause = cause
                row.attempts += refused
        c.lease_expire_time = c.ready_time = None
        self._wake(c, self._clock() + wait)
        return True

    async def open_turn(self, bot: str, tenant_id: str, contact_id: str, *, epoch: int, turn_no: int) -> OpenedTurn:
        """See `Lane.open_turn`."""
        c = self._contacts.get((tenant_id, contact_id))
        if c is None:
            return OpenedTurn(status=OpenStatus.UNKNOWN_CONTACT)
        turn = c.turns.get(turn_no)
        if turn is not None and (turn.bot, turn.epoch) == (bot, epoch) and turn.state in FINISHED:
            return OpenedTurn(status=OpenStatus.FINISHED, state=turn.state)
        if c.owner != bot:
            self.stale.append((contact_id, bot, "open"))
            return OpenedTurn(status=OpenStatus.NOT_THE_OWNER, owner=c.owner)
        if turn is None or turn.state != "OPEN" or (c.epoch, c.turn_no) != (epoch, turn_no):
            self.stale.append((contact_id, bot, "open"))
            return OpenedTurn(status=OpenStatus.STALE)
        rows = [row for row in c.waiting() if row.message_id in turn.message_ids]
        for row in rows:
            row.attempts += 1
        ended = [other for other in c.turns.values() if other.state in ("REPLIED", "SILENT")]
        own = [other.record for other in ended if other.bot == bot]
        return OpenedTurn(
            status=OpenStatus.OPEN,
            facts=tuple(fact for fact in c.facts.values() if fact.private_to in (None, bot)),
            profile=dict(c.profile),
            messages=messages(rows),
            last_record=own[-1] if own else None,
            turns_before=len(ended),
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
        """See `Lane.complete_turn`."""
        c = self._contacts.get((tenant_id, contact_id))
        turn = None if c is None else c.turns.get(turn_no)
        if turn is not None and (turn.bot, turn.epoch) == (bot, epoch) and turn.state in FINISHED:
            return CompleteStatus.FINISHED
        if c is None or turn is None or turn.state != "OPEN" or (c.owner, c.epoch, c.turn_no) != (bot, epoch, turn_no):
            if c is not None:
                self.stale.append((contact_id, bot, "complete"))
            return CompleteStatus.STALE
        for fact in facts:
            c.facts.pop(fact.name, None)
            c.facts[fact.name] = replace(fact, bot=bot, learn_time=self._clock())
        if reply is not None:
            self._put_text(c, "REPLY", reply)
        for effect in effects:
            body = effect_row(effect)
            if body["kind"] == "PAUSE":
                self._pause(c, "ASKED_TO_STOP")
                continue
            if body["kind"] == "FIELDS":
                changed = {key: value for key, value in body["fields"].items() if c.crm_fields.get(key) != value}
                c.crm_fields |= changed
                body["fields"] = changed
            if body.get("fields") != {}:
                self._put_text(c, body.pop("kind"), json.dumps(body))
        turn.state, turn.record = ("SILENT" if reply is None else "REPLIED"), dict(record)
        for row in c.waiting():
            if row.message_id in turn.message_ids:
                row.outcome, row.cause = ("SUPPRESSED", "NOTHING_TO_SAY") if reply is None else ("REPLIED", None)
        c.lease_expire_time = c.ready_time = None
        self._wake(c, self._clock())
        return CompleteStatus.COMPLETED

    async def claim_deliveries(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """See `Lane.claim_deliveries`."""
        now = self._clock()
        heads = [(text, c) for c in self._contacts.values() for text in heads_of(c.open_texts())]
        due = sorted((head for head in heads if head[0].next_attempt_time <= now), key=lambda h: h[0].next_attempt_time)
        found = (self._claim_text(c, text, lease) for text, c in due[:limit])
        return [delivery for delivery in found if delivery is not None]

    def _claim_text(self, c: ContactRow, text: TextRow, lease: timedelta) -> Delivery | None:
        now = self._clock()
        cause = forbidden(c, text)
        text.needs_read_back = text.needs_read_back or text.state == "CLAIMED"
        if cause is not None and not text.needs_read_back:
            keep_back(c, text, cause)
            self._wake_blocked(c)
            return None
        text.state, text.attempts, text.claim_token = "CLAIMED", text.attempts + 1, secrets.token_hex(16)
        text.first_attempt_time = text.first_attempt_time or now
        text.next_attempt_time = now + lease
        unscreened = text.kind == "REPLY" and not c.screened and any(key[0] == c.tenant_id for key in self._suppressed)
        return delivery_of(c, text, now=now, cause=cause, unscreened=unscreened)

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
        """See `Lane.finish_delivery`."""
        c = self._contacts.get((delivery.tenant_id, delivery.contact_id))
        text = None if c is None else next((each for each in c.texts if each.outbox_id == delivery.outbox_id), None)
        if c is None or text is None or text.state != "CLAIMED" or text.claim_token != delivery.claim_token:
            return False
        now = self._clock()
        known = {t.crm_message_id for other in self._contacts.values() for t in other.texts if t is not text}
        text.state = "PENDING" if result is DeliveryResult.RETRY else str(result)
        text.cause, text.claim_token, text.needs_read_back = cause, None, needs_read_back
        text.crm_message_id = None if crm_message_id in known else crm_message_id
        text.next_attempt_time = now + wait
        text.send_time = now if result is DeliveryResult.SENT else None
        if result is DeliveryResult.SUPPRESSED:
            keep_back(c, text, cause or "")
        unset = result in (DeliveryResult.DEAD, DeliveryResult.DRY_RUN, DeliveryResult.SUPPRESSED)
        if text.kind == "FIELDS" and (unset or cause == "FIELDS_MISSING"):
            for key in json.loads(text.body)["fields"]:
                c.crm_fields.pop(key, None)
        elif result in (DeliveryResult.AMBIGUOUS, DeliveryResult.DEAD) and text.kind == "REPLY":
            self._put_text(c, "TASK", json.dumps(lost_reply_task(text)))
        if result is not DeliveryResult.RETRY and text.kind not in EFFECTS:
            self._wake_blocked(c)
        return True

    async def pause(self, tenant_id: str, contact_id: str, *, actor: str) -> bool:
        """See `Lane.pause`."""
        c = self._contacts.get((tenant_id, contact_id))
        if c is not None:
            c.operator_paused = True
            self._pause(c, "OPERATOR")
        return c is not None

    def _pause(self, c: ContactRow, cause: str) -> None:
        if c.pause_cause in (cause, "ASKED_TO_STOP"):
            return
        c.pause_cause = cause
        suppress(c, "PAUSED")
        settle(c, "SUPPRESSED", "PAUSED")
        if cause == "ASKED_TO_STOP":
            self._put_text(c, "TASK", json.dumps(LEFT_ALONE_TASK))

    async def resume(self, tenant_id: str, contact_id: str, *, actor: str) -> Resumed | None:
        """See `Lane.resume`."""
        c = self._contacts.get((tenant_id, contact_id))
        if c is None:
            return None
        c.pause_cause, c.operator_paused = None, False
        return Resumed(silence=silence_of(c))

    def _know(self, c: ContactRow, hashes: set[str]) -> None:
        c.address_hashes |= hashes
        for hashed in c.address_hashes:
            opted_out = self._suppressed.get((c.tenant_id, hashed))
            if opted_out is not None and c.opt_in_time is not None and opted_out <= c.opt_in_time:
                del self._suppressed[c.tenant_id, hashed]
            elif opted_out is not None:
                c.opt_out_time = c.opt_out_time or opted_out

    async def screen(self, tenant_id: str, contact_id: str, hashes: Sequence[str]) -> str | None:
        """See `Lane.screen`."""
        c = self._contacts.get((tenant_id, contact_id))
        if c is None:
            return "CONTACT_ERASED"
        c.screened = True
        self._know(c, set(hashes))
        return silence_of(c)

    async def erase(self, tenant_id: str, contact_id: str, *, contact_hash: str, actor: str) -> Erased:
        """See `Lane.erase`."""
        return self._erase(tenant_id, contact_id, contact_hash)

    def _erase(self, tenant_id: str, contact_id: str, contact_hash: str) -> Erased:
        c = self._contacts.pop((tenant_id, contact_id), None)
        if c is not None:
            self._seen.update((tenant_id, "message", text.crm_message_id) for text in c.texts if text.crm_message_id)
            self._erased_turns[tenant_id, contact_id] = c.turn_no
            if wants_no_texts(c) or c.dnd:
                for hashed in c.address_hashes | {contact_hash}:
                    self._suppressed.setdefault((tenant_id, hashed), c.opt_out_time or self._clock())
        erased = Erased(
            erasure_id=f"x_{len(self._erasures) + 1}",
            tenant_id=tenant_id,
            contact_id=contact_id,
            rows=row_counts(c),
            opt_out_kept=(tenant_id, contact_hash) in self._suppressed,
            erase_time=self._clock(),
        )
        self._erasures[erased.erasure_id] = erased
        self._erase_times[tenant_id, contact_hash] = erased.erase_time
        return erased

    async def open_erasures(self, *, limit: int) -> list[Erased]:
        """See `Lane.open_erasures`."""
        ended = self._clock() - timedelta(seconds=30)
        return [erased for erased in self._erasures.values() if erased.erase_time <= ended][:limit]

    async def close_erasure(self, erased: Erased) -> None:
        """See `Lane.close_erasure`."""
        self._erasures.pop(erased.erasure_id, None)

    async def timeline(
        self, tenant_id: str, contact_id: str, *, limit: int, before: datetime | None
    ) -> Mapping[str, Any] | None:
        """See `Lane.timeline`."""
        c = self._contacts.get((tenant_id, contact_id))
        return None if c is None else story(c, limit=limit, before=before)

    async def lanes(self, *, limit: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
        """See `Lane.lanes`."""
        return lane_rows(self._contacts.values(), after)[:limit]

    def _put_text(self, c: ContactRow, kind: str, body: str) -> None:
        now = self._clock()
        c.texts.append(
            TextRow(
                outbox_id=next(self._outbox_ids),
                epoch=c.epoch,
                turn_no=c.turn_no,
                kind=kind,
                channel=c.channel or "SMS",
                body=body,
                create_time=now,
                next_attempt_time=now,
            )
        )

    def _wake(self, c: ContactRow, at: datetime) -> None:
        if c.waiting():
            c.ready_time = at

    def _wake_blocked(self, c: ContactRow) -> None:
        if c.ready_time is None:
            self._wake(c, self._clock())
