"""The embedded stores: what survives a restart, a kill and a stranger's pid."""

import os
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from sandbox import postgres as pg_store
from sandbox import valkey as valkey_store
from sandbox.child import StartFailed
from sandbox.roles_pg import create_login_role, login_url
from tests.support.stores import Database


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_second_start_finds_the_data_of_the_first(state_dir: Path) -> None:
    first = await pg_store.start(state_dir)
    await ask(first.admin_url, "create table kept as select 7 as n")
    await first.stop()
    second = await pg_store.start(state_dir)
    try:
        assert await ask(second.admin_url, "select n from kept") == 7
    finally:
        await second.stop()


async def test_commit_survives_sigkill_and_a_stale_pid_file(state_dir: Path) -> None:
    first = await pg_store.start(state_dir)
    assert first.child is not None and first.lock is not None
    await ask(first.admin_url, "create table kept as select 7 as n")
    first.child.kill()
    await first.child.wait()
    first.lock.close()
    # Our own pid: alive, and no Postgres. A pid used again must not block the start.
    (state_dir / "postgres/data/postmaster.pid").write_text(f"{os.getpid()}\n")
    second = await pg_store.start(state_dir)
    try:
        assert await ask(second.admin_url, "select n from kept") == 7
    finally:
        await second.stop()


async def test_start_ends_the_servers_a_killed_launcher_left_behind(state_dir: Path) -> None:
    left_pg, left_valkey = await pg_store.start(state_dir), await valkey_store.start(state_dir)
    assert left_pg.child and left_pg.lock and left_valkey.child and left_valkey.lock
    left_pg.lock.close()  # what the kernel does for a killed launcher
    left_valkey.lock.close()
    await (await pg_store.start(state_dir)).stop()
    await (await valkey_store.start(state_dir)).stop()
    assert not left_pg.child.running and not left_valkey.child.running


async def test_directory_in_use_is_refused(state_dir: Path) -> None:
    first = await pg_store.start(state_dir)
    try:
        with pytest.raises(StartFailed, match="in use"):
            await pg_store.start(state_dir)
    finally:
        await first.stop()


async def test_embedded_postgres_has_passwords_checksums_and_order_by_code_point(state_dir: Path) -> None:
    server = await pg_store.start(state_dir)
    try:
        assert await ask(server.admin_url, "show data_checksums") == "on"
        assert await ask(server.admin_url, "select 'Z' < 'a'") is True
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(login_url(server.admin_url, "porchlight_owner", "wrong"), "select 1")
    finally:
        await server.stop()


async def test_embedded_valkey_refuses_a_caller_without_password(state_dir: Path) -> None:
    server = await valkey_store.start(state_dir)
    try:
        async with Redis.from_url("redis://" + server.url.rpartition("@")[2]) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.get("k")
    finally:
        await server.stop()


async def test_secrets_are_readable_by_their_owner_alone(state_dir: Path) -> None:
    server = await valkey_store.start(state_dir)
    await server.stop()
    for name in ("valkey.password", "valkey/valkey.conf"):
        assert (state_dir / name).stat().st_mode & 0o077 == 0


async def test_login_role_made_again_has_the_new_password_only(database: Database) -> None:
    admin = database.admin_url
    await ask(admin, "create role test_group nologin")
    old = await create_login_role(admin, "test", group="test_group", password="old")
    new = await create_login_role(admin, "test", group="test_group", password="it's new")
    try:
        assert old == new
        assert await ask(login_url(admin, new, "it's new"), "select pg_has_role('test_group', 'member')")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(login_url(admin, new, "old"), "select 1")
    finally:
        await ask(admin, f"drop role {new}")
        await ask(admin, "drop role test_group")


async def test_statement_that_fails_leaves_no_value_in_the_log(state_dir: Path) -> None:
    server = await pg_store.start(state_dir)
    try:
        await ask(server.admin_url, "create table person (phone text primary key)")
        await ask(server.admin_url, "insert into person values ('+15550100')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await ask(server.admin_url, "insert into person values ('+15550100')")
    finally:
        await server.stop()
    log = (state_dir / "logs/postgres.log").read_text()
    assert "duplicate key" in log and "+15550100" not in log
