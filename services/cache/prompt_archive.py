"""All versions of all prompts, and how their labels moved: a port and its twin in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from kit.prompt_file import PromptFile
from services.cache.generations import MemoryGenerationStore
from services.cache.prompts import FILES, LABELS, PRODUCTION, SHIPPED, Prompt, make_prompt

MOST_CHANGES: Final = 20


@dataclass(frozen=True, kw_only=True)
class LabelChange:
    """One move of a label."""

    label: str
    version_before: int
    """0 when the label was new."""
    version_after: int
    author: str
    reason: str
    change_time: str
    """ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class PromptState:
    """A prompt and where its labels point."""

    name: str
    latest_version: int
    etag: str
    labels: Mapping[str, int]
    changes: Sequence[LabelChange] = ()
    """The last ones, newest first; left out of lists."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One content."""

    name: str
    version: int
    digest: str
    body: Mapping[str, Any]
    author: str
    reason: str
    create_time: str
    """ISO 8601."""


@dataclass(frozen=True, kw_only=True)
class Put:
    """What became of a wish to change a prompt."""

    version: int = 0
    """The version that was stored."""
    generation: int = 0
    """The invalidation by which replicas hear of a label that moved."""
    current_etag: str | None = None
    """Not None: the prompt was changed since the caller looked at it, and nothing was done."""
    missing: bool = False
    """There is no such version."""


class PromptArchive(Protocol):
    """Where versions and labels are kept. Everything raises StoreUnavailable when it does not answer."""

    async def states(self, *, after: str, most: int) -> Sequence[PromptState]:
        """Return prompts by name, those after a name."""

    async def state(self, name: str) -> PromptState | None:
        """Return a prompt; None when there is none."""

    async def before(self, name: str, label: str) -> int:
        """Return the version that a label pointed at before its last move; 0 when it never pointed elsewhere."""

    async def versions(self, name: str, *, below: int, most: int) -> Sequence[Version]:
        """Return versions below a number, newest first."""

    async def create(self, file: PromptFile, *, etag: str, author: str, reason: str) -> Put:
        """Store a version, unless the prompt changed; a content that is known is no change."""

    async def set_label(self, name: str, label: str, version: int, *, etag: str, author: str, reason: str) -> Put:
        """Point a label at a version, unless the prompt changed; where it points already is no change."""


@dataclass
class _Kept:
    """A prompt in memory."""

    versions: list[Version] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    changes: list[LabelChange] = field(default_factory=list)


class MemoryPromptStore:
    """Keeps versions in a list per name, with the rules of the database.

    Args:
        generations: Where moves of labels are told.
    """

    def __init__(self, generations: MemoryGenerationStore | None = None) -> None:
        self._generations = generations or MemoryGenerationStore()
        self._kept: dict[str, _Kept] = {}

    async def put(self, file: PromptFile, label: str = PRODUCTION) -> int:
        """Store what a file says, as the loader of a release does, and return its version."""
        kept = self._kept.setdefault(file.name, _Kept())
        follows = kept.labels.get(label) in (None, kept.labels.get(SHIPPED)) or SHIPPED not in kept.labels
        version = self._keep(file, FILES, "")
        await self._move(file.name, SHIPPED, version, FILES, "")
        if follows:
            await self._move(file.name, label, version, FILES, "")
        return version

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at."""
        return [
            (label, make_prompt(version, kept.versions[version - 1].body))
            for kept in self._kept.values()
            for label, version in sorted(kept.labels.items())
        ]

    async def states(self, *, after: str, most: int) -> Sequence[PromptState]:
        """Return prompts by name."""
        return [self._state(name) for name in sorted(self._kept) if name > after][:most]

    async def state(self, name: str) -> PromptState | None:
        """Return a prompt."""
        if name not in self._kept:
            return None
        changes = tuple(reversed(self._kept[name].changes))[:MOST_CHANGES]
        return self._state(name, changes)

    async def before(self, name: str, label: str) -> int:
        """Return the version that a label pointed at before its last move."""
        moves = reversed(self._kept.get(name, _Kept()).changes)
        return next((each.version_before for each in moves if each.label == label), 0)

    async def versions(self, name: str, *, below: int, most: int) -> Sequence[Version]:
        """Return versions below a number, newest first."""
        kept = self._kept.get(name, _Kept())
        return [version for version in reversed(kept.versions) if version.version < below][:most]

    async def create(self, file: PromptFile, *, etag: str, author: str, reason: str) -> Put:
        """Store a version."""
        known = any(file.digest == each.digest for each in self._kept.get(file.name, _Kept()).versions)
        current = self._etag(file.name)
        if etag != current and not known:
            return Put(current_etag=current)
        self._kept.setdefault(file.name, _Kept())
        return Put(version=self._keep(file, author, reason))

    async def set_label(self, name: str, label: str, version: int, *, etag: str, author: str, reason: str) -> Put:
        """Point a label at a version."""
        kept = self._kept.get(name, _Kept())
        if not 1 <= version <= len(kept.versions):
            return Put(missing=True)
        current = self._etag(name)
        if etag != current and kept.labels.get(label) != version:
            return Put(current_etag=current)
        return Put(generation=await self._move(name, label, version, author, reason))

    def _keep(self, file: PromptFile, author: str, reason: str) -> int:
        versions = self._kept[file.name].versions
        for known in versions:
            if known.digest == file.digest:
                return known.version
        versions.append(
            Version(
                name=file.name,
                version=len(versions) + 1,
                digest=file.digest,
                body=file.body,
                author=author,
                reason=reason,
                create_time=_now(),
            )
        )
        return len(versions)

    async def _move(self, name: str, label: str, version: int, author: str, reason: str) -> int:
        kept = self._kept[name]
        before = kept.labels.get(label)
        if before == version:
            return self._generations.tags.get(LABELS, 0)
        kept.labels[label] = version
        kept.changes.append(
            LabelChange(
                label=label,
                version_before=before or 0,
                version_after=version,
                author=author,
                reason=reason,
                change_time=_now(),
            )
        )
        return await self._generations.invalidate([LABELS])

    def _state(self, name: str, changes: Sequence[LabelChange] = ()) -> PromptState:
        kept = self._kept[name]
        return PromptState(
            name=name,
            latest_version=len(kept.versions),
            etag=self._etag(name),
            labels=dict(kept.labels),
            changes=changes,
        )

    def _etag(self, name: str) -> str:
        kept = self._kept.get(name)
        return "" if kept is None else f"v{len(kept.versions)}-c{len(kept.changes)}"


def _now() -> str:
    return datetime.now(UTC).isoformat()
