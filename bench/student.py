"""The student on the wire: cache processes that learned from property dialogues, and what they answer of other dialogues.

The labels are the annotators', of the dialogues that `bench/homes.py` reads; Claude says
what the annotators say, so checks of the student's answers find out what is true.
"""

import asyncio
import itertools
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import orjson
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub

from bench import homes
from bench.caches import Stores
from bench.homes import Turn
from bench.measure import NOT_COUNTED
from kit.pg.pool import open_pool
from kit.prompt_file import PromptFile, fill, render
from kit.rpc.client import call
from migrations.prompts import load_prompts
from services.cache.canonical import State
from services.cache.labels import UPSTREAM, Label
from services.cache.labels_pg import PgLabelStore
from tests.support.claude_script import message

SEED: Final = 1127
DIALOGUES: Final = 500
"""It learns from these; it is asked about the others."""
MOST_TRIED: Final = 1_500
QUESTIONS: Final = 600
TEACH_SECONDS: Final = 600.0
NAME: Final = "homes.analyze"
USER: Final = "<asked>{asked}</asked><known>{known}</known><turn>{turn}</turn>\n<messages>\n{messages}\n</messages>"

Question = tuple[pb.AnalyzeRequest, str]
"""What is asked, and the true answer."""


def is_there() -> bool:
    """Say whether the dialogues are on this machine."""
    return homes.DATA.exists()


async def prepare(stores: Stores) -> list[Question]:
    """Store the prompt and the labels, let Claude know the truth of every turn, and return turns nobody learned from."""
    dialogues = homes.read()
    random.Random(SEED).shuffle(dialogues)
    known, other = (
        [turn for each in part for turn in each.turns] for part in (dialogues[:DIALOGUES], dialogues[DIALOGUES:])
    )
    prompt = _prompt([*known, *other])
    (stores.folder / "services" / "lead" / "prompts" / "homes.md").write_text(render(prompt))
    await load_prompts(stores.database.admin_url, stores.folder)
    pool = await open_pool(stores.database.url("cache"), name="bench")
    try:
        store = PgLabelStore(pool)
        for number, turn in enumerate(known):
            await store.record(_label(turn, number))
    finally:
        await pool.close()
    said = {
        fill(USER, {**_state(each).variables(), "messages": each.masked}): _truth(each) for each in (*known, *other)
    }
    usual = stores.claude.body

    async def say() -> None:
        asked = str(stores.claude.requests[-1]["messages"][0]["content"])  # LiteLLM sends a list of blocks
        stores.claude.body = message(said[asked]) if asked in said else usual

    stores.claude.wait = say
    return [(_question(turn), _truth(turn)) for turn in other[:MOST_TRIED]]


async def hits(
    stores: Stores, stub: CacheServiceStub, questions: Sequence[Question]
) -> Callable[[], Awaitable[object]]:
    """Wait until a process has learned, and return a call about what its student answers, and rightly.

    What was asked of Claude to check an answer is stored, so that the same question is
    no student's hit any more; such a call does not count.
    """
    taught = _times_taught(stores)
    await call(stub.Analyze, questions[0][0], seconds=10)  # from its first question on it knows whose labels to read
    async with asyncio.timeout(TEACH_SECONDS):
        while _times_taught(stores) == taught:  # noqa: ASYNC110 - only its log tells
            await asyncio.sleep(0.5)
    kept: list[pb.AnalyzeRequest] = []
    for request, truth in questions[1:]:
        answer = await call(stub.Analyze, request, seconds=10)
        if answer.tier == pb.TIER_STUDENT and orjson.loads(answer.analysis) == orjson.loads(truth):
            kept.append(request)
        if len(kept) == QUESTIONS:
            break
    assert len(kept) > QUESTIONS / 4, "the student hardly answers"
    again = itertools.cycle(kept)

    async def ask() -> object:
        tier = (await call(stub.Analyze, next(again), seconds=10)).tier
        return tier if tier == pb.TIER_STUDENT else NOT_COUNTED

    return ask


def _times_taught(stores: Stores) -> int:
    return sum(log.read_bytes().count(b'"student.taught"') for log in stores.folder.glob("cache-*.log"))


def _prompt(turns: Sequence[Turn]) -> PromptFile:
    acts = {"type": "string", "enum": sorted({act for each in turns for act in each.acts})}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["acts", "intent"],
        "properties": {
            "acts": {"type": "array", "items": acts},
            "intent": {"type": "string", "enum": sorted({each.intent for each in turns})},
        },
    }
    return PromptFile(
        name=NAME,
        model="claude-haiku-5-5",
        max_tokens=500,
        effort="low",
        scope="tenant",
        schema=schema,
        system="You say what a masked text means.",
        user=USER,
    )


def _truth(turn: Turn) -> str:
    return orjson.dumps({"acts": turn.acts, "intent": turn.intent}).decode()


def _state(turn: Turn) -> State:
    """Name the state as callers may: in small letters, digits and _."""

    def plain(name: str) -> str:
        return re.sub(r"[^a-z0-9]+", "_", name.lower())[:64]

    return State(
        asked=plain(turn.state.asked), known={name: plain(choice) for name, choice in turn.state.known.items()}
    )


def _label(turn: Turn, number: int) -> Label:
    state = _state(turn)
    return Label(
        tenant_id="loc_1",
        prompt=NAME,
        prompt_version=1,
        schema_hash="0" * 32,
        state={"asked": state.asked, "known": dict(state.known), "opening": False},
        masked=turn.masked,
        analysis=orjson.loads(_truth(turn)),
        source=UPSTREAM,
        key_id=f"{number:032x}",
    )


def _question(turn: Turn) -> pb.AnalyzeRequest:
    state = _state(turn)
    return pb.AnalyzeRequest(
        tenant_id="loc_1",
        contact_id="c_bench",
        prompt=NAME,
        texts=[turn.text],
        state=pb.DialogueState(asked=state.asked, known=state.known),
    )
