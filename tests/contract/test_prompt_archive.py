"""What is promised of versions and labels that people write: in memory and in Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from kit.pg.pool import Pool, open_pool
from kit.prompt_file import PromptFile, parse, render
from migrations.prompts import load_prompts
from services.cache.generations import Generations, GenerationStore, MemoryGenerationStore
from services.cache.generations_pg import PgGenerationStore
from services.cache.prompt_archive import MOST_CHANGES, MemoryPromptStore, PromptArchive, PromptState, Put
from services.cache.prompt_desk import PromptDesk
from services.cache.prompts_pg import PgPromptStore
from tests.support.stores import Database

FIRST = parse("""+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
scope = "contact"
+++
FIRST
+++
<messages>{messages}</messages>
""")
SECOND = replace(FIRST, system="SECOND")
MINE = replace(FIRST, system="MINE")


@dataclass(kw_only=True)
class House:
    archive: PromptArchive
    generations: GenerationStore
    release: Callable[[PromptFile], Awaitable[object]]
    """Loads a file as an upgrade does."""


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As the cache service logs in."""
    pool = await open_pool(database.url("cache"), name="test")
    yield pool
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> House:
    if request.param == "memory":
        generations = MemoryGenerationStore()
        store = MemoryPromptStore(generations)
        return House(archive=store, generations=generations, release=store.put)
    pool, database = request.getfixturevalue("pool"), request.getfixturevalue("database")
    folder = tmp_path / "services" / "lead" / "prompts"
    folder.mkdir(parents=True)

    async def release(file: PromptFile) -> object:
        (folder / "extract.md").write_text(render(file))
        return await load_prompts(database.admin_url, tmp_path)

    return House(archive=PgPromptStore(pool), generations=PgGenerationStore(pool), release=release)


async def state(house: House) -> PromptState:
    found = await house.archive.state("lead.extract")
    assert found is not None
    return found


async def create(house: House, file: PromptFile, *, etag: str | None = None) -> Put:
    known = await house.archive.state(file.name)
    current = "" if known is None else known.etag
    return await house.archive.create(
        file, etag=current if etag is None else etag, author="operator", reason="it reads better"
    )


async def point(house: House, version: int, *, label: str = "production", etag: str | None = None) -> Put:
    current = (await state(house)).etag
    return await house.archive.set_label(
        "lead.extract",
        label,
        version,
        etag=current if etag is None else etag,
        author="operator",
        reason="it reads better",
    )


async def test_release_points_both_labels_at_its_version(house: House):
    await house.release(FIRST)
    now = await state(house)
    assert (now.labels, now.latest_version) == ({"production": 1, "shipped": 1}, 1)
    assert await house.archive.state("lead.sing") is None


async def test_new_version_is_stored_and_asked_only_when_a_label_points_at_it(house: House):
    await house.release(FIRST)
    assert (await create(house, MINE)).version == 2
    assert (await state(house)).labels["production"] == 1
    await point(house, 2)
    now = await state(house)
    assert now.labels == {"production": 2, "shipped": 1}
    (moved, *_) = now.changes
    assert (moved.label, moved.version_before, moved.version_after) == ("production", 1, 2)
    assert (moved.author, moved.reason) == ("operator", "it reads better")
    (mine, first) = await house.archive.versions("lead.extract", below=9, most=9)
    assert (mine.version, mine.author, first.author) == (2, "operator", "files")
    assert (PromptFile(**mine.body), mine.digest) == (MINE, MINE.digest)


async def test_upgrade_leaves_what_people_chose_and_follows_again_once_they_go_back(house: House):
    await house.release(FIRST)
    await create(house, MINE)
    await point(house, 2)
    await house.release(SECOND)
    assert (await state(house)).labels == {"production": 2, "shipped": 3}
    await point(house, 3)
    await house.release(FIRST)
    assert (await state(house)).labels == {"production": 1, "shipped": 1}


async def test_change_without_a_look_at_the_last_one_is_refused(house: House):
    await house.release(FIRST)
    old = (await state(house)).etag
    await create(house, MINE)
    now = (await state(house)).etag
    assert now != old
    assert (await create(house, SECOND, etag=old)).current_etag == now
    assert (await point(house, 2, etag=old)).current_etag == now
    assert (await state(house)).etag == now


async def test_saying_it_again_is_no_change_whatever_was_looked_at(house: House):
    await house.release(FIRST)
    old = (await state(house)).etag
    first = await create(house, MINE)
    moved = await point(house, 2)
    assert await create(house, MINE, etag=old) == first
    assert await point(house, 2, etag=old) == moved
    assert len(await house.archive.versions("lead.extract", below=9, most=9)) == 2


async def test_label_at_a_version_that_does_not_exist_is_missing(house: House):
    await house.release(FIRST)
    assert (await point(house, 2)).missing


async def test_label_goes_back_however_often_others_moved_since(house: House):
    await house.release(FIRST)
    await create(house, MINE)
    await point(house, 2)
    for number in range(MOST_CHANGES):
        await point(house, 1 + number % 2, label="trial")
    desk = PromptDesk(house.archive, Generations(house.generations, None, seconds=lambda: 0.0, forget=lambda: None))
    etag = (await state(house)).etag
    moved = await desk.roll_back("lead.extract", "production", etag=etag, author="operator", reason="it read worse")
    assert (moved.labels["production"], moved.labels["trial"]) == (1, 2)


async def test_every_move_of_a_label_is_an_invalidation(house: House):
    await house.release(FIRST)
    before = (await house.generations.since(0)).generation
    await house.release(FIRST)
    await create(house, MINE)
    assert (await house.generations.since(0)).generation == before
    moved = await point(house, 2)
    news = await house.generations.since(before)
    assert (news.generation, news.tags) == (before + 1, {"labels": before + 1})
    assert moved.generation == before + 1


async def test_prompts_are_listed_by_name_some_at_a_time(house: House):
    for name in ("b.two", "a.one", "c.three"):
        await create(house, replace(FIRST, name=name))
    found = await house.archive.states(after="", most=2)
    assert [(each.name, each.latest_version, dict(each.labels)) for each in found] == [
        ("a.one", 1, {}),
        ("b.two", 1, {}),
    ]
    assert [each.name for each in await house.archive.states(after="b.two", most=2)] == ["c.three"]


async def test_of_many_who_looked_at_the_same_one_changes_it(house: House):
    await house.release(FIRST)
    etag = (await state(house)).etag
    puts = await asyncio.gather(*(create(house, replace(FIRST, system=f"text {n}"), etag=etag) for n in range(8)))
    assert sum(put.current_etag is None for put in puts) == 1
    assert (await state(house)).latest_version == 2


async def test_cache_role_writes_prompts_through_its_functions_only(pool: Pool):
    for sql in (
        "select keep_prompt('a', 'b', '{}', 'c', 'd')",
        "select move_label('a', 'b', 1, 'c', 'd')",
        "select * from prompt_change",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch(sql)
