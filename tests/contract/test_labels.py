"""What labels and invalidations promise: in memory and in Postgres."""

from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from kit.pg.pool import Pool, open_pool
from services.cache.generations import GenerationStore, MemoryGenerationStore
from services.cache.generations_pg import PgGenerationStore
from services.cache.labels import AUDIT, Label, LabelStore, MemoryLabelStore
from services.cache.labels_pg import PgLabelStore
from tests.support.stores import Database

LABEL = Label(
    tenant_id="loc_1",
    prompt="lead.extract",
    prompt_version=3,
    schema_hash="0" * 32,
    state={"asked": "intent", "known": {"timeline": ""}, "opening": False},
    masked="want to buy under MONEY_1",
    analysis={"intent": {"value": "buy", "words": "want to buy", "confidence": 0.9}},
    source="upstream",
    key_id="1" * 32,
)


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As the cache service logs in."""
    pool = await open_pool(database.url("cache"), name="test")
    yield pool
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def labels(request: pytest.FixtureRequest) -> LabelStore:
    return MemoryLabelStore() if request.param == "memory" else PgLabelStore(request.getfixturevalue("pool"))


@pytest.fixture(params=["memory", "postgres"])
def generations(request: pytest.FixtureRequest) -> GenerationStore:
    return MemoryGenerationStore() if request.param == "memory" else PgGenerationStore(request.getfixturevalue("pool"))


async def test_label_comes_back_as_it_was_kept(labels: LabelStore):
    await labels.record(LABEL)
    (kept,) = await labels.read("loc_1", "lead.extract", 3)
    assert (kept.label, kept.times, kept.wrong_times) == (LABEL, 1, 0)
    assert await labels.read("loc_2", "lead.extract", 3) == []


async def test_same_source_counts_up_with_its_newest_analysis_and_moves_to_the_end(labels: LabelStore):
    audit = replace(LABEL, source=AUDIT, analysis={"intent": None})
    for label in (audit, LABEL, replace(audit, wrong=True, analysis={"intent": 1})):
        await labels.record(label)
    upstream, audited = await labels.read("loc_1", "lead.extract", 3)
    assert (upstream.label.source, audited.label.source) == ("upstream", AUDIT)
    assert (audited.label.analysis, audited.times, audited.wrong_times) == ({"intent": 1}, 2, 1)
    assert await labels.read("loc_1", "lead.extract", 3, after=upstream.change_no) == [audited]


async def test_labels_of_another_version_are_not_read(labels: LabelStore):
    await labels.record(LABEL)
    assert (await labels.read("loc_1", "lead.extract", 4), await labels.read("loc_1", "buyer.extract", 3)) == ([], [])
    assert len(await labels.read("loc_1", "lead.extract", 3, most=0)) == 0


async def test_every_invalidation_has_the_next_number_and_is_told_once(generations: GenerationStore):
    assert [await generations.invalidate([tag]) for tag in ("a", "b", "a")] == [1, 2, 3]
    news = await generations.since(0)
    assert (news.generation, news.tags) == (3, {"a": 3, "b": 2})
    assert (await generations.since(2)).tags == {"a": 3}
    assert (await generations.since(3)).tags == {}


@pytest.mark.parametrize("sql", ["select * from analysis_label", "select * from invalidation"])
async def test_cache_role_may_only_call_its_functions(pool: Pool, sql: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch(sql)


async def test_other_roles_may_neither_invalidate_nor_read_labels(database: Database):
    for service in ("gateway", "lead", "handoff"):
        pool = await open_pool(database.url(service), name="test")
        for sql in (
            "select invalidate_answers('{}')",
            "select read_labels('', '', 1, 0, 1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(sql)
        await pool.close()
