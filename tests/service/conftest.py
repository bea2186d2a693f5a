"""A Claude that is told what to say, and cache services that ask it one prompt for analyses."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from migrations.prompts import load_prompts
from tests.support.analyses import PROMPT, analysis
from tests.support.claude_script import ScriptedClaude, message, scripted_claude

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.caches import Caches
    from tests.support.stores import Database


@pytest.fixture
async def claude() -> AsyncIterator[ScriptedClaude]:
    """A Claude that gives a good analysis until told otherwise."""
    async with scripted_claude() as scripted:
        scripted.body = message(analysis())
        yield scripted


@pytest.fixture
async def caches(database: Database, tmp_path: Path) -> AsyncIterator[Caches]:
    """Starts as many cache services as a test wants, in this process."""
    # With anthropic, which takes seconds: not for whoever runs another file.
    from tests.support.caches import Caches

    folder = tmp_path / "services" / "lead" / "prompts"
    folder.mkdir(parents=True)
    (folder / "extract.md").write_text(PROMPT)
    await load_prompts(database.admin_url, tmp_path)
    async with AsyncExitStack() as stack:
        yield Caches(stack, tmp_path, database.url("cache"))
