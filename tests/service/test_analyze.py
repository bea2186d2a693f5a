"""Analyses over real sockets: shared where nothing of anybody is left, never elsewhere."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc
from redis.asyncio import Redis

from kit import errors
from kit.rpc import client
from services.cache.labels import LabelWriter
from services.cache.tier_redis import PREFIX
from tests.support.analyses import analysis, analyze
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message
from tests.support.look import rows, until
from tests.support.stores import Database


async def invalidate(caches: Caches, **target: Any) -> pb.InvalidateResponse:
    stub = pb_grpc.CacheServiceStub(await caches.channel("operator", 0))
    response: pb.InvalidateResponse = await client.call(stub.Invalidate, pb.InvalidateRequest(**target), seconds=5.0)
    return response


async def test_two_people_who_say_the_same_get_one_analysis_and_who_wants_the_other_gets_another(
    caches: Caches, claude: ScriptedClaude, valkey: str
):
    stub = await caches.start(anthropic_base_url=claude.url, redis_url=valkey)
    first = await analyze(stub, "I want to buy a house")
    second = await analyze(stub, "looking to purchase property", contact="c_2")
    assert (first.tier, second.tier) == (pb.TIER_UPSTREAM, pb.TIER_L1)
    assert first.key_id == second.key_id and first.analysis == second.analysis
    claude.body = message(analysis("sell", "want to sell my home"))
    third = await analyze(stub, "I want to sell my house", contact="c_3")
    assert (third.tier, json.loads(third.analysis)["intent"]["value"]) == (pb.TIER_UPSTREAM, "sell")
    assert len(claude.requests) == 2


async def test_quotes_and_spans_lead_each_caller_to_their_own_words(caches: Caches, claude: ScriptedClaude):
    claude.body = message(analysis(words="want to buy", price="MONEY_1"))
    stub = await caches.start(anthropic_base_url=claude.url)
    for contact, text, words, price in (
        ("c_1", "We'd like to buy, under $650k", "We'd like to buy", "$650k"),
        ("c_2", "Looking to PURCHASE  under 1.2 million!", "Looking to PURCHASE", "1.2 million"),
    ):
        said = await analyze(stub, text, contact=contact)
        ((quote), (span)) = said.quotes[0], said.spans[0]
        if contact == "c_1":
            # The comma is read, so the texts are two; both are masked all the same.
            assert json.loads(said.analysis)["price"] == span.ref == "MONEY_1"
        assert text[quote.begin : quote.end] == words
        assert text[span.begin : span.end] == price
    sent = json.dumps(claude.requests)
    assert "650k" not in sent and "1.2" not in sent


async def test_state_of_the_dialogue_makes_another_analysis(caches: Caches, claude: ScriptedClaude):
    claude.body = message(analysis(words="COUNT_1"))
    stub = await caches.start(anthropic_base_url=claude.url)
    states: list[dict[str, Any]] = [
        {"asked": "price"},
        {"asked": "bedrooms"},
        {"opening": True},
        {"known": {"intent": "buy"}},
    ]
    answers = [await analyze(stub, "450", **state) for state in (*states, *states)]
    assert [answer.tier for answer in answers] == [pb.TIER_UPSTREAM] * 4 + [pb.TIER_L1] * 4
    assert len({answer.key_id for answer in answers}) == 4


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("I want to buy, my wife is Marta", ()),
        ("I want to buy, code zq7xk", ()),
        ("I want to buy, I will pay cash", ((pb.SPAN_KIND_NAME, "Will"),)),
    ],
)
async def test_text_that_still_holds_something_of_a_person_is_kept_for_that_person_alone(
    caches: Caches, claude: ScriptedClaude, database: Database, text: str, own: Any
):
    stub = await caches.start(anthropic_base_url=claude.url)
    first, again, other = [await analyze(stub, text, contact=contact, own=own) for contact in ("c_1", "c_1", "c_2")]
    assert (first.shared, again.tier, other.tier) == (False, pb.TIER_L1, pb.TIER_UPSTREAM)
    assert await rows(database.admin_url, "select * from porchlight.analysis_label") == []


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (analysis(price="MONEY_2"), "UNKNOWN_REFERENCE"),
        (analysis(words="somebody else's words"), "NO_QUOTE"),
        (analysis(words="want to buy 555-0100"), "NO_QUOTE"),
        (analysis(sure=2065550100), "NO_CONFIDENCE"),
    ],
)
async def test_answer_that_does_not_come_from_the_text_is_neither_served_nor_stored(
    caches: Caches, claude: ScriptedClaude, valkey: str, content: str, defect: str
):
    stub = await caches.start(anthropic_base_url=claude.url, redis_url=valkey)
    claude.body = message(content)
    with pytest.raises(errors.ModelUnavailable) as caught:
        await analyze(stub, "I want to buy under 500k")
    assert caught.value.metadata["defect"] == defect
    async with Redis.from_url(valkey) as redis:
        assert [key async for key in redis.scan_iter(PREFIX + "*")] == []
    claude.body = message(analysis(price="MONEY_1"))
    assert (await analyze(stub, "I want to buy under 500k")).tier == pb.TIER_UPSTREAM


async def test_what_claude_says_of_a_shared_text_becomes_a_label(
    caches: Caches, claude: ScriptedClaude, database: Database
):
    stub = await caches.start(anthropic_base_url=claude.url)
    said = await analyze(stub, "I want to buy", asked="intent", known={"timeline": ""})

    async def kept() -> bool:
        return bool(await rows(database.admin_url, "select * from porchlight.analysis_label"))

    await until(kept)
    (label,) = await rows(database.admin_url, "select * from porchlight.analysis_label")
    assert (label["masked"], label["source"], label["key_id"]) == ("want to buy", "upstream", said.key_id)
    assert label["state"] == {"asked": "intent", "known": {"timeline": ""}, "opening": False}
    assert label["analysis"] == json.loads(said.analysis)


async def test_label_that_still_waits_when_the_process_stops_is_written_at_last(
    caches: Caches, claude: ScriptedClaude, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def writes_nothing(_writer: LabelWriter, stop: asyncio.Event) -> None:
        await stop.wait()

    monkeypatch.setattr(LabelWriter, "run", writes_nothing)
    async with AsyncExitStack() as stack:
        own = Caches(stack, tmp_path, database.url("cache"))
        await analyze(await own.start(anthropic_base_url=claude.url), "I want to buy")
        assert await rows(database.admin_url, "select from porchlight.analysis_label") == []
    assert len(await rows(database.admin_url, "select from porchlight.analysis_label")) == 1


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"tenant_id": ""}, "tenant_id"),
        ({"texts": []}, "texts"),
        ({"texts": ["x" * 12_001]}, "texts[0]"),
        ({"texts": ["x" * 7_000] * 2}, "texts"),
        ({"state": {"asked": "What is your name?"}}, "state.asked"),
        ({"state": {"known": {"intent": "Marta Zacherl"}}}, "state.known"),
        ({"own_values": [{"kind": "SPAN_KIND_MONEY", "value": "1"}]}, "own_values[0].kind"),
        ({"own_values": [{"kind": "SPAN_KIND_NAME", "value": ""}]}, "own_values[0].value"),
    ],
)
async def test_bad_request_names_the_field(caches: Caches, changed: dict[str, Any], field: str):
    stub = await caches.start()
    good: dict[str, Any] = {"tenant_id": "loc_1", "contact_id": "c_1", "prompt": "lead.extract", "texts": ["hi"]}
    with pytest.raises(errors.InvalidField) as caught:
        await client.call(stub.Analyze, pb.AnalyzeRequest(**good | changed), seconds=5.0)
    assert caught.value.metadata["field"] == field


async def test_prompt_for_analyses_is_not_completed_with_words_that_nobody_masked(caches: Caches):
    stub = await caches.start()
    words = dict.fromkeys(("asked", "known", "turn", "messages"), "I am Marta")
    request = pb.CompleteRequest(tenant_id="loc_1", contact_id="c_1", prompt="lead.extract", variables=words)
    with pytest.raises(errors.InvalidField) as caught:
        await client.call(stub.Complete, request, seconds=5.0)
    assert caught.value.metadata["field"] == "prompt"


@pytest.mark.parametrize(
    "target",
    [{"prompt": "lead.extract"}, {"tenant_id": "loc_1", "tenant": True}, {"tenant_id": "loc_1", "contact_id": "c_1"}],
    ids=["prompt", "tenant", "contact"],
)
async def test_what_was_invalidated_on_one_replica_is_served_by_none(
    caches: Caches, claude: ScriptedClaude, valkey: str, target: dict[str, Any]
):
    stubs = [await caches.start(anthropic_base_url=claude.url, redis_url=valkey) for _ in range(2)]
    text = "I want to buy, says Marta" if "contact_id" in target else "I want to buy"
    assert [(await analyze(stub, text)).tier for stub in (*stubs, *stubs)] == [
        pb.TIER_UPSTREAM, pb.TIER_L2, pb.TIER_L1, pb.TIER_L1,
    ]  # fmt: skip
    await invalidate(caches, **target)

    async def heard() -> bool:
        return (await analyze(stubs[1], text)).tier == pb.TIER_UPSTREAM

    await until(heard)
    assert (await analyze(stubs[0], text)).tier == pb.TIER_L2
    assert len(claude.requests) == 2


async def test_answers_of_others_outlive_an_invalidation(caches: Caches, claude: ScriptedClaude, valkey: str):
    stub = await caches.start(anthropic_base_url=claude.url, redis_url=valkey)
    for tenant in ("loc_1", "loc_2"):
        await analyze(stub, "I want to buy", tenant=tenant)
    await invalidate(caches, tenant_id="loc_1", tenant=True)
    tiers = [(await analyze(stub, "I want to buy", tenant=tenant)).tier for tenant in ("loc_2", "loc_1")]
    assert tiers == [pb.TIER_L2, pb.TIER_UPSTREAM]


async def test_erased_contact_leaves_no_bytes_in_redis(caches: Caches, claude: ScriptedClaude, valkey: str):
    claude.body = message(analysis(words="says marta"))
    stub = await caches.start(anthropic_base_url=claude.url, redis_url=valkey)
    await analyze(stub, "buy, says Marta")
    await analyze(stub, "buy, says Marta", contact="c_2")
    await invalidate(caches, tenant_id="loc_1", contact_id="c_1")
    async with Redis.from_url(valkey) as redis:
        kept = [key async for key in redis.scan_iter(PREFIX + "*")]
    assert len(kept) == 1
    assert (await analyze(stub, "buy, says Marta", contact="c_2")).tier == pb.TIER_L2


@pytest.mark.parametrize("target", [{}, {"tenant_id": "loc_1", "tenant": False}, {"tag": "x"}, {"contact_id": "c_1"}])
async def test_invalidation_without_a_target_names_the_field(caches: Caches, target: dict[str, Any]):
    await caches.start()
    with pytest.raises(errors.InvalidField):
        await invalidate(caches, **target)
