"""The rest of a worker between two rounds of its loop."""

import asyncio
import contextlib


async def rest(stopping: asyncio.Event, seconds: float) -> None:
    """Return after so many seconds, and at once when the process stops."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
