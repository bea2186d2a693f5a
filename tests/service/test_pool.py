"""The bounded way to Postgres, on a real one."""

import asyncio

import asyncpg
import pytest

from kit.errors import StoreUnavailable
from kit.pg import pool as pools
from sandbox.child import free_port
from tests.support.look import until


@pytest.fixture
async def pool(database):
    opened = await pools.open_pool(database.admin_url, name="test", size=2)
    yield opened
    await opened.close()


async def test_ping_answers_while_postgres_does(pool):
    await pools.ping(pool)


async def test_names_are_found_in_our_schema_first(pool):
    assert (await pool.fetchval("SHOW search_path")).replace(" ", "") == "porchlight,public"


async def test_the_application_name_says_who_is_connected(pool):
    assert await pool.fetchval("SHOW application_name") == "porchlight-test"


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, [], "text", 7, None, {"ü": "👋🏽"}])
async def test_jsonb_goes_in_and_out_as_values(value, pool):
    assert await pool.fetchval("SELECT $1::jsonb", value) == value


async def test_a_transaction_that_fails_leaves_nothing(pool):
    await pool.execute("CREATE TABLE public.tried (n int)")
    with pytest.raises(LookupError):
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO public.tried VALUES (1)")
            raise LookupError
    assert await pool.fetchval("SELECT count(*) FROM public.tried") == 0


async def test_a_connection_given_back_inside_a_transaction_is_rolled_back(pool):
    await pool.execute("CREATE TABLE public.tried (n int)")
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO public.tried VALUES (1)")
    assert await pool.fetchval("SELECT count(*) FROM public.tried") == 0


async def test_a_pool_opens_while_postgres_is_away_and_says_so_when_asked():
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    pool = await pools.open_pool(url, name="test")
    with pytest.raises(StoreUnavailable) as caught:
        await pools.ping(pool)
    assert caught.value.metadata == {"store": "postgres"}
    await pool.close()


async def test_a_pool_without_a_free_connection_is_unavailable_soon(pool):
    async with pool.acquire(), pool.acquire():
        with pytest.raises(StoreUnavailable):
            await pool.fetchval("SELECT 1")


async def test_the_same_connection_is_lent_again_until_it_was_idle_for_too_long(pool, monkeypatch):
    first = await pool.fetchval("SELECT pg_backend_pid()")
    assert await pool.fetchval("SELECT pg_backend_pid()") == first
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.0)
    assert await pool.fetchval("SELECT pg_backend_pid()") != first


async def test_a_connection_that_is_cut_is_unavailable_and_the_next_one_works(pool):
    with pytest.raises(StoreUnavailable):
        await pool.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
    await pools.ping(pool)


async def test_connections_that_were_lost_while_idle_are_passed_over(pool, database):
    async with pool.acquire() as one, pool.acquire() as other:
        pids = [each.get_server_pid() for each in (one, other)]
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", pids)
    await admin.close()
    await until(lambda: all(one._con is None for one, _ in pool._idle))
    await pools.ping(pool)
    assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(4))) == list(range(4))


async def test_a_statement_that_takes_too_long_is_unavailable(pool):
    with pytest.raises(StoreUnavailable):
        await pool.execute("SELECT pg_sleep(60)")


async def test_a_lock_that_nobody_releases_is_unavailable(pool):
    async with pool.transaction() as holder:
        await holder.execute("SELECT pg_advisory_xact_lock(7)")
        with pytest.raises(StoreUnavailable):
            await pool.execute("SELECT pg_advisory_xact_lock(7)")


@pytest.mark.parametrize(
    ("sql", "arguments", "mistake"),
    [
        ("SELECT $1::int", ("x",), asyncpg.DataError),
        ("SELECT $1::int", (), asyncpg.InterfaceError),
        ("SELECT nothing FROM nowhere", (), asyncpg.UndefinedTableError),
        ("SELECT $1::text", ("a\x00",), asyncpg.CharacterNotInRepertoireError),
    ],
)
async def test_our_own_mistakes_are_not_called_a_lost_store(sql, arguments, mistake, pool):
    with pytest.raises(mistake):
        await pool.fetchval(sql, *arguments)


async def test_a_cancelled_call_gives_its_connection_back_unharmed(pool):
    for number in range(20):
        call = asyncio.create_task(pool.fetchval("SELECT pg_sleep(0.05), 7"))
        await asyncio.sleep(0.001 * number)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert await asyncio.gather(*(pool.fetchval("SELECT $1::int", n) for n in range(8))) == list(range(8))
