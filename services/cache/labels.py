"""What masked texts were found to say: a port, its twin in memory, and who brings labels there.

A label holds a masked text that may be shared, so no word of it is anybody's alone
(`kit/spans.py`), what it says, and who said so. The student learns from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Protocol

from kit.errors import StoreUnavailable
from services.cache import metrics
from services.cache.behind import Writer

UPSTREAM: Final = "upstream"
AUDIT: Final = "audit"
FEEDBACK: Final = "feedback"
SEED: Final = "seed"
MOST_WAITING: Final = 2_000


@dataclass(frozen=True, kw_only=True)
class Label:
    """What a masked text says in a state of the dialogue."""

    tenant_id: str
    prompt: str
    prompt_version: int
    schema_hash: str
    state: Mapping[str, Any]
    """`asked`, `known`, `opening`."""
    masked: str
    analysis: Mapping[str, Any]
    source: str
    """UPSTREAM: Claude, on a miss. AUDIT: Claude, after a guess was served. FEEDBACK: a person. SEED: shipped."""
    key_id: str
    wrong: bool = False
    """Whether something else had been served; with FEEDBACK alone the analysis may be what was wrong."""
    stands_for: float = 1.0
    """For how many requests: an audit of one answer in nineteen stands for nineteen."""


@dataclass(frozen=True, kw_only=True)
class KeptLabel:
    """A label as it is kept."""

    label: Label
    change_no: int
    """Counted up at every change, over all labels."""
    times: int
    """How often this source was asked about this key."""
    wrong_times: int
    stands_for: float
    """For how many requests, all times together."""


class LabelStore(Protocol):
    """Where labels are kept, for all processes. Everything raises StoreUnavailable when it does not answer."""

    async def record(self, label: Label) -> None:
        """Keep a label; the same key of the same source counts up and takes the newest analysis."""

    async def read(
        self, tenant_id: str, prompt: str, version: int, *, after: int = 0, most: int = 10_000
    ) -> Sequence[KeptLabel]:
        """Return a tenant's labels of a prompt's version that changed after `after`, in the order of their changes."""


@dataclass
class MemoryLabelStore:
    """Keeps labels in a dict; `lost` makes it unavailable."""

    kept: dict[tuple[str, str, str], KeptLabel] = field(default_factory=dict)
    lost: bool = False
    _changes: int = 0

    async def record(self, label: Label) -> None:
        """Keep a label."""
        self._answer()
        self._changes += 1
        name = (label.tenant_id, label.key_id, label.source)
        old = self.kept.pop(name, None)
        self.kept[name] = KeptLabel(
            label=label,
            change_no=self._changes,
            times=(old.times if old else 0) + 1,
            wrong_times=(old.wrong_times if old else 0) + label.wrong,
            stands_for=(old.stands_for if old else 0) + label.stands_for,
        )

    async def read(
        self, tenant_id: str, prompt: str, version: int, *, after: int = 0, most: int = 10_000
    ) -> Sequence[KeptLabel]:
        """Return a tenant's labels of a prompt's version."""
        self._answer()
        of = (tenant_id, prompt, version)
        changed = (each for each in self.kept.values() if each.change_no > after)
        mine = (each for each in changed if (each.label.tenant_id, each.label.prompt, each.label.prompt_version) == of)
        return list(islice(mine, most))

    async def of_key(self, tenant_id: str, key_id: str) -> Sequence[KeptLabel]:
        """Return the labels of a key."""
        self._answer()
        return [kept for (tenant, key, _), kept in self.kept.items() if (tenant, key) == (tenant_id, key_id)]

    def _answer(self) -> None:
        if self.lost:
            raise StoreUnavailable("the labels do not answer", store="memory")


class LabelWriter(Writer[Label]):
    """Brings labels to the store."""

    def __init__(self, store: LabelStore) -> None:
        super().__init__("labels", metrics.LABELS_LOST, most=MOST_WAITING)
        self._store = store

    async def record(self, some: Sequence[Label]) -> None:
        """Keep labels."""
        for label in some:
            await self._store.record(label)
