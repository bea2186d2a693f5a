"""A process that serves health, ignores every polite signal and has a child that does too."""

import asyncio
import signal
import subprocess
import sys

from tests.support.fake_service import serve


async def _hang() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    grandchild = subprocess.Popen([sys.executable, "-c", deaf])
    sys.stdout.write(f"grandchild {grandchild.pid}\n")
    sys.stdout.flush()
    served = asyncio.create_task(serve())
    await asyncio.sleep(0)
    await served
    await asyncio.Event().wait()  # asked to stop; will not


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_hang())
