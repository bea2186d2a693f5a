"""The authored conversations through real processes, gRPC and Postgres, with no model at all."""

from pathlib import Path

import pytest

from bench.conversations.__main__ import results
from bench.conversations.check import load
from bench.conversations.play import SETTINGS
from tests.support.system import System


@pytest.mark.timeout(300)
async def test_conversations_pass_with_rules_only(store_dir: Path) -> None:
    async with System(store_dir / "conversations", SETTINGS) as system:
        found = await results(system, load())
    failed = {each.name: differs for each, differs in found if differs and not each.known_gap}
    assert failed == {}
    assert sum(not differs for _, differs in found) >= 40
