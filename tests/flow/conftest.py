"""One running system for the stories that do not break it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.support.system import System


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def system(tmp_path_factory) -> AsyncIterator[System]:  # type: ignore[no-untyped-def]
    """Porchlight as `make up` runs it, on free ports."""
    state_dir: Path = tmp_path_factory.mktemp("system") / "state"
    async with System(state_dir) as running:
        yield running
