"""What people ask about answers, over real sockets: why, how many, for how much; and what a word of theirs does."""

import json
from typing import Any

import pytest
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit import errors
from kit.rpc import client
from tests.support.analyses import analysis, analyze
from tests.support.caches import Caches
from tests.support.claude_script import ScriptedClaude, message
from tests.support.look import rows, until
from tests.support.stores import Database


async def desk(caches: Caches, number: int = -1) -> Any:
    return pb_grpc.CacheServiceStub(await caches.channel("operator", number))


async def explain(caches: Caches, answer_id: str, *, tenant: str = "loc_1", number: int = -1) -> pb.ExplainResponse:
    request = pb.ExplainRequest(tenant_id=tenant, answer_id=answer_id)
    response: pb.ExplainResponse = await client.call((await desk(caches, number)).Explain, request, seconds=5.0)
    return response


async def feedback(caches: Caches, answer_id: str, verdict: Any, *, number: int = -1) -> bool:
    request = pb.FeedbackRequest(tenant_id="loc_1", answer_id=answer_id, verdict=verdict)
    response: pb.FeedbackResponse = await client.call((await desk(caches, number)).Feedback, request, seconds=5.0)
    return response.changed


async def test_every_answer_can_be_explained_by_the_id_that_its_caller_got(caches: Caches, claude: ScriptedClaude):
    stub = await caches.start(anthropic_base_url=claude.url)
    first = await analyze(stub, "I want to buy a house", asked="intent", known={"timeline": ""})
    second = await analyze(stub, "looking to purchase property", contact="c_2", asked="intent", known={"timeline": ""})
    assert first.answer_id != second.answer_id and first.key_id == second.key_id
    why = [await explain(caches, said.answer_id) for said in (first, second)]
    assert [(each.tier, each.cost_microusd, each.saved_microusd) for each in why] == [
        (pb.TIER_UPSTREAM, 15, 0),
        (pb.TIER_L1, 0, 15),
    ]
    for each in why:
        assert (each.key.scope, each.key.masked, each.key.state.asked) == ("tenant", "want to buy home", "intent")
        assert dict(each.key.state.known) == {"timeline": ""}
        assert (each.prompt_version, each.model, each.key_id) == ("lead.extract@1", "claude-haiku-5-5", first.key_id)

    async def accounted() -> bool:
        why = await explain(caches, second.answer_id)
        return why.HasField("call") and bool(why.labels)

    await until(accounted)
    why = [await explain(caches, second.answer_id)]
    assert (why[0].call.input_tokens, why[0].call.output_tokens, why[0].call.cost_microusd) == (100, 10, 15)
    assert why[0].labels == [pb.LabelSource(source="upstream", times=1)]


async def test_explanation_of_what_is_a_persons_alone_holds_none_of_their_words(
    caches: Caches, claude: ScriptedClaude, database: Database
):
    stub = await caches.start(anthropic_base_url=claude.url)
    said = await analyze(stub, "I want to buy, my wife is Zacherlina")
    why = await explain(caches, said.answer_id)
    assert (why.key.scope, why.key.masked) == ("contact", "")
    assert "zacherlina" not in str(await rows(database.admin_url, "select * from porchlight.answer")).lower()


async def test_answer_is_known_to_its_own_tenant_only(caches: Caches, claude: ScriptedClaude):
    said = await analyze(await caches.start(anthropic_base_url=claude.url), "I want to buy")
    with pytest.raises(errors.AnswerNotFound) as caught:
        await explain(caches, said.answer_id, tenant="loc_2")
    assert caught.value.metadata == {"answer_id": said.answer_id}


async def test_wrong_answer_is_gone_from_every_replica_and_claude_is_asked_again(
    caches: Caches, claude: ScriptedClaude, database: Database, valkey: str
):
    claude.body = message(analysis("sell"))
    one, other = [await caches.start(anthropic_base_url=claude.url, redis_url=valkey) for _ in range(2)]
    first = await analyze(one, "I want to buy")
    assert (await analyze(other, "I want to buy")).tier == pb.TIER_L2
    claude.body = message(analysis("buy"))
    assert await feedback(caches, first.answer_id, pb.VERDICT_WRONG, number=0)
    assert not await feedback(caches, first.answer_id, pb.VERDICT_WRONG, number=1)

    async def right() -> bool:
        return json.loads((await analyze(other, "I want to buy")).analysis)["intent"]["value"] == "buy"

    await until(right)
    assert json.loads((await analyze(one, "I want to buy")).analysis)["intent"]["value"] == "buy"
    assert len(claude.requests) == 2
    (label,) = await rows(database.admin_url, "select * from porchlight.analysis_label where source = 'feedback'")
    assert (label["masked"], label["wrong_times"], label["analysis"]["intent"]["value"]) == ("want to buy", 1, "sell")
    why = await explain(caches, first.answer_id)
    assert (why.verdict, why.verdict_by) == (pb.VERDICT_WRONG, "operator")


async def test_statistics_and_spend_say_what_was_answered_and_what_it_cost(caches: Caches, claude: ScriptedClaude):
    stub = await caches.start(anthropic_base_url=claude.url)
    answers = [await analyze(stub, "I want to buy", contact=f"c_{number}") for number in range(4)]
    await feedback(caches, answers[0].answer_id, pb.VERDICT_WRONG)
    await feedback(caches, answers[1].answer_id, pb.VERDICT_RIGHT)

    async def spent() -> bool:
        spend = await client.call((await desk(caches)).ListSpend, pb.ListSpendRequest(tenant_id="loc_1"), seconds=5.0)
        return spend.total_microusd == 15

    await until(spent)
    stats = await client.call((await desk(caches)).GetStats, pb.GetStatsRequest(tenant_id="loc_1"), seconds=5.0)
    assert (stats.answers, stats.hits, stats.upstream_calls) == (4, 3, 1)
    assert (stats.cost_microusd, stats.saved_microusd) == (15, 45)
    assert (stats.feedback.judged, stats.feedback.wrong, stats.feedback.share) == (2, 1, 0.5)
    assert 0.0 < stats.feedback.low < 0.5 < stats.feedback.high < 1.0
    assert (stats.audited.judged, stats.audited.low, stats.audited.high) == (0, 0.0, 1.0)
    assert {tier.tier: tier.answers for tier in stats.tiers} == {pb.TIER_UPSTREAM: 1, pb.TIER_L1: 3}
    spend = await client.call((await desk(caches)).ListSpend, pb.ListSpendRequest(), seconds=5.0)
    (line,) = spend.spends
    assert (line.tenant_id, line.prompt, line.model) == ("loc_1", "lead.extract", "claude-haiku-5-5")
    assert (line.calls, line.answered_calls, line.cost_microusd, line.estimated_microusd) == (1, 1, 15, 0)
    assert spend.next_page_token == ""


BAD_QUESTIONS: list[tuple[str, Any, str]] = [
    ("Explain", pb.ExplainRequest(tenant_id="loc_1", answer_id="short"), "answer_id"),
    ("Explain", pb.ExplainRequest(answer_id="a" * 32), "tenant_id"),
    ("Feedback", pb.FeedbackRequest(tenant_id="loc_1", answer_id="a" * 32), "verdict"),
    ("Feedback", pb.FeedbackRequest(tenant_id="loc_1", answer_id="a" * 32, verdict=9), "verdict"),  # type: ignore[arg-type]
    ("GetStats", pb.GetStatsRequest(hours=745), "hours"),
    ("ListSpend", pb.ListSpendRequest(days=-1), "days"),
    ("ListSpend", pb.ListSpendRequest(page_size=-1), "page_size"),
    ("ListSpend", pb.ListSpendRequest(page_token="nonsense"), "page_token"),
]


async def test_bad_question_names_its_field(caches: Caches):
    await caches.start()
    stub = await desk(caches)
    for method, asked, field in BAD_QUESTIONS:
        with pytest.raises(errors.InvalidField) as caught:
            await client.call(getattr(stub, method), asked, seconds=5.0)
        assert caught.value.metadata["field"] == field
