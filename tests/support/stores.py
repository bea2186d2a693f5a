"""Real stores for tests: one cluster per run, a fresh migrated database per test."""

import asyncio
import secrets
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg

from migrations.run import migrate
from sandbox import postgres, roles_pg, valkey
from sandbox.table import SERVICES

T = TypeVar("T")
TEMPLATE = "porchlight_template"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running Postgres with a migrated template database and a login role per service."""

    admin_url: str = field(repr=False)
    pid: int = 0
    """Of the server that was started here; 0 for a given one."""
    logins: Mapping[str, tuple[str, str]] = field(repr=False)
    """Service name -> (role, password)."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """A fresh migrated database of one test."""

    name: str
    cluster: Cluster

    @property
    def admin_url(self) -> str:
        """URL of the owner, who may do everything, such as shifting the clock."""
        return _with(self.cluster.admin_url, database=self.name)

    def url(self, service: str) -> str:
        """URL of the role that `service` ("gateway", "lead", "handoff", "cache", ...) logs in with."""
        role, password = self.cluster.logins[service]
        return _with(self.cluster.admin_url, database=self.name, login=f"{role}:{password}")


def _with(url: str, *, database: str, login: str | None = None) -> str:
    parts = urlsplit(url)
    address = parts.netloc if login is None else f"{login}@{parts.netloc.rpartition('@')[2]}"
    return parts._replace(netloc=address, path=f"/{database}").geturl()


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of its own, outside any test's."""
    return asyncio.run(work)


@contextmanager
def running_cluster(state_dir: Path, *, given_url: str = "", durable: bool = False) -> Iterator[Cluster]:
    """Start a cluster (or take the given one) and migrate its template database."""
    server = run_now(postgres.start(state_dir, durable=durable, given_url=given_url))
    try:
        run_now(_execute(server.admin_url, f"drop database if exists {TEMPLATE}", f"create database {TEMPLATE}"))
        template = _with(server.admin_url, database=TEMPLATE)
        run_now(migrate(template))
        pid = server.child.pid if server.child else 0
        yield Cluster(admin_url=server.admin_url, pid=pid, logins=run_now(_make_logins(template)))
    finally:
        run_now(server.stop())


async def _make_logins(template_url: str) -> dict[str, tuple[str, str]]:
    logins = {}
    for process in SERVICES:
        assert process.database_group is not None
        password = secrets.token_urlsafe(16)
        role = await roles_pg.create_login_role(
            template_url, process.name, group=process.database_group, password=password
        )
        logins[process.name] = (role, password)
    return logins


async def create_database(cluster: Cluster) -> Database:
    """Copy the template: a few tens of milliseconds, whatever the migrations cost."""
    name = f"test_{secrets.token_hex(6)}"
    # A third of the work, on a server of ours, which syncs nothing; a given one would wait for its disk.
    strategy = "file_copy" if cluster.pid else "wal_log"
    await _execute(cluster.admin_url, f"create database {name} template {TEMPLATE} strategy {strategy}")
    return Database(name=name, cluster=cluster)


async def drop_database(database: Database) -> None:
    """Drop a test's database, whoever is still connected."""
    await _execute(database.cluster.admin_url, f"drop database {database.name} with (force)")


@contextmanager
def running_valkey(state_dir: Path, *, given_url: str = "") -> Iterator[str]:
    """Start Valkey (or take the given one) and give its URL."""
    server = run_now(valkey.start(state_dir, given_url=given_url))
    try:
        yield server.url
    finally:
        run_now(server.stop())


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
