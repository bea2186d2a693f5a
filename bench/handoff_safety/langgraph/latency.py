"""Makes handoffs in LangGraph as fast as it can, on command.

Runs in its own environment: `python -m bench.handoff_safety.langgraph.latency DATABASE_URL`.
A line `{"count": 100, "in_flight": 32}` on standard input makes 100 handoffs, each on a
thread of its own, and is answered by how long each took, in seconds.
"""

import asyncio
import json
import sys
import time
import uuid
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.types import Command

from bench.handoff_safety.langgraph.graph import SYNC, build, saver, thread


async def lead(state: dict[str, Any]) -> Any:
    """Hand over at once."""
    return Command(goto="buyer", update={"owner": "buyer"})


async def buyer(state: dict[str, Any]) -> dict[str, Any]:
    """Take the person, and say nothing yet."""
    return {}


async def serve(database_url: str) -> None:
    """Answer lines until there are no more."""
    async with saver(database_url) as checkpointer:
        graph = build(checkpointer, {"lead": lead, "buyer": buyer})
        print(json.dumps("ready"), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(line)
            left = iter(range(wanted["count"]))
            seconds: list[float] = []

            async def caller(left: Any = left, seconds: list[float] = seconds) -> None:
                for _ in left:
                    said = {"messages": [HumanMessage("I want to buy a house in Ballard")]}
                    began = time.perf_counter()
                    ended = await graph.ainvoke(said, thread(uuid.uuid4().hex), **SYNC)
                    seconds.append(time.perf_counter() - began)
                    assert ended["owner"] == "buyer", ended

            await asyncio.gather(*(caller() for _ in range(wanted["in_flight"])))
            print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
