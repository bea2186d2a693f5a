"""The sandbox's own few statements to Postgres: is it up, and the login roles."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg

from sandbox.child import StartFailed
from sandbox.stores import secret
from sandbox.table import Process

GONE = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, TimeoutError)


async def answers(url: str) -> bool:
    """Say whether the server takes a connection now; a wrong password is an error, not a no."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except GONE:
        return False
    await connection.close()
    return True


async def server_version(url: str) -> str:
    """Return the version of a server that was given by URL, such as 18.6.

    Raises:
        StartFailed: It does not let us in.
    """
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (*GONE, asyncpg.PostgresError) as error:
        raise StartFailed(f"the server of PORCHLIGHT_DATABASE_URL does not let us in: {error}") from error
    try:
        return str(await connection.fetchval("show server_version"))
    finally:
        await connection.close()


async def ensure_database(server_url: str, name: str) -> str:
    """Create the database unless it is there, and return its URL."""
    connection = await asyncpg.connect(server_url, timeout=5)
    try:
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            await connection.execute(await connection.fetchval("select format('create database %I', $1::text)", name))
    finally:
        await connection.close()
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


async def comment_of_database(url: str) -> str | None:
    """Return the comment on the database of the URL."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        found = await connection.fetchval(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
        )
    finally:
        await connection.close()
    return None if found is None else str(found)


async def comment_on_database(url: str, comment: str) -> None:
    """Set the comment on the database of the URL."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        await connection.execute(
            await connection.fetchval(
                "select format('comment on database %I is %L', current_database(), $1::text)", comment
            )
        )
    finally:
        await connection.close()


def port_of(url: str) -> int:
    """Return the port of a URL that names one."""
    port = urlsplit(url).port
    assert port is not None, "our own URLs always name the port"
    return port


def login_url(url: str, role: str, password: str) -> str:
    """Return the URL with another login in it."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{address}").geturl()


async def login_urls(admin_url: str, state_dir: Path, processes: Iterable[Process]) -> dict[str, str]:
    """Give each process that uses the database a login of its own; return their URLs by process name."""
    urls = {}
    for process in processes:
        if process.database_group is None:
            continue
        password = secret(state_dir / "logins" / process.name)
        role = await create_login_role(admin_url, process.name, group=process.database_group, password=password)
        urls[process.name] = login_url(admin_url, role, password)
    return urls


async def create_login_role(admin_url: str, service: str, *, group: str, password: str) -> str:
    """Make or renew the role a service logs in with, and return its name.

    The name ends in `_login`, because the group roles of the migrations are named
    after services too and must stay without a login of their own.
    """
    role = f"porchlight_{service}_login"
    connection = await asyncpg.connect(admin_url, timeout=5)
    try:
        async with connection.transaction():
            # Two launchers on one server (a given URL) must not both create the role.
            await connection.execute("select pg_advisory_xact_lock(hashtext('porchlight_login_roles'))")
            known = await connection.fetchval("select 1 from pg_roles where rolname = $1", role)
            verb = "alter" if known else "create"
            # Role statements take no parameters; format() quotes for us.
            statement = await connection.fetchval(
                "select format($1::text || ' role %I login password %L', $2::text, $3::text)", verb, role, password
            )
            await connection.execute(statement)
            await connection.execute(
                await connection.fetchval("select format('grant %I to %I', $1::text, $2::text)", group, role)
            )
    finally:
        await connection.close()
    return role
