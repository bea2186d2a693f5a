"""Write what waits, behind the backs of those who wait for no writing."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

RETRY_SECONDS: Final = 1.0
"""How long a store that did not take everything is left alone."""


async def write_behind(write: Callable[[], Awaitable[bool]], wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Write whenever something was added, until `stop`.

    Args:
        write: Brings everything that waits to its store; False when something still waits.
        wake: Set by whoever adds something.
        stop: Ends it; what waits then is the caller's to write once more.
    """
    while not stop.is_set():
        wake.clear()
        done = await write()
        stopping = asyncio.ensure_future(stop.wait())
        waking = asyncio.ensure_future(wake.wait() if done else asyncio.sleep(RETRY_SECONDS))
        try:
            await asyncio.wait({stopping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            waking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waking
