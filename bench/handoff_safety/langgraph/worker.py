"""A process of its own that runs the graph, so that it can be killed: `worker WHAT DATABASE_URL THREAD...`.

hang  the target begins its step, says so, and never ends it
take  every thread is handed over; the target says which thread it took
die   every thread is answered; the process is killed right after the third reply has gone out
live  what `die` left unfinished is run on, as the documentation says; what it never began is run

A reply that goes out, and a thread that is taken, is a line on standard output.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from bench.handoff_safety.langgraph.graph import SYNC, build, saver, thread

sent = 0


def say(words: str) -> None:
    """Let something be seen outside at once."""
    os.write(1, json.dumps(words).encode() + b"\n")


async def hand_over(state: Mapping[str, Any]) -> Any:
    """Hand over to the buyer agent."""
    return Command(goto="buyer", update={"owner": "buyer"})


async def hang(state: Mapping[str, Any]) -> Any:
    """Begin, and never end."""
    say("begun")
    await asyncio.Event().wait()


async def take(state: Mapping[str, Any], config: RunnableConfig) -> Any:
    """Take the person."""
    say(config["configurable"]["thread_id"])
    return {}


async def reply(state: Mapping[str, Any], config: RunnableConfig) -> Any:
    """Send a reply, and keep it."""
    global sent  # noqa: PLW0603 - the process is the scope that is killed
    say(config["configurable"]["thread_id"])
    sent += 1
    if sent == 3 and sys.argv[1] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"messages": [AIMessage("here you are")]}


async def run(what: str, database_url: str, threads: Sequence[str]) -> None:
    """Do what is wanted with every thread."""
    lead, buyer = {"hang": (hand_over, hang), "take": (hand_over, take)}.get(what, (reply, take))
    async with saver(database_url) as checkpointer:
        graph = build(checkpointer, {"lead": lead, "buyer": buyer})
        for name in threads:
            state = await graph.aget_state(thread(name))
            if state.values and not state.next:
                continue
            said = None if state.next else {"messages": [HumanMessage("hello")]}
            await graph.ainvoke(said, thread(name), **SYNC)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
