"""Fixtures every test may use, and the rule that a skipped promise is a broken one."""

import os
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import settings
from redis.asyncio import Redis
from xdist.scheduler import LoadScopeScheduling

from tests.support.stores import (
    Cluster,
    Database,
    create_database,
    drop_database,
    running_cluster,
    running_valkey,
)
from tests.support.system import System

# A run is the same again, and no slower machine fails it; `--hypothesis-profile default` searches anew.
settings.load_profile("ci")

SHARED = {"system", "system_without_model"}
SHARING = {
    "tests/docs/test_readme.py",
    *(f"tests/flow/test_{name}.py" for name in ("buyer_story", "erase", "phone_page", "seller_story", "stories")),
}
TOGETHER = dict.fromkeys(SHARING, "systems") | {"tests/flow/test_handoff_faults.py": "traps"}
"""What shares something that is started once, a file to its name."""
NEVER_SKIPPED = {"postgres", "database", "valkey", "valkey_server", "told"} | SHARED


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps tests that share a system on one worker: starting one costs more than any of them.

    By their files, as xdist's groups have no effect: they are written where pytest 9.2 no longer reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Hand out what shares a system together, and every other test by itself."""
    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no file use a shared system that would start it on the other worker as well."""
    for item in items:
        if SHARED & set(getattr(item, "fixturenames", ())) and item.nodeid.partition("::")[0] not in SHARING:
            raise pytest.UsageError(f"{item.nodeid} uses a shared system: add its file to SHARING in tests/conftest.py")


@pytest.fixture(scope="session")
def store_dir() -> Iterator[Path]:
    """State directory of this run's stores; not pytest's own, which "nobody" could not enter."""
    with tempfile.TemporaryDirectory(prefix="porchlight-test-") as path:
        yield Path(path)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty state directory that an embedded store may use, whoever it runs as."""
    with tempfile.TemporaryDirectory(prefix="porchlight-test-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres(store_dir: Path) -> Iterator[Cluster]:
    """One Postgres for the run: embedded, or the server of PORCHLIGHT_TEST_DATABASE_URL."""
    with running_cluster(store_dir, given_url=os.environ.get("PORCHLIGHT_TEST_DATABASE_URL", "")) as cluster:
        yield cluster


@pytest.fixture
async def database(postgres: Cluster) -> AsyncIterator[Database]:
    """A fresh migrated database: `.admin_url` for the owner, `.url("gateway")` for a service's role."""
    made = await create_database(postgres)
    yield made
    await drop_database(made)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(store_dir: Path) -> AsyncIterator[System]:
    """The whole of Porchlight as `make up` runs it, for the tests that do not break it."""
    # Often, for the story of a lost webhook; and late enough that no other story's webhook is slower.
    often = {"PORCHLIGHT_RECONCILE_SECONDS": "1", "PORCHLIGHT_RECONCILE_SETTLE_SECONDS": "2"}
    async with System(store_dir / "system", often) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system_without_model(store_dir: Path) -> AsyncIterator[System]:
    """The whole of Porchlight where no bot asks a model."""
    async with System(store_dir / "system_without_model", {"PORCHLIGHT_USE_MODEL": "false"}) as running:
        yield running


@pytest.fixture(params=["with the model's stand-in", "with no model"])
def told(request: pytest.FixtureRequest, system: System, system_without_model: System) -> System:
    """Both systems, one after the other: a story that must not depend on a model."""
    return system if request.param == "with the model's stand-in" else system_without_model


@pytest.fixture(scope="session")
def valkey_server(store_dir: Path) -> Iterator[str]:
    """One Valkey for the run: embedded, or the server of PORCHLIGHT_TEST_REDIS_URL."""
    with running_valkey(store_dir, given_url=os.environ.get("PORCHLIGHT_TEST_REDIS_URL", "")) as url:
        yield url


@pytest.fixture
async def valkey(valkey_server: str) -> str:
    """URL of an empty Valkey."""
    async with Redis.from_url(valkey_server) as client:
        await client.flushall()
    return valkey_server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of what must not be skipped into a failure."""
    report = yield
    guarded = NEVER_SKIPPED & set(getattr(item, "fixturenames", ())) or "flow" in item.path.parts
    if report.skipped and guarded and not hasattr(report, "wasxfail") and not item.get_closest_marker("outside"):
        report.outcome, report.longrepr = "failed", f"skipped, but never may be: {report.longreprtext}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a whole file of flow tests that skips itself."""
    report = yield
    if report.skipped and "flow" in collector.path.parts:
        report.outcome, report.longrepr = "failed", f"skipped, but never may be: {report.longreprtext}"
    return report
