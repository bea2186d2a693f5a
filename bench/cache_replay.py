"""Replays property dialogues through the cache, two calls a turn, beside what other caches do with them.

    python -m bench.cache_replay [--dialogues 960] [--tiers light minilm] [--seed 1] [--write]

Claude is played by the annotators of the dialogues, so a served answer that differs from theirs counts as wrong. The
cache is its own parts without sockets: masking, keys, L1, student, audits, breaker. `--write` replaces this bench's part of
bench/RESULTS.md.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import structlog

from bench import homes_baselines
from bench.homes import DATA, Dialogue, Turn, in_a_day, read
from bench.homes_cost import BASES, THINKING, TURNS, usd_per_turn
from bench.homes_service import Service, Tally, student_label
from bench.measure import machine
from bench.walk import write
from services.cache.student_bounds import at_least, at_most
from services.cache.student_minilm import MiniLm
from services.cache.student_model import FOLDS, Encode, Example, Learned, learn
from services.cache.student_taught import TARGET

SECTION: Final = "Cache replay"
SETTLE: Final = 300
"""Ordinary turns before the world changes."""
RENAMED: Final = {"FindApartment": "SearchRental", "ScheduleVisit": "BookTour", "NONE": "SMALL_TALK"}


class Remembering:
    """An encoder that reads no text twice."""

    def __init__(self) -> None:
        self._encoder = MiniLm()
        self._known: dict[str, np.ndarray] = {}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return a vector for each text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known |= dict(zip(new, self._encoder.encode(new), strict=True))
        return np.array([self._known[text] for text in texts])


@dataclass(kw_only=True)
class Drift:
    """What a student did after its world had changed."""

    wrong: list[int] = field(default_factory=list)
    """Wrong answers until it was stopped, a run each."""
    stopped: int = 0
    """Runs in which it was."""
    turns_after: int = 0
    quiet_after: int = 0


@dataclass(kw_only=True)
class Folds:
    """Dialogues that were not learned from, all folds together."""

    alone: Tally = field(default_factory=Tally)
    """The student by itself: every turn is its own, exact hits or not."""
    service: Tally = field(default_factory=Tally)
    """All tiers, the day after the other dialogues."""
    elsewhere: Drift = field(default_factory=Drift)
    renamed: Drift = field(default_factory=Drift)


async def cold(dialogues: Sequence[Dialogue], encode: Encode | None, *, seed: int) -> list[Tally]:
    """Begin with nothing; by halves of the day."""
    day = in_a_day(dialogues, seed=seed)
    service = Service([turn for _, _, turn in day], encode=encode, seed=seed)
    halves = [Tally(), Tally()]
    for number, (at, dialogue, turn) in enumerate(day):
        await service.serve(at, dialogue.dialogue_id, turn, halves[2 * number >= len(day)])
    return halves


async def in_folds(
    dialogues: Sequence[Dialogue], encode: Encode | None, *, seed: int, folds: int = FOLDS, settle: int = SETTLE
) -> Folds:
    """Learn from all folds of the dialogues but one and serve that one, for each of them."""
    found = Folds()
    every = [turn for dialogue in dialogues for turn in (*dialogue.turns, *dialogue.elsewhere)]
    every += [_renamed(turn) for turn in every if turn.intent in RENAMED]
    for fold in range(folds):
        mine = [each for n, each in enumerate(dialogues) if n % folds == fold]
        others = [each for n, each in enumerate(dialogues) if n % folds != fold]
        examples = [
            # What the service's student answers with are analyses, and not our short names of them.
            Example(state=turn.state, masked=turn.masked, label=student_label(turn.label), group=each.dialogue_id)
            for each in others
            for turn in each.turns
        ]
        student = learn(examples, target=TARGET, encode=encode)
        assert student is not None
        _ask(student, [turn for each in mine for turn in each.turns], encode, found.alone)
        service = Service(every, encode=encode, learned=student, seed=seed)
        yesterday = [turn for each in others for turn in each.turns]
        await service.prime(yesterday)
        for at, dialogue, turn in in_a_day(mine, seed=seed):
            await service.serve(at, dialogue.dialogue_id, turn, found.service, learning=False)
        ordinary = [turn for each in mine for turn in each.turns][:settle]
        for drift, strange in (
            (found.elsewhere, [turn for each in mine for turn in each.elsewhere]),
            (found.renamed, [_renamed(turn) for each in mine for turn in each.turns][settle:]),
        ):
            changed = Service(every, encode=encode, learned=student, seed=seed)
            await changed.prime(yesterday[:settle])
            for number, turn in enumerate(ordinary):
                await changed.serve(0.0, f"o{number}", turn, Tally(), learning=False)
            await _drift(changed, strange, drift)
    return found


def _ask(student: Learned, turns: Sequence[Turn], encode: Encode | None, tally: Tally) -> None:
    vectors = None if encode is None else encode([turn.masked for turn in turns])
    for n, turn in enumerate(turns):
        answer = student.answer(turn.state, turn.masked, None if vectors is None else vectors[n])
        tally.turns += 1
        tally.tiers["UPSTREAM" if answer is None else "STUDENT"] += 1
        tally.wrong["STUDENT"] += answer is not None and answer.label != student_label(turn.label)


async def _drift(service: Service, turns: Sequence[Turn], drift: Drift) -> None:
    tally, until, after = Tally(), Tally(), Tally()
    stops = service.stops
    for number, turn in enumerate(turns):
        tally = until if service.stops == stops else after
        await service.serve(0.0, f"d{number}", turn, tally, learning=False)
    drift.wrong.append(until.wrong["STUDENT"])
    drift.stopped += service.stops > stops
    drift.turns_after += after.turns
    drift.quiet_after += after.turns - after.tiers["STUDENT"]


def _renamed(turn: Turn) -> Turn:
    return replace(turn, intent=RENAMED[turn.intent])


def share(part: float, of: float) -> str:
    """Return a share as people read it."""
    return f"{part / of:.1%}" if of else "none"


def wrong_share(wrong: int, hits: int) -> str:
    """Return the share of answers that are wrong, with its 95 % interval."""
    if not hits:
        return "none"
    low, high = at_least(wrong, hits, sure=0.975), at_most(wrong, hits, sure=0.975)
    return f"{wrong / hits:.2%} ({low:.2%} to {high:.2%})"


def _costs(tally: Tally) -> str:
    return " | ".join(
        f"${usd_per_turn(basis, tally.calls, tally.turns, prefix_cached=cached) * TURNS:.4f}"
        for basis in BASES
        for cached in (False, True)
    )


def row(name: str, tally: Tally) -> str:
    """Return a line of the table of ways."""
    return (
        f"| {name} | {share(tally.hits, tally.turns)} | {wrong_share(tally.wrong_hits, tally.hits)} "
        f"| {share(tally.plan_hits, tally.plans)} | {share(tally.plans_differ, tally.plan_hits)} | {_costs(tally)} |"
    )


def tier_row(name: str, tally: Tally) -> str:
    """Return a line of the table of tiers."""
    parts = [
        f"{share(tally.tiers[tier], tally.turns)} | {wrong_share(tally.wrong[tier], tally.tiers[tier])}"
        for tier in ("L1", "STUDENT")
    ]
    kinds = [call.kind for call in tally.calls]
    asked = " | ".join(f"{kinds.count(kind):,}" for kind in ("analysis", "reply", "audit"))
    return f"| {name} | {' | '.join(parts)} | {share(tally.tiers['UPSTREAM'], tally.turns)} | {asked} |"


def drift_row(name: str, drift: Drift) -> str:
    """Return a line of the table of changed worlds."""
    wrong = ", ".join(map(str, drift.wrong))
    return (
        f"| {name} | {wrong} | {drift.stopped} of {len(drift.wrong)} | {share(drift.quiet_after, drift.turns_after)} |"
    )


async def run(dialogues: Sequence[Dialogue], tiers: Sequence[str], encoder: Encode | None, *, seed: int) -> str:
    """Replay everything, and return the report."""
    day = in_a_day(dialogues, seed=seed)
    ways = [("no cache", homes_baselines.no_cache(day)), ("exact text", homes_baselines.exact(day))]
    if encoder is not None:
        ways += [
            (f"nearest text at {each:.2f}", homes_baselines.nearest(day, encoder, each))
            for each in homes_baselines.THRESHOLDS
        ]
    rows, seconds, by_tier, drifts, alone = [], [], [], [], []
    for name, halves in ways:
        rows.append(row(name, halves[0] + halves[1]))
        seconds.append(row(f"{name}, second half", halves[1]))
    for tier in tiers:
        encode = encoder if tier == "minilm" else None
        halves = await cold(dialogues, encode, seed=seed)
        rows.append(row(f"Porchlight {tier}, cold", halves[0] + halves[1]))
        seconds.append(row(f"Porchlight {tier}, second half", halves[1]))
        by_tier += [tier_row(f"{tier}, cold, first half", halves[0]), tier_row(f"{tier}, cold, second half", halves[1])]
        folds = await in_folds(dialogues, encode, seed=seed)
        alone.append(
            f"| {tier} | {folds.alone.turns:,} | {share(folds.alone.hits, folds.alone.turns)} "
            f"| {wrong_share(folds.alone.wrong_hits, folds.alone.hits)} |"
        )
        rows.append(row(f"Porchlight {tier}, learned", folds.service))
        by_tier.append(tier_row(f"{tier}, learned", folds.service))
        drifts += [
            drift_row(f"{tier}: turns of other services", folds.elsewhere),
            drift_row(f"{tier}: every intent renamed", folds.renamed),
        ]
    return "\n".join(_report(dialogues, rows + seconds, alone, by_tier, drifts, seed=seed))


def _report(
    dialogues: Sequence[Dialogue],
    ways: Sequence[str],
    alone: Sequence[str],
    by_tier: Sequence[str],
    drifts: Sequence[str],
    *,
    seed: int,
) -> list[str]:
    turns = sum(len(each.turns) for each in dialogues)
    labels = len({turn.label for each in dialogues for turn in each.turns})
    return [
        f"`make bench-cache-replay`, seed {seed}, {machine()}. {len(dialogues):,} dialogues, {turns:,} turns about homes, "
        f"{labels} analyses (intent and acts). Claude is played by the annotators; a served answer that differs from theirs "
        "is wrong, noise of their own included. In brackets the 95 % interval (Clopper-Pearson).",
        "",
        "The student by itself, on dialogues that it did not learn from (five folds by dialogue, pooled):",
        "",
        "| tier | turns | answered | wrong of answered |",
        "|---|---|---|---|",
        *alone,
        "",
        "All ways on the same turns, people arriving at random over a day, two calls a turn. `cold` begins with nothing, its "
        "student learns from what it asks Claude; `learned` serves each fifth of the dialogues the day after the other four. "
        "A plan differs when our side did something else in this dialogue: several are acceptable, so that is an upper bound "
        "on wrong ones.",
        "",
        f"Dollars for a conversation of {TURNS} turns, audits included. Flat: one model for both calls, $3 and $15 a million tokens. "
        "Today: list prices of 2026-10-07, analyses by Haiku 5.5, replies by Sonnet 5.5. The token counts are "
        "assumed (analysis 1,800 stable, 300 fresh, 120 written; reply 2,600, 900, 160), not counted by a "
        f"tokenizer; today {THINKING} thinking tokens are added to each answer. `+ pc`: with Claude's own prompt cache, "
        "5 minutes, writes at their price; Haiku keeps no prefix that short.",
        "",
        "| way | analysis hits | wrong of hits | plan hits | plans that differ | flat | flat + pc | today | today + pc |",
        "|---|---|---|---|---|---|---|---|---|",
        *ways,
        "",
        "By tier:",
        "",
        "| run | L1 | wrong | student | wrong | Claude | analyses asked | replies asked | audits |",
        "|---|---|---|---|---|---|---|---|---|",
        *by_tier,
        "",
        f"When the world changes under a student that has settled ({SETTLE} ordinary turns), without learning anew:",
        "",
        "| what changes | wrong answers until it was stopped, a fold each | stopped | left to Claude after |",
        "|---|---|---|---|",
        *drifts,
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=10_000)
    parser.add_argument("--tiers", nargs="+", choices=["light", "minilm"], default=["light", "minilm"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    if not DATA.is_dir():
        sys.stdout.write(f"skipped: {DATA} is not there; it holds the dialogues, which are not part of this project\n")
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    report = asyncio.run(run(read()[: options.dialogues], options.tiers, Remembering(), seed=options.seed))
    print(report)
    if options.write:
        write(SECTION, report)


if __name__ == "__main__":
    main()
