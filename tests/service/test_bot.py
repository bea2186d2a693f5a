"""A bot over a real socket and a real Postgres, beside a scripted arbiter and a scripted cache service."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from porchlight.bot.v1 import bot_service_pb2 as pb
from porchlight.bot.v1 import bot_service_pb2_grpc as pb_grpc
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.cache.v1 import cache_service_pb2_grpc as cache_grpc
from porchlight.handoff.v1 import handoff_service_pb2 as handoff_pb
from porchlight.handoff.v1 import handoff_service_pb2_grpc as handoff_grpc

from kit import errors, tickets, tokens
from kit.bot.runtime import build_bot, no_speciality
from kit.bot.settings import BotSettings
from kit.bot.wording import KEPT_SECONDS
from kit.clock import utc_now
from kit.lane import Debounce, Event, EventKind, Turn
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from kit.rpc import status
from kit.rpc.client import call, open_channel
from kit.rpc.server import SERVING, bind, make_server
from kit.spans import mask
from tests.support.bots import BOTS
from tests.support.stores import Database

TENANT, CONTACT = "loc_1", "c_81"
TOKENS = {name: f"token of {name}" for name in ("gateway", "handoff", "operator", "lead", "buyer", "seller")}
KEY = tickets.new_signing_key("k1")
TURN_SECONDS = 10.0
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))

Answer = Callable[[Any, Any], Awaitable[Any]]


@dataclass
class Scripted(handoff_grpc.HandoffServiceServicer, cache_grpc.CacheServiceServicer):
    """The arbiter and the cache service in one server, doing what a test says."""

    arbiter: Answer
    cache: Answer
    words: Answer
    """Answers the reply prompt."""
    asked: list[Any] = field(default_factory=list)
    prompted: list[Any] = field(default_factory=list)
    worded: list[Any] = field(default_factory=list)
    target: str = ""

    async def RequestHandoff(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return await self.arbiter(request, context)

    async def Analyze(self, request: Any, context: Any) -> Any:
        self.prompted.append(request)
        return await self.cache(request, context)

    async def Complete(self, request: Any, context: Any) -> Any:
        self.worded.append(request)
        return await self.words(request, context)


async def approve(request: Any, context: Any) -> Any:
    return handoff_pb.RequestHandoffResponse(approved=True, handoff=handoff_pb.Handoff(handoff_id="h_1"))


async def deny(request: Any, context: Any) -> Any:
    return handoff_pb.RequestHandoffResponse(approved=False, handoff=handoff_pb.Handoff(handoff_id="h_1"))


def failing(error: errors.PorchlightError) -> Answer:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort_with_status(status.to_status(error))

    return answer


def finding(tier: Any = cache_pb.TIER_UPSTREAM, cost_microusd: int = 77, **slots: Any) -> Answer:
    """Analyse as the cache service does, with these items for slots; their words are masked ones."""

    async def answer(request: Any, context: Any) -> Any:
        masked = mask(request.texts)
        quotes = {item["words"]: masked.quote(item["words"]) for item in slots.values()}
        return cache_pb.AnalyzeResponse(
            analysis=json.dumps({slot.name: None for slot in BOTS["lead"].slots} | slots),
            spans=[
                cache_pb.Span(ref=each.ref, text=each.text, begin=each.start, end=each.end) for each in masked.spans
            ],
            quotes=[
                cache_pb.Quote(masked=words, text=place.text, begin=place.start, end=place.end)
                for words, place in quotes.items()
                if place is not None
            ],
            tier=tier,
            prompt_version="lead.extract@3",
            cost_microusd=cost_microusd,
        )

    return answer


@dataclass(kw_only=True)
class Desk:
    """A running bot, and the hands of the gateway."""

    bot: str
    address: str
    lane: PgLane
    admin: Any = field(repr=False)
    neighbours: Scripted
    stack: AsyncExitStack
    _texts: int = 0

    async def stub(self, caller: str) -> Any:
        return pb_grpc.BotServiceStub(
            await self.stack.enter_async_context(open_channel(self.address, token=TOKENS[caller], service=self.bot))
        )

    async def text(self, *texts: str) -> Turn:
        """Text the contact's lane, and claim the turn."""
        for text in texts:
            self._texts += 1
            event = Event(
                tenant_id=TENANT,
                source="ghl",
                event_id=f"e_{self._texts}",
                kind=EventKind.MESSAGE_IN,
                contact_id=CONTACT,
                channel="SMS",
                text=text,
                profile={"first_name": "Ana"},
            )
            await self.lane.accept(event, debounce=AT_ONCE, first_owner=self.bot)
        await self.admin.execute("update porchlight.outbox set state = 'SENT'")
        (turn,) = await self.lane.claim(limit=1, lease=timedelta(seconds=30), messages_most=20, attempts_most=3)
        return turn

    async def handle(self, turn: Turn, *, epoch: int | None = None, turn_no: int | None = None) -> Any:
        request = pb.HandleTurnRequest(
            tenant_id=turn.tenant_id,
            contact_id=turn.contact_id,
            epoch=epoch or turn.epoch,
            turn_no=turn_no or turn.turn_no,
            messages=[pb.Message(message_id=each.message_id, text=each.text) for each in turn.messages],
        )
        return await call((await self.stub("gateway")).HandleTurn, request, seconds=TURN_SECONDS)

    async def answered(self, *texts: str) -> str:
        """Text, let the bot answer, and return what it stored for delivery."""
        response = await self.handle(await self.text(*texts))
        assert response.outcome == pb.TURN_OUTCOME_REPLIED
        return str(
            (await self.rows("select body from porchlight.outbox where kind = 'REPLY' order by outbox_id"))[-1]["body"]
        )

    async def rows(self, sql: str) -> list[Any]:
        return list(await self.admin.fetch(sql))

    async def record(self) -> dict[str, Any]:
        """The record of the last turn."""
        row = await self.admin.fetchval("select record from porchlight.turn order by turn_no desc limit 1")
        return dict(json.loads(row))

    async def facts(self) -> dict[str, Any]:
        rows = await self.rows("select name, value, extractor from porchlight.fact where supersede_time is null")
        return {row["name"]: (json.loads(row["value"]), row["extractor"]) for row in rows}


async def a_desk(
    database: Database,
    tmp_path: Path,
    stack: AsyncExitStack,
    *,
    bot: str = "lead",
    speciality: Any = no_speciality,
    settings_type: type[BotSettings] = BotSettings,
    **changes: Any,
) -> Desk:
    away = failing(errors.ModelUnavailable("scripted"))
    neighbours = Scripted(arbiter=deny, cache=away, words=away)  # type: ignore[abstract]
    other = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handoff_grpc.add_HandoffServiceServicer_to_server(neighbours, other)
    cache_grpc.add_CacheServiceServicer_to_server(neighbours, other)
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, other)
    target = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    await other.start()
    await checker.set("", health_pb2.HealthCheckResponse.SERVING)
    stack.push_async_callback(other.stop, 0)
    for name in ("callers.json", "token", "keys.json"):
        (tmp_path / name).touch(mode=0o600)
    tokens.write_callers(tmp_path / "callers.json", {name: tokens.digest(token) for name, token in TOKENS.items()})
    (tmp_path / "token").write_text(TOKENS[bot])
    (tmp_path / "keys.json").write_text(tickets.public_json(KEY.public))
    settings = settings_type(
        database_url=database.url(bot),
        callers_file=tmp_path / "callers.json",
        token_file=tmp_path / "token",
        ticket_public_keys_file=tmp_path / "keys.json",
        handoff_target=target,
        cache_target=target,
        **changes,
    )
    served = await build_bot(BOTS[bot], settings, stack, speciality)
    rpc = make_server(bot, settings, served.servicers)
    address = bind(rpc.server, settings)
    for check in served.checks.values():
        await check()
    await rpc.health.set("", SERVING)
    await rpc.server.start()
    stack.push_async_callback(rpc.server.stop, 0)
    pool = await open_pool(database.url("gateway"), name="gateway", size=1)
    stack.push_async_callback(pool.close)
    admin = await asyncpg.connect(database.admin_url)
    stack.push_async_callback(admin.close)
    return Desk(bot=bot, address=address, lane=PgLane(pool), admin=admin, neighbours=neighbours, stack=stack)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def desk(database: Database, tmp_path: Path, stack: AsyncExitStack) -> Desk:
    """The lead bot beside an arbiter that denies everything and a cache service without a model."""
    return await a_desk(database, tmp_path, stack)


async def test_first_text_is_answered_once_with_disclosure_and_question(desk: Desk) -> None:
    reply = await desk.answered("hi")
    assert reply == (
        "Hi Ana! This is the automated assistant of Porchlight Realty (sample). Reply STOP to opt out. "
        "Are you looking to buy a home, sell one, or both?"
    )
    assert [row["outcome"] for row in await desk.rows("select outcome from porchlight.inbox")] == ["REPLIED"]


async def test_finished_turn_is_replayed_and_writes_nothing_again(desk: Desk) -> None:
    turn = await desk.text("hi")
    first = await desk.handle(turn)
    again = await desk.handle(turn)
    assert (first.outcome, first.replayed) == (pb.TURN_OUTCOME_REPLIED, False)
    assert (again.outcome, again.replayed) == (pb.TURN_OUTCOME_REPLIED, True)
    assert len(await desk.rows("select from porchlight.outbox")) == 1
    assert len(desk.neighbours.prompted) == 1


async def test_two_calls_of_one_turn_at_once_store_one_reply(desk: Desk) -> None:
    turn = await desk.text("hi")
    both = await asyncio.gather(desk.handle(turn), desk.handle(turn))
    assert {response.outcome for response in both} == {pb.TURN_OUTCOME_REPLIED}
    assert len(await desk.rows("select from porchlight.outbox")) == 1


async def test_turn_that_was_claimed_again_is_stale(desk: Desk) -> None:
    turn = await desk.text("hi")
    with pytest.raises(errors.StaleTurn):
        await desk.handle(turn, turn_no=turn.turn_no + 1)
    assert await desk.rows("select from porchlight.outbox") == []


async def test_turn_that_grows_stale_while_the_model_thinks_writes_nothing(desk: Desk) -> None:
    turn = await desk.text("hi")

    async def claimed_again(request: Any, context: Any) -> Any:
        await desk.admin.execute("update porchlight.contact set turn_no = turn_no + 1")
        return await finding()(request, context)

    desk.neighbours.cache = claimed_again
    with pytest.raises(errors.StaleTurn):
        await desk.handle(turn)
    assert await desk.rows("select from porchlight.outbox") == []
    assert await desk.facts() == {}


async def test_bot_that_does_not_own_the_contact_says_who_does(desk: Desk) -> None:
    turn = await desk.text("hi")
    await desk.admin.execute("update porchlight.contact set owner = 'seller', epoch = epoch + 1")
    with pytest.raises(errors.NotTheOwner) as refused:
        await desk.handle(turn)
    assert refused.value.metadata["owner_bot"] == "seller"


async def test_unknown_contact_is_not_found(desk: Desk) -> None:
    turn = await desk.text("hi")
    unknown = Turn(tenant_id=TENANT, contact_id="c_82", bot="lead", epoch=1, turn_no=1, messages=turn.messages)
    with pytest.raises(errors.ContactNotFound):
        await desk.handle(unknown)


@pytest.mark.parametrize("change", [{"tenant_id": ""}, {"contact_id": "x" * 65}, {"turn_no": 0}, {"epoch": -1}])
async def test_bad_field_is_named(desk: Desk, change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"tenant_id": TENANT, "contact_id": CONTACT, "epoch": 1, "turn_no": 1} | change
    request = pb.HandleTurnRequest(messages=[pb.Message(message_id="m_1", text="hi")], **fields)
    with pytest.raises(errors.InvalidField) as refused:
        await call((await desk.stub("gateway")).HandleTurn, request, seconds=5)
    assert refused.value.metadata["field"] in change


async def test_approved_handoff_ends_the_turn_without_a_word_of_the_source(desk: Desk) -> None:
    desk.neighbours.arbiter = approve
    turn = await desk.text("hello", "I need to sell my house ASAP")
    response = await desk.handle(turn)
    assert (response.outcome, response.handoff_id) == (pb.TURN_OUTCOME_HANDED_OFF, "h_1")
    assert await desk.rows("select from porchlight.outbox") == []
    (asked,) = desk.neighbours.asked
    proposal = asked.proposal
    assert (proposal.source_bot, proposal.target_bot, proposal.turn_no) == ("lead", "seller", turn.turn_no)
    assert proposal.expected_epoch == turn.epoch
    assert proposal.confidence == 0.97
    facts = {fact.name: fact for fact in proposal.facts}
    assert facts["intent"].text_value == "sell"
    assert facts["intent"].message_id == turn.messages[1].message_id
    assert facts["timeline"].text_value == "under_1_month"


async def test_same_turn_asks_for_the_same_handoff_with_the_same_request_id(desk: Desk) -> None:
    desk.neighbours.arbiter = approve
    turn = await desk.text("I want to sell")
    await desk.handle(turn)
    await desk.handle(turn)
    first, second = desk.neighbours.asked
    assert first == second
    assert 1 <= len(first.request_id) <= 64


@pytest.mark.parametrize(
    "answer",
    [
        deny,
        failing(errors.Contended("scripted")),
        failing(errors.RequestIdReused("scripted")),
        failing(errors.StoreUnavailable("scripted")),
    ],
)
async def test_handoff_that_is_not_approved_is_answered_by_the_source(desk: Desk, answer: Answer) -> None:
    desk.neighbours.arbiter = answer
    reply = await desk.answered("I want to sell my house")
    assert "Understood, it is about selling. Which neighborhood or ZIP code is the home in?" in reply
    assert (await desk.facts())["intent"] == ("sell", "rules")
    assert len(desk.neighbours.asked) == 1


async def test_stale_answer_of_the_arbiter_ends_the_turn_without_a_word(desk: Desk) -> None:
    desk.neighbours.arbiter = failing(errors.StaleTurn("scripted"))
    with pytest.raises(errors.StaleTurn):
        await desk.handle(await desk.text("I want to sell"))
    assert await desk.rows("select from porchlight.outbox") == []


async def test_approval_whose_answer_was_lost_is_found_out_before_the_source_speaks(desk: Desk) -> None:
    async def approved_and_lost(request: Any, context: Any) -> Any:
        await desk.admin.execute("update porchlight.turn set state = 'HANDED_OFF', handoff_id = 'h_7'")
        await failing(errors.ServiceUnavailable("scripted"))(request, context)

    desk.neighbours.arbiter = approved_and_lost
    response = await desk.handle(await desk.text("I want to sell"))
    assert (response.outcome, response.handoff_id) == (pb.TURN_OUTCOME_HANDED_OFF, "h_7")
    assert await desk.rows("select from porchlight.outbox") == []


async def test_model_adds_what_the_rules_cannot_see_and_the_record_says_so(desk: Desk) -> None:
    words = "we have outgrown our place and will let it go"
    item = {"value": "sell", "words": words, "confidence": 0.8}
    desk.neighbours.cache = finding(tier=cache_pb.TIER_L2, cost_microusd=0, intent=item)
    await desk.answered(f"hello, {words}")
    assert (await desk.facts())["intent"] == ("sell", "lead.extract@3")
    kept = await desk.record()
    assert {name: kept[name] for name in ("extractor", "cache_tier", "cost_microusd", "fallback_cause")} == {
        "extractor": "lead.extract@3",
        "cache_tier": "L2",
        "cost_microusd": 0,
        "fallback_cause": "",
    }
    assert (kept["move"], kept["question"]) == ("ask", "address_area")


async def test_student_that_answers_alone_counts_for_no_more_than_it_is_sure(desk: Desk) -> None:
    words = "we have outgrown our place and will let it go"

    async def alone(request: Any, context: Any) -> Any:
        item = {"value": "sell", "words": words, "confidence": 0.9}
        answer = await finding(tier=cache_pb.TIER_STUDENT, cost_microusd=0, intent=item)(request, context)
        answer.fallback, answer.score, answer.answer_id = cache_pb.FALLBACK_STUDENT, 0.55, "a" * 32
        return answer

    desk.neighbours.cache = alone
    await desk.answered(f"hello, {words}")
    # No route takes less than 0.6, so the arbiter says no.
    assert [request.proposal.confidence for request in desk.neighbours.asked] == [0.55]
    assert (await desk.facts())["intent"] == ("sell", "lead.extract@3")
    kept = await desk.record()
    assert (kept["fallback_cause"], kept["cache_tier"], kept["answer_id"]) == ("STUDENT_ALONE", "STUDENT", "a" * 32)


async def test_value_that_the_model_invents_is_not_stored(desk: Desk) -> None:
    desk.neighbours.cache = finding(area={"value": "Ballard", "words": "Ballard", "confidence": 0.9})
    await desk.answered("hello there")
    assert await desk.facts() == {}


async def test_analysis_is_asked_with_the_texts_the_state_and_what_must_be_masked(desk: Desk) -> None:
    await desk.answered("I want to sell")
    await desk.answered("98107", "in spring")
    prompted = desk.neighbours.prompted[-1]
    assert (prompted.tenant_id, prompted.contact_id, prompted.prompt) == (TENANT, CONTACT, "lead.extract")
    assert list(prompted.texts) == ["98107", "in spring"]
    assert prompted.state == cache_pb.DialogueState(asked="address_area", known={"intent": "sell"})
    assert [(each.kind, each.value) for each in prompted.own_values] == [(cache_pb.SPAN_KIND_NAME, "Ana")]


async def test_value_is_read_from_the_persons_own_words_and_never_from_the_models(desk: Desk) -> None:
    item = {"value": "PLACE_1", "words": "fancy PLACE_1", "confidence": 0.8}
    desk.neighbours.cache = finding(area=item)
    await desk.answered("we'd fancy Ballard")
    assert (await desk.facts())["area"] == ("Ballard", "lead.extract@3")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (errors.ModelUnavailable("x"), "MODEL_UNAVAILABLE"),
        (errors.BudgetExhausted("x"), "BUDGET_EXHAUSTED"),
        (errors.PromptNotFound("x"), "PROMPT_NOT_FOUND"),
        (errors.Overloaded("x"), "OVERLOADED"),
    ],
)
async def test_rules_answer_alone_when_the_model_does_not_and_the_record_says_why(
    desk: Desk, error: errors.PorchlightError, cause: str
) -> None:
    desk.neighbours.cache = failing(error)
    await desk.answered("I want to sell my house in Fremont")
    assert (await desk.facts())["address_area"] == ("Fremont", "rules")
    kept = await desk.record()
    assert (kept["extractor"], kept["cache_tier"], kept["fallback_cause"]) == ("rules", "NONE", cause)


async def test_rules_answer_when_neither_arbiter_nor_cache_can_be_reached(
    database: Database, tmp_path: Path, stack: AsyncExitStack
) -> None:
    desk = await a_desk(database, tmp_path, stack)
    nowhere = grpc.StatusCode.UNAVAILABLE

    async def gone(request: Any, context: Any) -> Any:
        await context.abort(nowhere, "")

    desk.neighbours.arbiter = desk.neighbours.cache = gone
    assert "about selling" in await desk.answered("I want to sell my house")
    assert (await desk.record())["fallback_cause"] == "SERVICE_UNAVAILABLE"


async def test_model_is_not_asked_when_it_is_turned_off(
    database: Database, tmp_path: Path, stack: AsyncExitStack
) -> None:
    desk = await a_desk(database, tmp_path, stack, use_model=False)
    await desk.answered("hi")
    assert desk.neighbours.prompted == []
    assert (await desk.record())["fallback_cause"] == "TURNED_OFF"


async def test_bot_remembers_what_it_asked_over_turns(desk: Desk) -> None:
    await desk.answered("hi")
    assert "buying a home or about selling one" in await desk.answered("hello?")
    assert (await desk.record())["asked"] == {"intent": 1}
    await desk.answered("hm")
    assert "No rush" in await desk.answered("hm")


async def test_who_wants_no_texts_gets_none_and_the_message_has_its_outcome(desk: Desk) -> None:
    response = await desk.handle(await desk.text("leave me alone"))
    assert response.outcome == pb.TURN_OUTCOME_SILENT
    assert await desk.rows("select from porchlight.outbox where kind = 'REPLY'") == []
    assert (await desk.record())["move"] == "stay_silent"


async def test_who_wants_no_texts_is_silent_for_good_and_an_agent_is_asked_to_read(desk: Desk) -> None:
    await desk.handle(await desk.text("leave me alone"))
    (contact,) = await desk.rows("select pause_cause from porchlight.contact")
    (task,) = await desk.rows("select kind, body from porchlight.outbox")
    assert (contact["pause_cause"], task["kind"]) == ("ASKED_TO_STOP", "TASK")
    assert "read the conversation" in json.loads(task["body"])["text"]


async def test_what_a_seller_confides_is_private_in_the_store_and_on_the_way_to_the_arbiter(
    database: Database, tmp_path: Path, stack: AsyncExitStack
) -> None:
    desk = await a_desk(database, tmp_path, stack, bot="seller")
    await desk.answered("I want to sell because of a divorce")
    await desk.answered("I must get 600k at least. And I want to look at homes to buy now")
    rows = await desk.rows("select name, private_to from porchlight.fact where private_to is not null order by name")
    assert [tuple(row) for row in rows] == [("motivation", "seller"), ("price_expectation_usd", "seller")]
    (asked,) = desk.neighbours.asked
    private = {fact.name: fact.private_to for fact in asked.proposal.facts}
    assert private["price_expectation_usd"] == "seller"
    assert private["intent"] == ""
    assert "600" not in asked.proposal.summary


# --- words


def wording(parts: dict[str, str], *, tier: Any = cache_pb.TIER_UPSTREAM, cost_microusd: int = 900) -> Answer:
    """Word a plan as the cache service does, with these words for its parts."""

    async def answer(request: Any, context: Any) -> Any:
        return cache_pb.CompleteResponse(
            content=json.dumps({"parts": [{"name": name, "words": words} for name, words in parts.items()]}),
            tier=tier,
            prompt_version="lead.reply@2",
            cost_microusd=cost_microusd,
        )

    return answer


GOOD = {"opening": "So, selling it is.", "noted": "I have {address_area}.", "question": "When would you like to move?"}
WRITTEN = "Understood, it is about selling. Got it: home in Fremont. How soon would you like to make a move?"


async def reply_worded(desk: Desk, words: Answer) -> str:
    """What the person gets for a text that is not their first, and that a model read."""
    await desk.answered("hi")
    desk.neighbours.cache, desk.neighbours.words = finding(cost_microusd=0), words
    return await desk.answered("I want to sell my house in Fremont")


async def test_reply_goes_out_in_the_models_words_with_values_of_ours(desk: Desk) -> None:
    assert await reply_worded(desk, wording(GOOD, tier=cache_pb.TIER_L2, cost_microusd=0)) == (
        "So, selling it is. I have home in Fremont. When would you like to move?"
    )
    kept = await desk.record()
    assert {name: value for name, value in kept.items() if name.startswith("wording")} == {
        "wording": "model",
        "wording_cause": "",
        "wording_prompt": "lead.reply@2",
        "wording_tier": "L2",
        "wording_cost_microusd": 0,
    }
    assert kept["question"] == "timeline"


async def test_model_that_words_is_told_a_plan_and_nothing_of_the_person(desk: Desk) -> None:
    await reply_worded(desk, wording(GOOD))
    (asked,) = desk.neighbours.worded
    assert (asked.tenant_id, asked.prompt) == (TENANT, "lead.reply")
    assert dict(asked.variables) == {
        "plan": '1. opening: "Understood, it is about selling."\n'
        '2. noted: "Got it: {address_area}." {address_area} reads: home in ...\n'
        '3. question: "How soon would you like to make a move?"'
    }


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"noted": "I have it."}, "TEMPLATE_PLACEHOLDERS"),
        ({"noted": "I have {address_area} for $900,000."}, "TEMPLATE_NUMBER"),
        ({"question": "When would you like to move? And why?"}, "TEMPLATE_QUESTION"),
        ({"opening": "So, buying it is."}, "TEMPLATE_MEANING"),
        ({"opening": "Selling at evil.com it is."}, "TEMPLATE_NAME"),
        ({"opening": "You are all set for selling."}, "GATE_BOOKING"),
        ({"opening": "Selling it is. " + "It is so good to know. " * 8}, "TEMPLATE_TOO_LONG"),
        ({"extra": "Good day."}, "TEMPLATE_OTHER_PARTS"),
    ],
)
async def test_words_that_are_not_good_give_way_to_the_written_ones_and_the_record_says_why(
    desk: Desk, change: dict[str, str], cause: str
) -> None:
    assert await reply_worded(desk, wording(GOOD | change)) == WRITTEN
    kept = await desk.record()
    assert (kept["wording"], kept["wording_cause"], kept["wording_prompt"]) == ("written", cause, "lead.reply@2")
    # They were paid for all the same.
    assert (kept["wording_cost_microusd"], kept["cost_microusd"]) == (900, 900)


@pytest.mark.parametrize(
    "error", [errors.ModelUnavailable("x"), errors.BudgetExhausted("x"), errors.PromptNotFound("x")]
)
async def test_written_words_go_out_when_the_model_has_none(desk: Desk, error: errors.PorchlightError) -> None:
    assert await reply_worded(desk, failing(error)) == WRITTEN
    kept = await desk.record()
    assert (kept["wording"], kept["wording_cause"], kept["extractor"]) == ("written", error.reason, "lead.extract@3")


async def test_slow_words_leave_time_to_store_the_written_ones(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    async def slow(request: Any, context: Any) -> Any:
        given.append(context.time_remaining())
        return await asyncio.Event().wait()

    left = SimpleNamespace(remaining_seconds=lambda: KEPT_SECONDS + 1)
    monkeypatch.setattr("kit.bot.wording.context", left)
    assert await reply_worded(desk, slow) == WRITTEN
    assert (await desk.record())["wording_cause"] == "SERVICE_UNAVAILABLE"
    # What the bot gave, as another process reads it.
    assert given[0] < 1.1


async def test_words_are_not_asked_for_when_too_little_of_the_turns_time_is_left(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kit.bot.wording.KEPT_SECONDS", TURN_SECONDS)
    assert await reply_worded(desk, wording(GOOD)) == WRITTEN
    assert desk.neighbours.worded == []
    assert (await desk.record())["wording_cause"] == "NO_TIME_LEFT"


async def test_model_that_could_not_read_is_not_asked_for_words(desk: Desk) -> None:
    await desk.answered("hi")
    assert desk.neighbours.worded == []
    assert (await desk.record())["wording_cause"] == "MODEL_UNAVAILABLE"


async def test_setting_keeps_to_written_words(database: Database, tmp_path: Path, stack: AsyncExitStack) -> None:
    desk = await a_desk(database, tmp_path, stack, wording="written")
    assert await reply_worded(desk, wording(GOOD)) == WRITTEN
    assert desk.neighbours.worded == []
    assert (await desk.record())["wording_cause"] == "TURNED_OFF"


async def test_what_the_gate_stops_gives_way_to_a_safe_sentence_and_the_record_says_why(desk: Desk) -> None:
    await desk.answered("I want to buy")
    reply = await desk.answered("in Ballard.com")
    assert reply == "An agent of Porchlight Realty (sample) can read this conversation and take over at any time."
    kept = await desk.record()
    assert (kept["question"], kept["gate"]) == ("", [{"finding": "URL", "words": "ballard.com"}])


# --- offers


def an_offer(*, target: str = "lead", capsule: pb.Capsule | None = None, **changes: Any) -> pb.OfferHandoffRequest:
    data = (capsule or pb.Capsule(schema_version=1, summary="Wants to sell.")).SerializeToString()
    names = pb.TicketPayload(
        handoff_id="h_1",
        tenant_id=TENANT,
        contact_id=CONTACT,
        source_bot="seller",
        target_bot=target,
        epoch=2,
        policy_version=1,
    )
    ticket = tickets.sign(
        names, key=changes.pop("key", KEY), capsule=changes.pop("digest_of", data), now=changes.pop("now", utc_now())
    )
    return pb.OfferHandoffRequest(ticket=ticket, capsule=data)


async def offered(desk: Desk, request: pb.OfferHandoffRequest) -> Any:
    return await call((await desk.stub("handoff")).OfferHandoff, request, seconds=5)


async def test_good_offer_is_accepted_again_and_again_and_writes_nothing(desk: Desk) -> None:
    request = an_offer()
    for _ in range(2):
        assert (await offered(desk, request)).answer == pb.OFFER_ANSWER_ACCEPT
    assert await desk.rows("select from porchlight.contact") == []


@pytest.mark.parametrize(
    ("changes", "defect"),
    [
        ({"target": "buyer"}, "wrong_audience"),
        ({"now": utc_now() - timedelta(minutes=5)}, "expired"),
        ({"key": tickets.new_signing_key("k1")}, "bad_signature"),
        ({"key": tickets.new_signing_key("k9")}, "unknown_key"),
        ({"digest_of": b"another capsule"}, "wrong_capsule"),
    ],
)
async def test_ticket_that_is_not_good_is_refused(desk: Desk, changes: dict[str, Any], defect: str) -> None:
    with pytest.raises(errors.BadTicket) as refused:
        await offered(desk, an_offer(**changes))
    assert refused.value.metadata["defect"] == defect


async def test_capsule_of_an_unknown_version_is_declined_with_a_reason(desk: Desk) -> None:
    response = await offered(desk, an_offer(capsule=pb.Capsule(schema_version=2)))
    assert response.answer == pb.OFFER_ANSWER_DECLINE
    assert "version 2" in response.reason


async def test_capsule_over_its_limit_is_refused_by_field_and_limit(desk: Desk) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await offered(desk, an_offer(capsule=pb.Capsule(schema_version=1, summary="x" * 64 * 1024)))
    assert refused.value.metadata["field"] == "capsule"
    assert "65536" in refused.value.metadata["limit"]


# --- previews


async def preview(desk: Desk, text: str, *facts: pb.Fact) -> Any:
    request = pb.PreviewTurnRequest(text=text, facts=facts)
    return await call((await desk.stub("operator")).PreviewTurn, request, seconds=5)


async def test_preview_shows_the_move_and_stores_and_asks_nothing(desk: Desk) -> None:
    shown = await preview(desk, "I need to sell my house ASAP")
    assert (shown.move, shown.target_bot, shown.confidence) == ("hand_off", "seller", 0.97)
    assert {fact.name: fact.text_value for fact in shown.facts} == {"intent": "sell", "timeline": "under_1_month"}
    tables = ("contact", "turn", "inbox", "outbox", "fact", "handoff", "audit")
    assert [await desk.rows(f"select from porchlight.{table}") for table in tables] == [[]] * len(tables)
    assert desk.neighbours.asked == []
    (prompted,) = desk.neighbours.prompted
    assert prompted.tenant_id == "preview"


async def test_preview_answers_with_what_is_known(desk: Desk) -> None:
    known = pb.Fact(name="intent", text_value="sell", extractor="rules", confidence=0.6, learn_time=Timestamp())
    shown = await preview(desk, "hello", known)
    assert (shown.move, shown.reply) == ("ask", "Which neighborhood or ZIP code is the home in?")


async def test_preview_of_an_empty_text_names_the_field(desk: Desk) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await preview(desk, "")
    assert refused.value.metadata["field"] == "text"
