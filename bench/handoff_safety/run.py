"""Puts the probes to one system and prints what they found, as JSON: `run MODULE DATABASE_URL POSTGRES_PID [PROBE]`.

`MODULE` has `running(database_url, postgres_pid)`, which gives an adapter. It may live in
another environment than the project's.
"""

import asyncio
import importlib
import json
import sys
from dataclasses import asdict

from bench.handoff_safety.probes import run_all


async def put_probes(module: str, database_url: str, postgres_pid: int, only: str) -> str:
    """Return name, version and findings."""
    async with importlib.import_module(module).running(database_url, postgres_pid) as system:
        findings = [asdict(each) | {"outcome": each.outcome.value} for each in await run_all(system, only=only)]
        return json.dumps({"name": system.name, "version": system.version, "findings": findings})


if __name__ == "__main__":
    print(asyncio.run(put_probes(sys.argv[1], sys.argv[2], int(sys.argv[3]), *(sys.argv[4:] or [""]))))
