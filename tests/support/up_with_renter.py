"""`porchlight up` with a fourth bot: one more line of the process table."""

import asyncio
import os
import sys

from sandbox.environment import load_settings
from sandbox.table import BOT_GROUP, PROCESSES, Process
from sandbox.up import Launcher, run_until_signal

RENTER = Process(
    name="renter", module="tests.support.renter", settings="kit.bot.settings", port=0, database_group=BOT_GROUP
)


def say(line: str) -> None:
    """Print at once: the test reads along."""
    print(line, flush=True)


if __name__ == "__main__":
    processes = (*PROCESSES, RENTER)
    launcher = Launcher(load_settings(os.environ, processes), dict(os.environ), say, processes)
    sys.exit(asyncio.run(run_until_signal(launcher, say)))
