"""A text whose webhook was lost is answered once: the CRM stand-in, the gateway's workers and Postgres together."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from kit.clock import utc_now
from kit.lane import Turn
from kit.lane_memory import MemoryLane
from kit.pg.lane import PgLane
from kit.pg.listen import Doorbell
from kit.pg.pool import open_pool
from services.gateway.build import make_intake, make_reconcilers
from services.gateway.crm_calls import open_client
from services.gateway.crm_ghl import GhlCrm
from services.gateway.crm_history_ghl import GhlHistory
from services.gateway.cursors import MemoryCursors
from services.gateway.cursors_pg import PgCursors
from services.gateway.deliver import Deliverer
from services.gateway.dispatch import Dispatcher
from services.gateway.reconcile import Bounds, Reconciler
from services.gateway.settings import GatewaySettings
from tests.support.gateway import ADDRESSES, LOC, TOKEN, Door, StandIn, running, running_crm, running_door
from tests.support.look import rows, until

BOUNDS = Bounds(
    every=timedelta(0),
    settle=timedelta(0),
    answer_within=timedelta(hours=1),
    reach=timedelta(hours=24),
    calls=60,
)


@dataclass
class World:
    stand_in: StandIn
    door: Door
    lane: PgLane
    reconciler: Reconciler
    now: list[datetime]
    """The gateway's clock, beside which the CRM's times are read."""

    async def round(self) -> None:
        await self.reconciler.round(LOC, asyncio.Event())

    async def texts(self, contact_id: str, words: str) -> None:
        """Let a person text; no webhook comes through."""
        answer = await self.stand_in.client.post(f"/phone/contacts/{contact_id}/messages", json={"text": words})
        assert answer.status_code == 201, answer.text

    async def webhook(self, words: str) -> dict[str, Any]:
        """Return what the CRM would have sent of a text."""
        log = await self.stand_in.log()
        events = [json.loads(webhook["body"]) for webhook in log["webhooks"]]
        return next(event for event in events if event.get("body") == words)

    async def inbox(self, contact_id: str) -> list[str]:
        story = await self.lane.timeline(LOC, contact_id, limit=50, before=None)
        return [each["body"]["outcome"] for each in story["events"] if each["kind"] == "inbound"] if story else []


@pytest.fixture
async def world(database, tmp_path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        stand_in = await stack.enter_async_context(running_crm(tmp_path))
        client = await stack.enter_async_context(open_client(str(stand_in.client.base_url), connections=4))
        pool = await open_pool(database.url("gateway"), name="test")
        stack.push_async_callback(pool.close)
        bot = await open_pool(database.url("lead"), name="test")
        stack.push_async_callback(bot.close)
        lane, bots = PgLane(pool), PgLane(bot)
        door = await stack.enter_async_context(running_door(lane))
        assert door.intake is not None
        crm = GhlCrm(client, token=TOKEN, monotonic=time.monotonic)
        turns, texts = [
            await stack.enter_async_context(Doorbell(database.url("gateway"), channel, sweep=0.05))
            for channel in ("porchlight_lane", "porchlight_outbox")
        ]

        async def answer(turn: Turn) -> str:
            fence: dict[str, Any] = {"epoch": turn.epoch, "turn_no": turn.turn_no}
            await bots.open_turn("lead", turn.tenant_id, turn.contact_id, **fence)
            words = f"answer to: {', '.join(message.text for message in turn.messages)}"
            await bots.complete_turn("lead", turn.tenant_id, turn.contact_id, reply=words, facts=(), record={}, **fence)
            return "REPLIED"

        now = [datetime.now(UTC) - timedelta(seconds=1)]
        reconciler = Reconciler(
            GhlHistory(crm.calls, keep=60.0),
            PgCursors(pool),
            door.intake.accept,
            door.intake.reader,
            tenants={LOC},
            bounds=BOUNDS,
            clock=lambda: now[0],
        )
        workers = (
            Dispatcher(lane, {"lead": answer}, turns, most=4),
            Deliverer(lane, crm, texts, ADDRESSES, live=True, most=4),
        )
        made = World(stand_in=stand_in, door=door, lane=lane, reconciler=reconciler, now=now)
        await made.round()  # where it begins
        async with running(*workers):
            yield made


async def test_text_whose_webhook_was_lost_is_answered_once(world):
    contact = await world.stand_in.contact()
    await world.texts(contact, "is it still for sale?")
    world.now[0] = datetime.now(UTC) + timedelta(seconds=1)
    await world.round()
    await until(world.stand_in.sent)
    await world.round()
    await world.door.post(await world.webhook("is it still for sale?"))
    assert await world.inbox(contact) == ["REPLIED"]
    assert await world.stand_in.sent() == ["answer to: is it still for sale?"]


@pytest.mark.parametrize("named", [True, False], ids=["with its id", "without"])
async def test_webhook_and_reconciliation_that_race_give_one_answer(world, named):
    contacts = [await world.stand_in.contact() for _ in range(8)]
    for number, contact in enumerate(contacts):
        await world.texts(contact, f"text {number}")
    payloads = [await world.webhook(f"text {number}") for number in range(8)]
    for payload in payloads:
        if not named:
            del payload["messageId"]
    world.now[0] = datetime.now(UTC) + timedelta(seconds=1)
    *answers, _ = await asyncio.gather(*(world.door.post(payload) for payload in payloads), world.round())
    assert {answer.status_code for answer in answers} == {200}
    await world.round()

    async def all_answered() -> bool:
        return len(await world.stand_in.sent()) >= 8

    await until(all_answered)
    assert [await world.inbox(contact) for contact in contacts] == [["REPLIED"]] * 8
    assert sorted(await world.stand_in.sent()) == [f"answer to: text {number}" for number in range(8)]


async def test_both_ways_wait_for_each_other_at_the_contact(database):
    """Goal: neither looks for the other before the other is stored. Method: hold the contact until both wait for it."""
    time_written = datetime.now(UTC).isoformat()
    webhook = {"tenant_id": LOC, "contact_id": "c_1", "source": "ghl", "kind": "MESSAGE_IN", "first_owner": "lead"}
    webhook |= {"text": "yes", "write_time": time_written, "debounce_seconds": 0, "debounce_longest_seconds": 0}
    read = webhook | {"source": "ghl-reconcile", "crm_message_id": "crm_1", "late": False}

    async def accept(event: dict[str, Any]) -> str:
        sql = "select porchlight.accept_event($1::text::jsonb)->>'status' as status"
        (answer,) = await rows(database.admin_url, sql, json.dumps(event))
        return str(answer["status"])

    async def both_wait() -> bool:
        sql = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%accept_event%'"
        return len(await rows(database.admin_url, sql)) == 2

    await accept(webhook | {"event_id": "e_1", "text": "hello"})
    holder = await asyncpg.connect(database.admin_url)
    async with holder.transaction():
        await holder.execute("select from porchlight.contact for update")
        ways = [asyncio.create_task(accept(event | {"event_id": "e_2"})) for event in (webhook, read)]
        await until(both_wait)
    await holder.close()
    assert sorted(await asyncio.gather(*ways)) == ["ACCEPTED", "DUPLICATE"]


async def test_text_that_is_found_too_late_is_a_task_in_the_crm_and_no_text(world):
    contact = await world.stand_in.contact()
    await world.texts(contact, "is it still for sale?")
    world.now[0] = datetime.now(UTC) + timedelta(hours=2)
    await world.round()

    async def tasks() -> list[str]:
        return [task["title"] for task in (await world.stand_in.log())["tasks"]]

    await until(tasks)
    await world.door.post(await world.webhook("is it still for sale?"))
    assert await world.inbox(contact) == ["ESCALATED_HUMAN"]
    assert (await tasks(), await world.stand_in.sent()) == (["A text of this person was not answered"], [])


@pytest.mark.parametrize(
    ("changes", "reads"),
    [({}, True), ({"delivery": "dry_run"}, False), ({"reconcile_seconds": 0}, False), ({"token": ""}, False)],
)
async def test_crm_is_read_only_where_texts_really_go_there(tmp_path, changes, reads):
    key = tmp_path / "suppression.key"
    key.write_text("a key of the tests, long enough")
    given = {"delivery": "live", "suppression_key_file": key} | changes
    token = given.pop("token", "t")
    settings = GatewaySettings(**given)
    intake = make_intake(settings, MemoryLane(utc_now), ADDRESSES)
    async with open_client("http://crm", connections=1) as client:
        crm = GhlCrm(client, token=token, monotonic=time.monotonic)
        made = make_reconcilers(settings, intake, crm, MemoryCursors(utc_now), has_token=bool(token))
    assert bool(made) is reads
