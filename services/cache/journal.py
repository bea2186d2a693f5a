"""The last answers and why they were given, and sums over all: a port, its twin in memory, and who brings answers there.

A hit is worth no commit of its own (docs/adr/0046), so answers go to the store some
at a time, behind the callers' backs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, Protocol

import orjson

from kit.errors import StoreUnavailable
from services.cache import metrics
from services.cache.behind import Writer
from services.cache.labels import FEEDBACK, Label, MemoryLabelStore

MOST_KEPT: Final = 100_000
"""Answers in the store, for 30 days; older ones are counted and not explained."""
MOST_WAITING: Final = 5_000
MOST_AT_ONCE: Final = 200
GATHER_SECONDS: Final = 0.25
"""How long answers wait for others to be written with."""

RIGHT: Final = "right"
WRONG: Final = "wrong"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerRow:
    """One answer that was given. Counts, codes and what may be told; never a word of a person's."""

    answer_id: str
    tenant_id: str
    key_id: str
    prompt_version: str
    tier: str
    model: str
    score: float
    age_seconds: float
    cost_microusd: int
    saved_microusd: int
    fallback: bool
    basis: str
    """What the key was made of, as JSON."""
    analysis: str
    """What was answered, where it is an analysis that contacts share; "" otherwise."""
    request_id: str
    given_at: float
    """On the clock of the process that gave it."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What became of a person's word."""

    key_id: str
    changed: bool
    """Whether it was news."""


@dataclass(frozen=True, kw_only=True)
class TierSum:
    """Answers of a prompt version from a tier."""

    prompt_version: str
    tier: str
    answers: int = 0
    saved_microusd: int = 0
    said_right: int = 0
    said_wrong: int = 0
    audits: int = 0
    audits_wrong: int = 0


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What the last hours came to."""

    start_time: str
    """From when on is counted, ISO 8601."""
    tiers: Sequence[TierSum]
    upstream_calls: int
    cost_microusd: int


class Journal(Protocol):
    """Where answers are kept, for all processes. Everything raises StoreUnavailable when it does not answer."""

    async def record(self, rows: Sequence[AnswerRow], *, now: float) -> None:
        """Keep answers and count them; those that are known already change nothing.

        Args:
            rows: At most some hundreds.
            now: The time on the clock of `given_at`.
        """

    async def explain(self, tenant_id: str, answer_id: str) -> dict[str, Any] | None:
        """Return an answer's row with `answer_time`, `verdict`, `verdict_by`, `call` and `labels`; None if unknown."""

    async def judge(self, tenant_id: str, answer_id: str, verdict: str, by: str) -> Judged | None:
        """Keep what a person says of an answer, count it, and make it a label where contacts share the analysis."""

    async def sums(self, tenant_id: str, prompt: str, *, hours: int) -> Sums:
        """Return sums over the last hours and the one that runs; an empty tenant or prompt means all."""


@dataclass
class MemoryJournal:
    """Keeps answers in a dict; `lost` makes it unavailable. Knows nothing of calls to Claude."""

    labels: MemoryLabelStore
    kept: dict[str, AnswerRow] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, str]] = field(default_factory=dict)
    lost: bool = False

    async def record(self, rows: Sequence[AnswerRow], *, now: float) -> None:
        """Keep answers."""
        self._answer()
        for row in rows:
            self.kept.setdefault(row.answer_id, row)

    async def explain(self, tenant_id: str, answer_id: str) -> dict[str, Any] | None:
        """Return an answer's row."""
        row = self._find(tenant_id, answer_id)
        if row is None:
            return None
        verdict, by = self.verdicts.get(answer_id, ("", ""))
        said = [
            {"source": each.label.source, "times": each.times, "wrong_times": each.wrong_times}
            for each in await self.labels.of_key(tenant_id, row.key_id)
        ]
        return as_json(row) | {
            "verdict": verdict,
            "verdict_by": by,
            "call": None,
            "labels": sorted(said, key=lambda each: str(each["source"])),
            "answer_time": "1970-01-01T00:00:00+00:00",
        }

    async def judge(self, tenant_id: str, answer_id: str, verdict: str, by: str) -> Judged | None:
        """Keep what a person says."""
        row = self._find(tenant_id, answer_id)
        if row is None:
            return None
        changed = self.verdicts.get(answer_id, ("", ""))[0] != verdict
        if changed:
            self.verdicts[answer_id] = (verdict, by)
            if row.analysis:
                await self.labels.record(_label(row, wrong=verdict == WRONG))
        return Judged(key_id=row.key_id, changed=changed)

    async def sums(self, tenant_id: str, prompt: str, *, hours: int) -> Sums:
        """Return sums; nothing in memory is older than an hour."""
        self._answer()

        def name(row: AnswerRow) -> tuple[str, str]:
            return row.prompt_version, row.tier

        rows = [
            row
            for row in self.kept.values()
            if tenant_id in ("", row.tenant_id) and prompt in ("", row.prompt_version.split("@")[0])
        ]
        tiers = [
            self._sum(version, tier, list(each)) for (version, tier), each in groupby(sorted(rows, key=name), name)
        ]
        return Sums(start_time="1970-01-01T00:00:00+00:00", tiers=tiers, upstream_calls=0, cost_microusd=0)

    def _sum(self, version: str, tier: str, rows: Sequence[AnswerRow]) -> TierSum:
        said = [self.verdicts.get(row.answer_id, ("", ""))[0] for row in rows]
        return TierSum(
            prompt_version=version,
            tier=tier,
            answers=len(rows),
            saved_microusd=sum(row.saved_microusd for row in rows),
            said_right=said.count(RIGHT),
            said_wrong=said.count(WRONG),
        )

    def _find(self, tenant_id: str, answer_id: str) -> AnswerRow | None:
        self._answer()
        row = self.kept.get(answer_id)
        return row if row is not None and row.tenant_id == tenant_id else None

    def _answer(self) -> None:
        if self.lost:
            raise StoreUnavailable("the journal does not answer", store="memory")


def as_json(row: AnswerRow, read: Callable[[str], Any] = orjson.loads) -> dict[str, Any]:
    """Return a row's fields, those that hold JSON as what `read` makes of them."""
    values = {name: getattr(row, name) for name in AnswerRow.__slots__ if name != "given_at"}
    return values | {"basis": read(row.basis), "analysis": read(row.analysis) if row.analysis else None}


def _label(row: AnswerRow, *, wrong: bool) -> Label:
    basis = orjson.loads(row.basis)
    prompt, _, version = row.prompt_version.partition("@")
    return Label(
        tenant_id=row.tenant_id,
        prompt=prompt,
        prompt_version=int(version),
        schema_hash=basis["schema_hash"],
        state=basis["state"],
        masked=basis["masked"],
        analysis=orjson.loads(row.analysis),
        source=FEEDBACK,
        key_id=row.key_id,
        wrong=wrong,
    )


class JournalWriter(Writer[AnswerRow]):
    """Brings answers to the journal."""

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            "journal", metrics.ANSWERS_LOST, most=MOST_WAITING, at_once=MOST_AT_ONCE, gather_seconds=GATHER_SECONDS
        )
        self._journal = journal
        self._clock = clock

    @property
    def now(self) -> float:
        """The clock of `AnswerRow.given_at`."""
        return self._clock()

    async def record(self, some: Sequence[AnswerRow]) -> None:
        """Keep answers."""
        await self._journal.record(some, now=self._clock())
