"""The student that learns: one for each tenant and prompt version, taught again as labels come in.

Answering takes no time to speak of; learning is a process of its own, and the encoder
of the quality tier a thread. Whatever goes wrong with either, the student keeps quiet
or goes on with what it knew, and Claude is asked.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from kit.errors import StoreUnavailable
from kit.log import describe, get_logger
from kit.rest import rest
from services.cache import metrics
from services.cache.canonical import State
from services.cache.labels import FEEDBACK, SEED, KeptLabel, LabelStore
from services.cache.student import Guess
from services.cache.student_label import label_of, render
from services.cache.student_model import Example, Learned, Vectors
from services.cache.student_seeds import beside
from services.cache.student_train import TrainingFailed
from services.cache.student_watch import Watch

log = get_logger()

TARGET: Final = 0.01
"""The most that may be wrong of what the student answers, as a share."""
MOST_CLASSES: Final = 64
"""Tenants and prompt versions that are taught; of more, those that nobody asked of for longest are forgotten."""
MOST_EXAMPLES: Final = 20_000
"""Of more the oldest are forgotten."""
FRESH_LEAST: Final = 100
FRESH_SHARE: Final = 0.2
"""It learns again when so many labels are new, at least, and such a share of what it knows."""
LOOK_SECONDS: Final = 10.0
MOST_WAITS: Final = 360
"""So many looks, an hour of them, are let pass at most before a teacher that goes on breaking is asked again."""
PAGE: Final = 250
"""Labels that are read at once; for as long as that takes, some milliseconds, nobody is answered."""


class Encoder(Protocol):
    """Turns a text into a vector, off the event loop."""

    async def encode(self, text: str) -> Vectors | None:
        """Return a text's vector; None when too many wait."""


class Train(Protocol):
    """Learns, somewhere else."""

    def __call__(self, examples: Sequence[Example], *, target: float, quality: bool) -> Awaitable[Learned | None]:
        """See `student_train.train`."""


@dataclass(frozen=True, slots=True)
class _Of:
    """Whose student."""

    tenant_id: str
    prompt_version: str


@dataclass(kw_only=True)
class _Class:
    """What one student knows, and what it is to learn from."""

    schema: Mapping[str, Any]
    examples: dict[str, Example | None] = field(default_factory=dict)
    """By key; None where what is known cannot be learned from. The newest last."""
    read: int = 0
    """The last change of a label that was read."""
    fresh: int = 0
    failures: int = 0
    """Of its teacher, in a row."""
    waits: int = 0
    """Looks to let pass for them."""
    learned: Learned | None = None
    version: str = ""
    watch: Watch | None = None


class TaughtStudent:
    """Learns from labels in a store.

    Args:
        store: Where the labels are.
        train: Who learns.
        encoder: Of the quality tier; None for the light tier.
        seeds: Gives what ships for a prompt's version; who has no labels of its own to speak of begins with these.
    """

    def __init__(
        self,
        store: LabelStore,
        *,
        train: Train,
        encoder: Encoder | None = None,
        seeds: Callable[[str], Sequence[Example]] = lambda prompt_version: (),
    ) -> None:
        self._store = store
        self._train = train
        self._encoder = encoder
        self._seeds = seeds
        self._seeded: dict[str, tuple[Sequence[Example], Learned | None]] = {}
        """By prompt version: what ships, and what it alone teaches, the same for all tenants."""
        self._classes: dict[_Of, _Class] = {}

    async def guess(
        self,
        prompt_version: str,
        schema: Mapping[str, Any],
        state: State,
        masked: str,
        *,
        tenant_id: str,
        loose: bool = False,
    ) -> Guess | None:
        """Return an analysis if this text's class has learned and is sure."""
        of = _Of(tenant_id, prompt_version)
        mine = self._classes.pop(of) if of in self._classes else _Class(schema=schema)
        self._classes[of] = mine  # the last one asked of
        if len(self._classes) > MOST_CLASSES:
            oldest = next(iter(self._classes))
            del self._classes[oldest]
            metrics.STUDENT_THRESHOLD.remove(oldest.tenant_id, oldest.prompt_version)
        if mine.learned is None or mine.watch is None or mine.watch.is_open:
            return None
        learned, version, watch = mine.learned, mine.version, mine.watch
        vector = None
        if self._encoder is not None:
            if not learned.knows(state):
                return None  # and the encoder has nothing to do
            vector = await self._encoder.encode(masked)
            if vector is None:
                return None
        found = learned.answer(state, masked, vector, loose=loose)
        analysis = None if found is None else render(found.label, masked)
        if found is None or analysis is None:
            return None
        withheld = watch.owes_audits and not loose
        # Of a loose one nobody is there to audit it.
        stands_for = 0.0 if loose or withheld else watch.audits_next()
        return Guess(
            analysis=analysis,
            score=found.score,
            version=version,
            stands_for=stands_for,
            loose=loose,
            withheld=withheld,
            served=watch.served,
        )

    def audited(self, prompt_version: str, guess: Guess, *, tenant_id: str, wrong: bool) -> None:
        """Hear of a guess; what an earlier version had guessed says nothing of this one."""
        mine = self._classes.get(_Of(tenant_id, prompt_version))
        if mine is None or mine.watch is None or mine.version != guess.version:
            return
        if not mine.watch.audited(wrong=wrong, served=guess.served):
            return
        audits, wrong_audits = mine.watch.audits
        metrics.STUDENT_STOPPED.labels(prompt_version).inc()
        log.warning(
            "student.stopped",
            prompt_version=prompt_version,
            model=guess.version,
            tenant_id=tenant_id,
            audits=audits,
            wrong_audits=wrong_audits,
        )

    def missed(self, prompt_version: str, analysis: Mapping[str, Any], *, tenant_id: str) -> None:
        """Hear what Claude says of a text on which it had kept quiet: whether that is a label it has heard of."""
        mine = self._classes.get(_Of(tenant_id, prompt_version))
        if mine is not None and mine.learned is not None and mine.watch is not None:
            mine.watch.missed(strange=label_of(analysis, mine.schema) not in mine.learned.labels)

    async def run(self, stop: asyncio.Event) -> None:
        """Look for labels and learn, until `stop`."""
        while not stop.is_set():
            try:
                await self.learn()
            except StoreUnavailable:
                pass  # it goes on with what it knows
            # Protects the worker: labels that this version cannot learn from leave the student as it is.
            except Exception as error:  # noqa: BLE001
                log.error("worker.failed", worker="student", **describe(error))
            await rest(stop, LOOK_SECONDS)

    async def learn(self) -> None:
        """Read what is new, and let those learn who have enough of it.

        Raises:
            StoreUnavailable: The labels do not answer.
        """
        for of, mine in list(self._classes.items()):
            await self._read(of, mine)
            known = [each for each in mine.examples.values() if each is not None]
            enough = mine.fresh >= max(FRESH_LEAST, FRESH_SHARE * len(known))
            if not enough and mine.learned is not None:
                continue
            if mine.waits:
                mine.waits -= 1
                continue
            try:
                seeds, learned = await self._begin(of.prompt_version)
                if enough:
                    examples = [*known, *beside(seeds, known)]
                    learned = await self._train(examples, target=TARGET, quality=self._encoder is not None)
                    mine.fresh = 0
            except TrainingFailed as failed:
                log.error("worker.failed", worker="student", **describe(failed))
                mine.waits = min(2**mine.failures - 1, MOST_WAITS)
                mine.failures += 1
                continue
            mine.failures = 0
            # Who watches needs it, and nobody who asks shall wait until it is read from disk.
            await asyncio.to_thread(importlib.import_module, "scipy.special")
            if learned is not None and self._classes.get(of) is mine:
                self._take(of, mine, learned, str(mine.read) if enough else SEED)

    async def _begin(self, prompt_version: str) -> tuple[Sequence[Example], Learned | None]:
        """Return what ships for a prompt's version, and what it alone teaches."""
        if prompt_version not in self._seeded:
            seeds = await asyncio.to_thread(self._seeds, prompt_version)
            quality = self._encoder is not None
            learned = await self._train(seeds, target=TARGET, quality=quality) if seeds else None
            self._seeded[prompt_version] = seeds, learned
        return self._seeded[prompt_version]

    def _take(self, of: _Of, mine: _Class, learned: Learned, of_what: str) -> None:
        mine.learned = learned
        mine.version = f"{'light' if self._encoder is None else 'minilm'}-{of_what}"
        mine.watch = Watch(target=TARGET, strange=learned.strange)
        metrics.STUDENT_THRESHOLD.labels(of.tenant_id, of.prompt_version).set(learned.threshold)
        log.info(
            "student.taught",
            prompt_version=of.prompt_version,
            model=mine.version,
            tenant_id=of.tenant_id,
            examples=learned.examples,
            threshold=round(learned.threshold, 3),
        )

    async def _read(self, of: _Of, mine: _Class) -> None:
        name, _, version = of.prompt_version.rpartition("@")
        while True:
            page = await self._store.read(of.tenant_id, name, int(version), after=mine.read, most=PAGE)
            for kept in page:
                mine.read = kept.change_no
                _add(mine, kept)
            if len(page) < PAGE:
                break
        for oldest in list(mine.examples)[: max(0, len(mine.examples) - MOST_EXAMPLES)]:
            del mine.examples[oldest]


def _add(mine: _Class, kept: KeptLabel) -> None:
    label = kept.label
    before = mine.examples.pop(label.key_id, None)
    made = None if label.source == FEEDBACK else label_of(label.analysis, mine.schema)
    # What a person objected to is in dispute, and what quotes only itself teaches nothing.
    example = made and Example(
        state=State(**label.state), masked=label.masked, label=made, group=label.masked, weight=kept.stands_for
    )
    mine.examples[label.key_id] = example or None
    mine.fresh += before is None or before.label != made
