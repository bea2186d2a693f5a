"""Turns reach the bot that owns the contact, and come back when it cannot answer."""

import asyncio
from collections import deque
from datetime import timedelta

import grpc
import pytest
from porchlight.bot.v1 import bot_service_pb2 as pb
from porchlight.bot.v1.bot_service_pb2_grpc import BotServiceServicer, add_BotServiceServicer_to_server

from kit.errors import InvalidField, NotTheOwner, ServiceUnavailable, StaleTurn
from kit.lane import Lane, Turn
from kit.pg.lane import PgLane
from kit.pg.listen import Doorbell
from kit.pg.pool import open_pool
from kit.rpc.client import call, open_channel
from services.gateway import wire
from services.gateway.dispatch import Dispatcher, Failures, back_off_seconds
from tests.support.gateway import LOC, running, says, shift_clock
from tests.support.look import rows, until

OUTCOMES = "select contact_id, body, outcome, cause from porchlight.inbox order by inbox_id"
TURNS = "select contact_id, turn_no, state, record from porchlight.turn order by claim_time"


class ScriptedBot:
    """Completes turns through the lane, unless the script has something else for it."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.script: deque[BaseException | asyncio.Event] = deque()
        self.seen: list[Turn] = []

    async def __call__(self, turn: Turn) -> str:
        self.seen.append(turn)
        step = self.script.popleft() if self.script else None
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif step is not None:
            raise step
        where = (turn.bot, turn.tenant_id, turn.contact_id)
        await self.lane.open_turn(*where, epoch=turn.epoch, turn_no=turn.turn_no)
        await self.lane.complete_turn(
            *where, epoch=turn.epoch, turn_no=turn.turn_no, reply=None, facts=(), record={"move": "stay_silent"}
        )
        return "SILENT"


@pytest.fixture
async def lane(database):
    pool = await open_pool(database.admin_url, name="test")
    yield PgLane(pool)
    await pool.close()


@pytest.fixture
def bot(lane):
    return ScriptedBot(lane)


@pytest.fixture
async def bell(database):
    async with Doorbell(database.url("gateway"), "porchlight_lane", sweep=0.05) as opened:
        yield opened


def outcomes(database):
    return rows(database.admin_url, OUTCOMES)


async def settled(database) -> bool:
    return all(row["outcome"] != "WAITING" for row in await outcomes(database))


async def test_message_reaches_the_owner_and_gets_its_outcome(lane, bot, bell, database):
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1", "hello")
        await until(lambda: settled(database))
    (turn,) = bot.seen
    assert (turn.bot, turn.contact_id, [message.text for message in turn.messages]) == ("lead", "c_1", ["hello"])


async def test_no_more_turns_than_the_limit_are_in_progress(lane, bot, bell, database):
    gate = asyncio.Event()
    bot.script.extend([gate] * 6)
    for number in range(6):
        await says(lane, f"c_{number}")
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=2)):
        await until(lambda: len(bot.seen) == 2)
        open_turns = [row for row in await rows(database.admin_url, TURNS) if row["state"] == "OPEN"]
        assert len(open_turns) == 2
        gate.set()
        await until(lambda: settled(database))
    assert len(bot.seen) == 6


async def test_slow_contact_does_not_hold_up_the_others(lane, bot, bell, database):
    gate = asyncio.Event()
    bot.script.append(gate)
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_slow")
        await until(lambda: bot.seen)
        await says(lane, "c_quick")
        await until(lambda: _has(database, "c_quick", "SUPPRESSED"))
        assert await _has(database, "c_slow", "WAITING")
        gate.set()
        await until(lambda: settled(database))


async def _has(database, contact_id: str, outcome: str) -> bool:
    return [row["outcome"] for row in await outcomes(database) if row["contact_id"] == contact_id] == [outcome]


async def test_turn_comes_back_when_the_bot_is_gone(lane, bot, bell, database):
    bot.script.append(ServiceUnavailable("lead cannot be used", service="lead"))
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1")
        await until(lambda: settled(database))
    assert [turn.turn_no for turn in bot.seen] == [1, 2]
    (first, _) = await rows(database.admin_url, TURNS)
    assert (first["state"], first["record"]) == ("RELEASED", {"cause": "SERVICE_UNAVAILABLE"})


async def test_mistake_in_a_bot_costs_the_other_turns_nothing(lane, bot, bell, database):
    bot.script.append(RuntimeError("canary"))
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1")
        await says(lane, "c_2")
        await until(lambda: settled(database))
    assert sorted(turn.contact_id for turn in bot.seen) in (["c_1", "c_1", "c_2"], ["c_1", "c_2", "c_2"])


@pytest.mark.parametrize(
    "moved", [NotTheOwner("not lead's", bot="lead", contact_id="c_1", owner_bot="buyer"), StaleTurn("claimed again")]
)
async def test_turn_that_moved_on_is_let_go(lane, bot, bell, database, moved):
    bot.script.append(moved)
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1")
        await until(lambda: bot.seen)
    (turn,) = await rows(database.admin_url, TURNS)
    assert turn["state"] == "OPEN"


async def test_turn_of_a_bot_that_died_is_claimed_again_when_its_lease_ends(lane, bot, bell, database):
    bot.script.append(StaleTurn("what a caller hears is not what happened"))
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1")
        await until(lambda: bot.seen)
        await shift_clock(database.admin_url, timedelta(seconds=26))
        await until(lambda: settled(database))
    assert [turn["state"] for turn in await rows(database.admin_url, TURNS)] == ["EXPIRED", "SILENT"]


async def test_message_that_no_bot_will_read_becomes_a_dead_letter_and_the_lane_moves_on(lane, bot, bell, database):
    bot.script.extend(InvalidField("text is too long", field="text", limit="10000") for _ in range(3))
    async with running(Dispatcher(lane, {"lead": bot}, bell, most=4)):
        await says(lane, "c_1", "poison")
        await until(lambda: len(bot.seen) == 3)
        await until(lambda: settled(database))
        await says(lane, "c_1", "hello?")
        await until(lambda: settled(database))
    assert [(row["outcome"], row["cause"]) for row in await outcomes(database)] == [
        ("DEAD_LETTER", "INVALID_FIELD"),
        ("SUPPRESSED", "NOTHING_TO_SAY"),
    ]


async def test_turn_for_a_bot_nobody_knows_waits(lane, bell, database):
    async with running(Dispatcher(lane, {}, bell, most=4)):
        await says(lane, "c_1")
        await until(lambda: _states(database, "RELEASED"))
    assert await _has(database, "c_1", "WAITING")


async def _states(database, state: str) -> bool:
    return state in {row["state"] for row in await rows(database.admin_url, TURNS)}


async def test_draining_dispatcher_finishes_its_turns_and_claims_no_more(lane, bot, bell, database):
    gate = asyncio.Event()
    bot.script.append(gate)
    stopping = asyncio.Event()
    working = asyncio.create_task(Dispatcher(lane, {"lead": bot}, bell, most=4)(stopping))
    await says(lane, "c_1")
    await until(lambda: bot.seen)
    stopping.set()
    await says(lane, "c_2")
    gate.set()
    await working
    assert await _has(database, "c_1", "SUPPRESSED") and await _has(database, "c_2", "WAITING")


async def test_two_dispatchers_give_no_turn_to_two(lane, bot, bell, database):
    for number in range(30):
        await says(lane, f"c_{number}")
    async with running(*(Dispatcher(lane, {"lead": bot}, bell, most=4) for _ in range(2))):
        await until(lambda: settled(database))
    assert len({(turn.contact_id, turn.turn_no) for turn in bot.seen}) == len(bot.seen) == 30


class Servicer(BotServiceServicer):
    async def HandleTurn(self, request, context):
        self.request = request
        return pb.HandleTurnResponse(outcome=pb.TURN_OUTCOME_REPLIED)


async def test_turn_is_the_same_on_the_wire(lane):
    await says(lane, "c_1", "hello")
    (turn,) = await lane.claim(limit=1, lease=timedelta(seconds=25), messages_most=20, attempts_most=3)
    servicer = Servicer()
    server = grpc.aio.server()
    add_BotServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}", token="t", service="lead") as channel:
        method = channel.unary_unary(
            "/porchlight.bot.v1.BotService/HandleTurn",
            request_serializer=pb.HandleTurnRequest.SerializeToString,
            response_deserializer=pb.HandleTurnResponse.FromString,
        )
        answer = await call(method, wire.handle_turn_request(turn), seconds=5)
    await server.stop(0)
    assert wire.outcome_name(answer) == "REPLIED"
    said = servicer.request
    assert (said.tenant_id, said.contact_id, said.epoch, said.turn_no) == (LOC, "c_1", 1, 1)
    (message,) = said.messages
    assert (message.message_id, message.text, message.channel) == (turn.messages[0].message_id, "hello", "SMS")


@pytest.mark.parametrize(("contacts", "longest"), [(1, 1.0), (50, 1.0), (100, 2.0), (500, 10.0), (9_000, 10.0)])
def test_back_off_grows_to_its_longest_and_stays(contacts: int, longest: float):
    waits = [back_off_seconds(failures, contacts=contacts) for failures in range(1, 50)]
    assert waits == sorted(waits) and (waits[0], waits[-1]) == (0.5, longest)


def test_contacts_that_failed_over_a_minute_ago_make_nobody_wait_longer():
    failures = Failures()
    for number in range(500):
        failures.add((LOC, f"c_{number}"), now=100.0)
    assert failures.add((LOC, "c_500"), now=159.0) == (1, 501)
    assert failures.add((LOC, "c_500"), now=161.0) == (2, 1)
    assert failures.add((LOC, "c_0"), now=162.0) == (1, 2)


def test_contact_that_keeps_failing_counts_on_until_a_turn_does_not_fail():
    failures = Failures()
    for number in range(9):
        assert failures.add((LOC, "c_1"), now=30.0 * number) == (number + 1, 1)
    failures.forget((LOC, "c_1"))
    assert failures.add((LOC, "c_1"), now=300.0) == (1, 1)
