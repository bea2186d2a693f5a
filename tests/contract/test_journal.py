"""What the journal of answers and the sums of the ledger promise: in memory and in Postgres."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import asyncpg
import pytest

from kit.pg.pool import Pool, open_pool
from services.cache.journal import RIGHT, WRONG, AnswerRow, Journal, Judged, MemoryJournal, as_json
from services.cache.journal_pg import PgJournal
from services.cache.labels import AUDIT, FEEDBACK, Label, LabelStore, MemoryLabelStore
from services.cache.labels_pg import PgLabelStore
from services.cache.ledger import LOST, CallRow, Ledger, MemoryLedger
from services.cache.ledger_pg import PgLedger
from tests.support.stores import Database

BASIS = {
    "scope": "tenant",
    "prompt_version": "lead.extract@3",
    "model": "claude-haiku-5-5",
    "max_tokens": 400,
    "effort": "low",
    "schema_hash": "0" * 32,
    "state": {"asked": "intent", "known": {}, "opening": False},
    "masked": "want to buy",
}
ROW = AnswerRow(
    answer_id="a" * 32,
    tenant_id="loc_1",
    key_id="1" * 32,
    prompt_version="lead.extract@3",
    tier="L2",
    model="claude-haiku-5-5",
    score=0.0,
    age_seconds=12.5,
    cost_microusd=0,
    saved_microusd=15,
    fallback=False,
    basis=json.dumps(BASIS),
    analysis='{"intent": "buy"}',
    request_id="r_1",
    given_at=100.0,
)


@dataclass(kw_only=True)
class House:
    journal: Journal
    labels: LabelStore
    ledger: Ledger


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As the cache service logs in."""
    pool = await open_pool(database.url("cache"), name="test")
    yield pool
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def house(request: pytest.FixtureRequest) -> House:
    if request.param == "memory":
        labels = MemoryLabelStore()
        return House(journal=MemoryJournal(labels), labels=labels, ledger=MemoryLedger())
    pool = request.getfixturevalue("pool")
    return House(journal=PgJournal(pool), labels=PgLabelStore(pool), ledger=PgLedger(pool))


async def given(house: House, *rows: AnswerRow) -> None:
    await house.journal.record(rows, now=100.0)


async def test_answer_is_explained_as_it_was_given(house: House):
    await given(house, ROW)
    known = await house.journal.explain("loc_1", ROW.answer_id)
    assert known is not None
    assert (known["tier"], known["age_seconds"], known["saved_microusd"]) == ("L2", 12.5, 15)
    assert (known["basis"], known["analysis"]) == (BASIS, {"intent": "buy"})
    assert (known["verdict"], known["call"], known["labels"]) == ("", None, [])


@pytest.mark.parametrize(("tenant_id", "answer_id"), [("loc_2", ROW.answer_id), ("loc_1", "b" * 32)])
async def test_answer_of_another_tenant_is_unknown(house: House, tenant_id: str, answer_id: str):
    await given(house, ROW)
    assert await house.journal.explain(tenant_id, answer_id) is None
    assert await house.journal.judge(tenant_id, answer_id, WRONG, "operator") is None


async def test_answer_that_is_written_twice_counts_once(house: House):
    for rows in ((ROW,), (ROW, replace(ROW, answer_id="b" * 32))):
        await given(house, *rows)
    (tier,) = (await house.journal.sums("", "", hours=1)).tiers
    assert (tier.answers, tier.saved_microusd) == (2, 30)


async def test_sums_are_by_tenant_prompt_version_and_tier(house: House):
    await given(
        house,
        ROW,
        replace(ROW, answer_id="b" * 32, tier="UPSTREAM", saved_microusd=0),
        replace(ROW, answer_id="c" * 32, prompt_version="lead.extract@4"),
        replace(ROW, answer_id="d" * 32, prompt_version="buyer.extract@1", analysis=""),
        replace(ROW, answer_id="e" * 32, tenant_id="loc_2"),
    )

    async def counted(tenant_id: str, prompt: str) -> list[tuple[str, str, int]]:
        sums = await house.journal.sums(tenant_id, prompt, hours=24)
        return [(each.prompt_version, each.tier, each.answers) for each in sums.tiers]

    assert await counted("loc_1", "lead.extract") == [
        ("lead.extract@3", "L2", 1),
        ("lead.extract@3", "UPSTREAM", 1),
        ("lead.extract@4", "L2", 1),
    ]
    assert sum(count for _, _, count in await counted("", "")) == 5
    assert await counted("loc_3", "") == []


async def test_persons_word_is_kept_counted_and_becomes_a_label(house: House):
    await given(house, ROW)
    said = [await house.journal.judge("loc_1", ROW.answer_id, WRONG, "operator") for _ in range(2)]
    assert said == [Judged(key_id=ROW.key_id, changed=True), Judged(key_id=ROW.key_id, changed=False)]
    known = await house.journal.explain("loc_1", ROW.answer_id)
    assert known is not None
    assert (known["verdict"], known["verdict_by"]) == ("wrong", "operator")
    assert known["labels"] == [{"source": "feedback", "times": 1, "wrong_times": 1}]
    (kept,) = await house.labels.read("loc_1", "lead.extract", 3)
    assert kept.label == Label(
        tenant_id="loc_1",
        prompt="lead.extract",
        prompt_version=3,
        schema_hash="0" * 32,
        state={"asked": "intent", "known": {}, "opening": False},
        masked="want to buy",
        analysis={"intent": "buy"},
        source=FEEDBACK,
        key_id=ROW.key_id,
        wrong=True,
    )


async def test_second_thought_takes_the_place_of_the_first(house: House):
    await given(house, ROW)
    for verdict in (WRONG, RIGHT):
        await house.journal.judge("loc_1", ROW.answer_id, verdict, "operator")
    (tier,) = (await house.journal.sums("loc_1", "", hours=1)).tiers
    assert (tier.said_right, tier.said_wrong) == (1, 0)


async def test_answer_that_is_nobodys_to_share_becomes_no_label(house: House):
    await given(house, replace(ROW, analysis=""))
    judged = await house.journal.judge("loc_1", ROW.answer_id, WRONG, "operator")
    assert judged is not None and judged.changed
    assert await house.labels.read("loc_1", "lead.extract", 3) == []


def a_call(call_id: str, **changed: object) -> CallRow:
    row = CallRow(
        call_id=call_id,
        tenant_id="loc_1",
        request_id="r_1",
        prompt_version="lead.extract@3",
        model="claude-haiku-5-5",
        key_id=ROW.key_id,
        attempt=1,
        outcome="ANSWERED",
        stop_reason="end_turn",
        input_tokens=100,
        output_tokens=10,
        cache_write_tokens=2,
        cache_read_tokens=3,
        cost_microusd=15,
        cost_estimated=False,
        latency_ms=7,
    )
    return replace(row, **changed)  # type: ignore[arg-type]


async def test_spend_is_summed_by_tenant_prompt_and_model(house: House):
    for row in (
        a_call("one"),
        a_call("two", prompt_version="lead.extract@4", outcome="TIMEOUT", cost_estimated=True, cost_microusd=40),
        a_call("three", model="claude-sonnet-5-5"),
        a_call("four", tenant_id="loc_0"),
        a_call("one"),
    ):
        await house.ledger.record(row)
    found = await house.ledger.spends("", days=1)
    assert [line.place[1:] for line in found.spends] == [
        ("loc_0", "lead.extract", "claude-haiku-5-5"),
        ("loc_1", "lead.extract", "claude-haiku-5-5"),
        ("loc_1", "lead.extract", "claude-sonnet-5-5"),
    ]
    line = found.spends[1]
    assert (line.calls, line.answered_calls, line.cost_microusd, line.estimated_microusd) == (2, 1, 55, 40)
    assert (line.input_tokens, line.output_tokens, line.cache_write_tokens, line.cache_read_tokens) == (200, 20, 4, 6)
    assert found.total_microusd == 85 == sum(line.cost_microusd for line in found.spends)
    assert (await house.ledger.spends("loc_0", days=1)).total_microusd == 15


async def test_pages_of_spend_follow_one_another_and_sum_up_all(house: House):
    for number in range(5):
        await house.ledger.record(a_call(f"call {number}", tenant_id=f"loc_{number}"))
    seen, after = [], tuple[str, ...]()
    while page := (await house.ledger.spends("", days=2, after=after, most=2)).spends:
        seen += [line.tenant_id for line in page]
        after = page[-1].place
    assert seen == [f"loc_{number}" for number in range(5)]


async def test_late_word_of_a_lost_call_leaves_nothing_of_the_estimate(house: House):
    lost = a_call("one", outcome=LOST, cost_microusd=900, cost_estimated=True, input_tokens=0, output_tokens=0)
    for row in (lost, a_call("one"), a_call("one", cost_microusd=7)):
        await house.ledger.record(row)
    (line,) = (await house.ledger.spends("", days=1)).spends
    assert (line.calls, line.answered_calls, line.cost_microusd, line.estimated_microusd) == (1, 1, 15, 0)


async def test_explanation_names_the_call_that_wrote_the_answer(pool: Pool):
    await PgLedger(pool).record(a_call("wrote it"))
    await PgLedger(pool).record(a_call("failed", outcome="TIMEOUT"))
    journal = PgJournal(pool)
    await journal.record([ROW], now=100.0)
    known = await journal.explain("loc_1", ROW.answer_id)
    assert known is not None and known["call"]["call_id"] == "wrote it"
    sums = await journal.sums("loc_1", "lead.extract", hours=1)
    assert (sums.upstream_calls, sums.cost_microusd) == (2, 30)


async def test_audits_count_in_the_hour_of_the_audit(pool: Pool):
    labels = PgLabelStore(pool)
    await PgJournal(pool).record([ROW], now=100.0)
    await PgJournal(pool).judge("loc_1", ROW.answer_id, RIGHT, "operator")
    (label,) = [each.label for each in await labels.read("loc_1", "lead.extract", 3)]
    for source, wrong in ((AUDIT, False), (AUDIT, True), ("upstream", False)):
        await labels.record(replace(label, source=source, wrong=wrong))
    tiers = (await PgJournal(pool).sums("loc_1", "", hours=1)).tiers
    assert [(each.tier, each.answers, each.audits, each.audits_wrong) for each in tiers] == [
        ("L2", 1, 0, 0),
        ("STUDENT", 0, 2, 1),
    ]


async def test_only_the_newest_answers_are_kept_and_all_are_counted(pool: Pool):
    for number in range(6):
        row = as_json(replace(ROW, answer_id=f"{number:032x}")) | {"waited_seconds": 0.0}
        await pool.execute("select record_answers($1, 4)", [row])
    journal = PgJournal(pool)
    kept = [await journal.explain("loc_1", f"{number:032x}") is not None for number in range(6)]
    assert kept == [False] * 2 + [True] * 4
    (tier,) = (await journal.sums("", "", hours=1)).tiers
    assert tier.answers == 6


async def test_sums_end_after_400_days_and_calls_after_180(pool: Pool, database: Database):
    async def rows(table: str) -> int:
        return int(await admin.fetchval(f"select count(*) from porchlight.{table}"))

    async def told(days: int) -> None:
        await admin.execute(
            "insert into clock_shift values (true, $1) on conflict (only_row) do update set shift = $1",
            timedelta(days=days),
        )
        await PgLedger(pool).record(a_call(f"call {days}"))
        await PgJournal(pool).record([replace(ROW, answer_id=f"{days:032x}")], now=100.0)

    admin = await open_pool(database.admin_url, name="test")
    seen = []
    for days in (0, 179, 181, 399, 401):
        await told(days)
        seen.append([await rows(table) for table in ("completion", "completion_hour", "answer_hour")])
    await admin.close()
    assert seen == [[1, 1, 1], [2, 2, 2], [2, 3, 3], [1, 4, 4], [2, 4, 4]]


async def test_writers_and_judges_at_once_do_not_wait_in_a_circle(pool: Pool):
    journal = PgJournal(pool)
    rows = [
        replace(ROW, answer_id=f"{n:032x}", tier=("L1", "L2", "L3")[n % 3], tenant_id=f"loc_{n % 4}")
        for n in range(120)
    ]
    await journal.record(rows[:60], now=100.0)
    await asyncio.gather(
        *(journal.record(rows[start : start + 20][::-1], now=100.0) for start in range(40, 120, 20)),
        *(journal.judge(row.tenant_id, row.answer_id, WRONG, "operator") for row in rows[:60]),
    )
    sums = (await journal.sums("", "", hours=1)).tiers
    assert (sum(each.answers for each in sums), sum(each.said_wrong for each in sums)) == (120, 60)


@pytest.mark.parametrize("table", ["answer", "answer_hour", "completion_hour"])
async def test_cache_role_may_only_call_its_functions(pool: Pool, table: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch(f"select * from {table}")


async def test_other_roles_read_no_answers(database: Database):
    for service in ("gateway", "lead", "handoff"):
        pool = await open_pool(database.url(service), name="test")
        for sql in (
            "select explain_answer('', '')",
            "select read_stats('', '', 1)",
            "select read_spend('', 1, '{}', 1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(sql)
        await pool.close()
