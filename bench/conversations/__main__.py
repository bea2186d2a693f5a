"""Plays the authored conversations against the whole system, rules only, and says which ones pass.

    python -m bench.conversations [words of a name ...]

Exit code 1 when one fails that is not listed as a known gap.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.conversations.check import Conversation, differences, load
from bench.conversations.play import SETTINGS, play
from tests.support.system import System

AT_ONCE = 4


async def results(system: System, conversations: Sequence[Conversation]) -> list[tuple[Conversation, tuple[str, ...]]]:
    """Play all, a few at a time, and return what differs for each."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, each: Conversation) -> tuple[Conversation, tuple[str, ...]]:
        async with free:
            played = await play(system, each, phone=f"(206) 555-{number:04d}")
            return each, differences(each, played)

    return list(await asyncio.gather(*(one(number, each) for number, each in enumerate(conversations, 2000))))


async def main(words: Sequence[str]) -> int:
    """Play the conversations whose names hold all `words`, print a line for each, return the exit code."""
    chosen = [each for each in load() if all(word in each.name for word in words)]
    # Not pytest's kind of directory: an embedded Postgres started by root runs as "nobody".
    with tempfile.TemporaryDirectory(prefix="porchlight-conversations-") as path:
        async with System(Path(path) / "state", SETTINGS) as system:
            found = await results(system, chosen)
    for each, differs in found:
        mark = "ok  " if not differs else "gap " if each.known_gap else "FAIL"
        print(mark, each.name, f"({each.known_gap})" if each.known_gap else "")
        for line in differs:
            print("       ", line)
    passed = sum(not differs for _, differs in found)
    gaps = sum(bool(differs and each.known_gap) for each, differs in found)
    print(f"{passed} of {len(found)} pass, {gaps} known gaps, rules only")
    return int(passed + gaps < len(found))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
