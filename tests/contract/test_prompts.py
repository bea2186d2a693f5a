"""What prompts and the ledger of calls promise: in memory and in Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import pytest

from kit.errors import PromptNotFound, StoreUnavailable
from kit.pg.pool import Pool, open_pool
from kit.prompt_file import BadPromptFile, parse
from migrations.prompts import load_prompts
from services.cache.ledger import CallRow, Ledger, MemoryLedger
from services.cache.ledger_pg import PgLedger
from services.cache.prompt_archive import MemoryPromptStore
from services.cache.prompts import Prompt, Prompts, PromptStore
from services.cache.prompts_pg import PgPromptStore
from tests.support.stores import Database

TEXT = """+++
name = "lead.extract"
model = "claude-haiku-5-5"
max_tokens = 400
effort = "low"
scope = "contact"
schema = '{"type": "object", "properties": {"é": {"type": ["integer", "null"]}}, "additionalProperties": false}'
+++
SYSTEM
+++
<messages>{messages}</messages>
"""


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As the cache service logs in."""
    pool = await open_pool(database.url("cache"), name="test")
    yield pool
    await pool.close()


@dataclass(kw_only=True)
class House:
    """A store of prompts and what brings files there."""

    store: PromptStore
    load: Callable[[str], Awaitable[int]]
    """Stores a file's text and returns its version."""


@pytest.fixture
def memory_house() -> House:
    store = MemoryPromptStore()

    async def load(text: str) -> int:
        return await store.put(parse(text))

    return House(store=store, load=load)


@pytest.fixture
def postgres_house(database: Database, pool: Pool, tmp_path: Path) -> House:
    async def load(text: str) -> int:
        return (await load_prompts(database.admin_url, write(tmp_path, text)))["lead.extract"]

    return House(store=PgPromptStore(pool), load=load)


def write(root: Path, text: str, name: str = "extract.md") -> Path:
    folder = root / "services" / "lead" / "prompts"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return root


@pytest.fixture(params=["memory", "postgres"])
def house(request: pytest.FixtureRequest) -> House:
    found: House = request.getfixturevalue(f"{request.param}_house")
    return found


async def production(house: House) -> Prompt:
    prompts = Prompts(house.store)
    return await prompts.get("lead.extract", "production")


async def test_prompt_is_read_as_its_file_says(house: House):
    await house.load(TEXT)
    prompt, file = await production(house), parse(TEXT)
    assert prompt.prompt_version == "lead.extract@1"
    assert (prompt.model, prompt.max_tokens, prompt.effort, prompt.scope) == ("claude-haiku-5-5", 400, "low", "contact")
    assert (prompt.schema, prompt.system, prompt.user) == (file.schema, "SYSTEM", file.user)
    assert prompt.variables == {"messages"}


async def test_same_content_again_is_the_same_version(house: House):
    assert [await house.load(TEXT) for _ in range(3)] == [1, 1, 1]


async def test_new_content_is_a_new_version_and_old_content_the_old_one(house: House):
    versions = []
    for text in (TEXT, TEXT.replace("SYSTEM", "OTHER"), TEXT):
        versions.append(await house.load(text))
        assert (await production(house)).version == versions[-1]
    assert versions == [1, 2, 1]


async def test_order_of_a_schemas_members_does_not_change_its_hash(house: House):
    await house.load(TEXT)
    file = parse(TEXT)
    assert file.schema is not None
    turned = dict(reversed(list(file.schema.items())))
    store = MemoryPromptStore()
    await store.put(replace(file, schema=turned))
    assert (await production(house)).schema_hash == (await store.read())[0][1].schema_hash


async def test_name_or_label_that_nobody_set_is_not_found(house: House):
    await house.load(TEXT)
    prompts = Prompts(house.store)
    for name, label in (("lead.sing", "production"), ("lead.extract", "canary")):
        with pytest.raises(PromptNotFound) as caught:
            await prompts.get(name, label)
        assert caught.value.metadata == {"prompt": name, "label": label}


class LosableStore:
    def __init__(self, store: PromptStore) -> None:
        self.store, self.lost = store, False

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        if self.lost:
            raise StoreUnavailable("gone", store="memory")
        return await self.store.read()


async def test_last_known_prompts_stay_while_the_store_is_away(memory_house: House):
    await memory_house.load(TEXT)
    store = LosableStore(memory_house.store)
    prompts = Prompts(store)
    store.lost = True
    with pytest.raises(StoreUnavailable):
        await prompts.get("lead.extract", "production")
    store.lost = False
    await prompts.get("lead.extract", "production")
    store.lost = True
    with pytest.raises(StoreUnavailable):
        await prompts.refresh()
    assert (await prompts.get("lead.extract", "production")).version == 1


async def test_one_bad_file_keeps_all_of_them_out(database: Database, pool: Pool, tmp_path: Path):
    write(tmp_path, TEXT)
    with pytest.raises(BadPromptFile, match=r"services/lead/prompts/worse\.md"):
        await load_prompts(database.admin_url, write(tmp_path, "no prompt", "worse.md"))
    with pytest.raises(BadPromptFile, match="the name of another file too"):
        await load_prompts(database.admin_url, write(tmp_path, TEXT, "worse.md"))
    assert await PgPromptStore(pool).read() == []


@pytest.mark.parametrize(
    "sql",
    [
        "select * from prompt",
        "select * from completion",
        "insert into prompt_label values ('lead.extract', 'production', 1)",
        "select store_prompt('a', 'b', '{}', 'production')",
    ],
)
async def test_cache_role_may_only_call_its_functions(pool: Pool, sql: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch(sql)


async def test_other_roles_may_not_read_prompts_or_the_ledger(database: Database):
    for service in ("gateway", "lead", "handoff"):
        pool = await open_pool(database.url(service), name="test")
        for sql in (
            "select read_prompts()",
            "select record_completion('{}')",
            "select reserve_spend('{}')",
            "select spent_today_microusd()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await pool.fetch(sql)
        await pool.close()


def a_row(call_id: str = "call_1", cost: int = 15) -> CallRow:
    return CallRow(
        call_id=call_id,
        tenant_id="loc_1",
        request_id="r_1",
        prompt_version="lead.extract@1",
        model="claude-haiku-5-5",
        key_id="0" * 32,
        attempt=1,
        outcome="ANSWERED",
        stop_reason="end_turn",
        input_tokens=100,
        output_tokens=10,
        cache_write_tokens=1,
        cache_read_tokens=2,
        cost_microusd=cost,
        cost_estimated=False,
        latency_ms=812,
    )


@pytest.fixture
def memory_ledger() -> Ledger:
    return MemoryLedger()


@pytest.fixture
def postgres_ledger(pool: Pool) -> Ledger:
    return PgLedger(pool)


@pytest.fixture(params=["memory", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Ledger:
    found: Ledger = request.getfixturevalue(f"{request.param}_ledger")
    return found


async def test_day_without_calls_cost_nothing(ledger: Ledger):
    assert await ledger.spent_today_microusd() == 0


async def test_call_recorded_twice_costs_once(ledger: Ledger):
    for call_id in ("call_1", "call_2", "call_1"):
        await ledger.record(a_row(call_id))
    assert await ledger.spent_today_microusd() == 30


async def test_row_is_kept_as_it_was_given(postgres_ledger: Ledger, database: Database):
    await postgres_ledger.record(a_row())
    admin = await open_pool(database.admin_url, name="test")
    row = await admin.fetchrow("select * from completion")
    await admin.close()
    assert row is not None
    kept = dict(row)
    del kept["end_time"]
    assert CallRow(**kept) == a_row()


async def test_yesterdays_calls_do_not_count_today(postgres_ledger: Ledger, database: Database):
    await postgres_ledger.record(a_row())
    admin = await open_pool(database.admin_url, name="test")
    await admin.execute("insert into clock_shift (shift) values ('1 day')")
    await admin.close()
    assert await postgres_ledger.spent_today_microusd() == 0
