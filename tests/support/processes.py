"""Processes that a test started itself."""

import asyncio


async def let_go(process: asyncio.subprocess.Process) -> None:
    """Wait until a process has ended and close its pipes.

    Its end may be told before the end of what it wrote, and the loop of the test is
    closed right after: a pipe that nobody read to its end would stay open, and some
    later test would be blamed for it.
    """
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]
