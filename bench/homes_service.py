"""The cache's own parts around a Claude that knows what the annotators said, for one run through the dialogues."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bench.homes import Turn
from bench.homes_cost import Asked
from services.cache import metrics
from services.cache.analyze import VARIABLES, Analyses, Utterance
from services.cache.canonical import schema_hash
from services.cache.complete import Completions, Wanted
from services.cache.entry import Entry
from services.cache.labels import LabelWriter, MemoryLabelStore
from services.cache.lease import Turns
from services.cache.limits import Priority
from services.cache.pricing import Tokens
from services.cache.prompts import Prompt
from services.cache.student import NoStudent
from services.cache.student_model import Encode, Example, Learned, Vectors, learn
from services.cache.student_taught import TaughtStudent
from services.cache.tier_memory import MemoryTier
from services.cache.tiers import Tiers
from services.cache.upstream import Call, Written

TENANT: Final = "homes"
LOOK_EVERY: Final = 10
"""Turns after which the student looks for new labels: five turns come in a minute, it looks every ten seconds."""
_EPOCH: Final = datetime(2026, 11, 27, tzinfo=UTC)


def prompts(turns: Sequence[Turn]) -> tuple[Prompt, Prompt]:
    """Return the prompts of the two calls: a closed analysis, and a plan of our next acts."""
    analysis = {
        "type": "object",
        "additionalProperties": False,
        "required": ["intent", "acts"],
        "properties": {
            "intent": {"enum": sorted({each.intent for each in turns})},
            "acts": {"type": "array", "items": {"enum": sorted({act for each in turns for act in each.acts})}},
        },
    }
    common: dict[str, Any] = {"version": 1, "max_tokens": 500, "effort": "low", "scope": "tenant", "system": ""}
    return (
        Prompt(
            name="homes.analyze",
            model="claude-haiku-5-5",
            schema=analysis,
            schema_hash=schema_hash(analysis),
            user="{asked}{known}{turn}{messages}",
            variables=VARIABLES,
            **common,
        ),
        Prompt(
            name="homes.plan",
            model="claude-sonnet-5-5",
            schema=None,
            schema_hash="",
            user="{asked}{analysis}{filled}{outcome}",
            variables=frozenset({"asked", "analysis", "filled", "outcome"}),
            **common,
        ),
    )


def student_label(label: str) -> str:
    """Return the student's label for a turn's: the analysis it stands for."""
    intent, *acts = label.split("|")
    return json.dumps({"acts": acts, "intent": intent}, separators=(",", ":"))


@dataclass
class Tally:
    """What became of turns."""

    turns: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    """Analyses by where they came from."""
    wrong: Counter[str] = field(default_factory=Counter)
    plans: int = 0
    plan_hits: int = 0
    plans_differ: int = 0
    """Of the hits, those where our side did something else in this dialogue."""
    calls: list[Asked] = field(default_factory=list)

    @property
    def hits(self) -> int:
        """Analyses for which nobody waited for Claude."""
        return self.turns - self.tiers["UPSTREAM"]

    @property
    def wrong_hits(self) -> int:
        """Those of them that the annotators disagree with."""
        return sum(count for tier, count in self.wrong.items() if tier != "UPSTREAM")

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.turns + other.turns,
            self.tiers + other.tiers,
            self.wrong + other.wrong,
            self.plans + other.plans,
            self.plan_hits + other.plan_hits,
            self.plans_differ + other.plans_differ,
            self.calls + other.calls,
        )


class _Gold:
    """Answers as the annotators did."""

    def __init__(self) -> None:
        self.turn: Turn | None = None
        self.at = 0.0
        self.calls: list[Asked] = []

    async def ask(self, call: Call, seconds_left: Callable[[], float]) -> Written:
        """Answer one of the two prompts."""
        assert self.turn is not None
        is_plan = call.prompt_version.startswith("homes.plan")
        kind = "reply" if is_plan else "audit" if call.priority is Priority.AUDIT else "analysis"
        self.calls.append(Asked(self.at, kind))
        said = self.turn.plan or "-" if is_plan else json.dumps({"intent": self.turn.intent, "acts": self.turn.acts})
        return Written(content=said, tokens=Tokens(input=1, output=1), cost_microusd=1, model=call.question.model)


class _Encoder:
    def __init__(self, encode: Encode) -> None:
        self._encode = encode

    async def encode(self, text: str) -> Vectors | None:
        """Return a text's vector."""
        return self._encode([text])[0]


class Service:
    """Analyses and plans replies with everything that the cache service does but the network.

    Args:
        turns: All that will come; what they may say makes the prompts.
        encode: The encoder of the quality tier; None for the light tier.
        learned: What the student will have learned, whatever its labels say; None to let it learn.
        seed: Of what it leaves to chance.
    """

    def __init__(
        self, turns: Sequence[Turn], *, encode: Encode | None = None, learned: Learned | None = None, seed: int
    ) -> None:
        luck = random.Random(seed).random
        self._analysis, self._plan = prompts(turns)
        self._gold = _Gold()
        near: MemoryTier[Entry] = MemoryTier(64 * 1024 * 1024)
        tiers = Tiers(near, None, clock=lambda: _EPOCH + timedelta(seconds=self._gold.at), luck=luck)
        self._completions = Completions(
            tiers,
            self._gold,  # type: ignore[arg-type]
            total_seconds=12.0,
            turns=Turns(None),
        )
        self.labels = MemoryLabelStore()
        self._writer = LabelWriter(self.labels)

        async def train(examples: Sequence[Example], *, target: float, quality: bool) -> Learned | None:
            return learned or learn(examples, target=target, encode=encode)

        self._taught = TaughtStudent(self.labels, train=train, encoder=None if encode is None else _Encoder(encode))
        self._analyses = {
            True: Analyses(self._completions, self._taught, self._writer),
            False: Analyses(self._completions, NoStudent(), self._writer),
        }
        self._served = 0

    @property
    def stops(self) -> int:
        """How often a student of these prompts was made to keep quiet, by any service of this process."""
        return int(metrics.STUDENT_STOPPED.labels(self._analysis.prompt_version)._value.get())

    async def learn(self) -> None:
        """Let the student look for labels, and learn if it is time."""
        await self._writer.write()
        await self._taught.learn()

    async def prime(self, turns: Sequence[Turn]) -> None:
        """Serve turns of yesterday, by Claude and from memory alone, and let the student learn from them."""
        for number, turn in enumerate(turns):
            await self.serve(0.0, f"y{number}", turn, Tally(), student=False, learning=False)
        asked = turns[0]
        # From its first question on a student knows whose labels to read.
        await self._taught.guess(
            self._analysis.prompt_version, self._analysis.schema or {}, asked.state, asked.masked, tenant_id=TENANT
        )
        await self.learn()

    async def serve(
        self, at: float, contact_id: str, turn: Turn, tally: Tally, *, student: bool = True, learning: bool = True
    ) -> None:
        """Serve one turn."""
        self._gold.turn, self._gold.at, self._gold.calls = turn, at, tally.calls
        analysed = await self._analyses[student].analyse(
            Utterance(
                tenant_id=TENANT,
                contact_id=contact_id,
                prompt="homes.analyze",
                label="production",
                texts=(turn.text,),
                state=turn.state,
                own=(),
            ),
            self._analysis,
            request_id="",
            seconds=None,
        )
        await asyncio.sleep(0)  # an audit, if there is one; nothing in it waits
        said, tier = json.loads(analysed.answered.content), analysed.answered.tier
        tally.turns += 1
        tally.tiers[tier] += 1
        tally.wrong[tier] += "|".join((said["intent"], *said["acts"])) != turn.label
        if turn.plan:
            await self._reply(contact_id, turn, student_label("|".join((said["intent"], *said["acts"]))), tally)
        self._served += 1
        if learning and self._served % LOOK_EVERY == 0:
            await self.learn()

    async def _reply(self, contact_id: str, turn: Turn, analysis: str, tally: Tally) -> None:
        wanted = Wanted(
            tenant_id=TENANT,
            contact_id=contact_id,
            prompt="homes.plan",
            label="production",
            variables={
                "asked": turn.state.asked,
                "analysis": analysis,
                "filled": ",".join(turn.filled),
                "outcome": turn.outcome,
            },
        )
        answered = await self._completions.answer(wanted, self._plan, request_id="", seconds=None)
        tally.plans += 1
        if answered.tier != "UPSTREAM":
            tally.plan_hits += 1
            tally.plans_differ += answered.content != turn.plan
