"""LeadService over a real socket and a real Postgres, in the lead bot's process."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.lead.v1 import lead_service_pb2 as pb
from porchlight.lead.v1 import lead_service_pb2_grpc as pb_grpc

from kit import errors, tokens
from kit.bot.runtime import build_bot
from kit.bot.settings import BotSettings
from kit.facts_wire import fact_to_proto
from kit.lane import Debounce, Event, EventKind, Fact, Keyword
from kit.pg.lane import PgLane, fact_row
from kit.pg.pool import Pool, open_pool
from kit.rpc.client import call, open_channel
from kit.rpc.server import SERVING, bind, make_server
from services.lead import scorer
from services.lead.bot import BOT
from services.lead.contacts_pg import PgContacts
from services.lead.qualification import Qualification, qualify
from services.lead.scorer import Scorer
from services.lead.server import speciality
from services.lead.writeback import fields
from tests.support.bots import BOTS, a_fact, learned_facts
from tests.support.gateway import running
from tests.support.look import until
from tests.support.stores import Database

TOKENS = {name: f"token of {name}" for name in ("operator", "console", "gateway", "lead")}
TENANT, CONTACT = "loc_1", "c_1"
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))


@dataclass(frozen=True)
class Lead:
    """The running lead bot, and the hands of the gateway."""

    address: str
    lane: PgLane
    admin: Any
    bot_pool: Pool
    stack: AsyncExitStack

    async def stub(self, caller: str = "operator") -> Any:
        channel = open_channel(self.address, token=TOKENS[caller], service="lead")
        return pb_grpc.LeadServiceStub(await self.stack.enter_async_context(channel))

    async def texts(self, *texts: str, keyword: Keyword | None = None) -> None:
        for number, text in enumerate(texts):
            event = Event(
                tenant_id=TENANT,
                source="ghl",
                event_id=f"e_{number}_{text}",
                kind=EventKind.MESSAGE_IN,
                contact_id=CONTACT,
                channel="SMS",
                text=text,
                keyword=keyword,
                keyword_reply="ok" if keyword else "",
            )
            await self.lane.accept(event, debounce=AT_ONCE, first_owner="lead")

    async def knows(self, *facts: Fact) -> None:
        await self.admin.execute(
            "select porchlight.put_facts(c, 'lead', $1::jsonb) from porchlight.contact c where contact_id = $2",
            json.dumps([fact_row(each) for each in facts]),
            CONTACT,
        )

    async def qualification(self, caller: str = "operator", contact_id: str = CONTACT) -> pb.Qualification:
        request = pb.GetQualificationRequest(tenant_id=TENANT, contact_id=contact_id)
        response = await call((await self.stub(caller)).GetQualification, request, seconds=5)
        return response.qualification

    async def score(self, *facts: bot_pb.Fact, **rest: Any) -> pb.Qualification:
        request = pb.ScoreContactRequest(facts=facts, **rest)
        response = await call((await self.stub()).ScoreContact, request, seconds=5)
        return response.qualification


@pytest.fixture
async def lead(database: Database, tmp_path: Path) -> AsyncIterator[Lead]:
    for name in ("callers.json", "token"):
        (tmp_path / name).touch(mode=0o600)
    tokens.write_callers(tmp_path / "callers.json", {name: tokens.digest(token) for name, token in TOKENS.items()})
    (tmp_path / "token").write_text(TOKENS["lead"])
    settings = BotSettings(
        database_url=database.url("lead"),  # type: ignore[arg-type]
        callers_file=tmp_path / "callers.json",
        token_file=tmp_path / "token",
    )
    async with AsyncExitStack() as stack:
        served = await build_bot(BOT, settings, stack, speciality)
        rpc = make_server("lead", settings, served.servicers)
        address = bind(rpc.server, settings)
        await rpc.health.set("", SERVING)
        await rpc.server.start()
        stack.push_async_callback(rpc.server.stop, 0)
        pool = await open_pool(database.url("gateway"), name="gateway", size=1)
        stack.push_async_callback(pool.close)
        bot_pool = await open_pool(database.url("lead"), name="lead", size=1)
        stack.push_async_callback(bot_pool.close)
        admin = await asyncpg.connect(database.admin_url)
        stack.push_async_callback(admin.close)
        yield Lead(address=address, lane=PgLane(pool), admin=admin, bot_pool=bot_pool, stack=stack)


async def test_stored_facts_are_scored_with_the_words_behind_each(lead: Lead) -> None:
    said = "I need to sell my condo in Fremont ASAP"
    await lead.texts("hi", said)
    await lead.knows(*learned_facts(BOTS["lead"], said))
    scored = await lead.qualification()
    words = {factor.name: factor.words for factor in scored.factors}
    assert words == {"intent": said, "address_area": "Fremont", "timeline": "ASAP", "messages": ""}
    assert scored.score == sum(factor.points for factor in scored.factors)
    assert scored.grade == pb.GRADE_WARM
    assert scored.warm_from <= scored.score < scored.hot_from


async def scored_fields(lead: Lead, *, rounds: int = 1) -> list[dict[str, Any]]:
    """Let the scorer look once per round, and return what it put out."""
    contacts = PgContacts(lead.bot_pool)
    for _ in range(rounds):
        for due in await contacts.due_scores(10):
            scored = qualify(due.known.facts, messages_count=due.known.messages_count, opted_out=due.known.opted_out)
            await contacts.put_score(due, fields(scored, due.known.facts))
    found = await lead.admin.fetch("select body from porchlight.outbox where kind = 'FIELDS' order by outbox_id")
    return [json.loads(row["body"])["fields"] for row in found]


async def test_score_of_what_any_bot_learned_is_put_out_once(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("intent", "buy"))
    (found,) = await scored_fields(lead, rounds=2)
    assert (found["contact.porchlight_score"], found["contact.porchlight_grade"]) == (25, "nurture")
    await lead.knows(a_fact("financing", "cash"))
    assert (await scored_fields(lead))[1:] == [
        {
            "contact.porchlight_score": 45,
            "contact.porchlight_grade": "warm",
            "contact.porchlight_financing": "cash",
            "contact.porchlight_reasons": "+25 Says what they want: buy.; +20 Says how they pay: cash.",
        }
    ]


async def test_score_that_was_overtaken_is_not_put_out(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("intent", "buy"))
    contacts = PgContacts(lead.bot_pool)
    (due,) = await contacts.due_scores(10)
    await lead.knows(a_fact("renting", True))
    await contacts.put_score(due, {"contact.porchlight_score": 25})
    (found,) = await scored_fields(lead)
    assert found["contact.porchlight_score"] == 0


async def test_score_of_who_opts_out_falls_to_nothing(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("intent", "buy"))
    await scored_fields(lead)
    await lead.texts("STOP", keyword=Keyword.STOP)
    assert (await scored_fields(lead))[-1]["contact.porchlight_score"] == 0


async def test_scorer_goes_on_until_it_is_told_to_stop(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("intent", "sell"))
    async with running(Scorer(PgContacts(lead.bot_pool))):
        await until(lambda: lead.admin.fetchval("select not score_due from porchlight.contact"))
    assert len(await scored_fields(lead)) == 1


async def test_contact_whose_score_cannot_be_made_is_not_due_again_before_something_new_is_known(
    lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("intent", "sell"))

    def broken(*_: object, **__: object) -> Qualification:
        raise LookupError("a mistake of ours")

    with monkeypatch.context() as patched:
        patched.setattr(scorer, "qualify", broken)
        async with running(Scorer(PgContacts(lead.bot_pool))):
            await until(lambda: lead.admin.fetchval("select not score_due from porchlight.contact"))
    assert await scored_fields(lead) == []
    await lead.knows(a_fact("renting", True))
    assert len(await scored_fields(lead)) == 1


async def test_who_only_said_hi_has_no_points(lead: Lead) -> None:
    await lead.texts("hi")
    scored = await lead.qualification("console")
    assert (scored.score, scored.grade, list(scored.factors)) == (0, pb.GRADE_NURTURE, [])


async def test_only_the_latest_word_counts(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("financing", "cash"))
    await lead.knows(a_fact("financing", "not_yet"))
    assert [factor.explanation for factor in (await lead.qualification()).factors] == ["Says how they pay: not yet."]


async def test_what_is_private_to_the_seller_bot_is_not_looked_at(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(a_fact("motivation", "we divorce", private_to="seller"))
    assert (await lead.qualification()).score == 0


async def test_who_opted_out_is_never_hot(lead: Lead) -> None:
    await lead.texts("hi")
    await lead.knows(*(a_fact(*each) for each in (("intent", "buy"), ("financing", "cash"), ("area", "Ballard"))))
    await lead.texts("STOP", keyword=Keyword.STOP)
    scored = await lead.qualification()
    assert (scored.grade, scored.factors[-1].name) == (pb.GRADE_NURTURE, "opted_out")


async def test_contact_that_never_wrote_is_not_found(lead: Lead) -> None:
    with pytest.raises(errors.ContactNotFound):
        await lead.qualification(contact_id="c_nobody")


async def test_given_facts_are_scored_and_nothing_is_stored(lead: Lead) -> None:
    facts = [fact_to_proto(a_fact(*each)) for each in (("intent", "buy"), ("timeline", "under_1_month"))]
    before = await lead.score(*facts)
    after = await lead.score(*facts, fact_to_proto(a_fact("financing", "pre_approved")))
    assert 0 < before.score < after.score
    assert await lead.admin.fetchval("select count(*) from porchlight.fact") == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"facts": [fact_to_proto(a_fact("area", "Ballard"))] * 2}, "facts[1].name"),
        ({"facts": [fact_to_proto(a_fact(f"f_{number}", "x")) for number in range(65)]}, "facts"),
        ({"messages_count": -1}, "messages_count"),
        ({"facts": [bot_pb.Fact(name="area")]}, "facts[0]"),
    ],
)
async def test_field_over_its_limit_is_named(lead: Lead, change: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await call((await lead.stub()).ScoreContact, pb.ScoreContactRequest(**change), seconds=5)
    assert field in str(refused.value)


async def test_only_the_desk_may_ask(lead: Lead) -> None:
    with pytest.raises(errors.MethodNotAllowed):
        await lead.qualification("gateway")
