"""Which prompt a name and a label mean right now.

Prompts are written as files (`services/*/prompts/*.md`), whose form `kit/prompt_file.py`
shows: three lines `+++`, between them TOML, the system text, and the user's turn with
`{placeholders}` inside tags. `migrations/prompts.py` stores each content as a version
that never changes and points the label `production` at it. This module only reads.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kit.errors import PromptNotFound
from kit.prompt_file import PromptFile, placeholders
from services.cache.canonical import schema_hash

PRODUCTION: Final = "production"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One version of a prompt."""

    name: str
    version: int
    model: str
    max_tokens: int
    effort: str
    scope: str
    schema: Mapping[str, Any] | None
    schema_hash: str
    system: str
    user: str
    variables: frozenset[str]

    @property
    def prompt_version(self) -> str:
        """Name and version, as `lead.extract@3`."""
        return f"{self.name}@{self.version}"


def make_prompt(version: int, body: Mapping[str, Any]) -> Prompt:
    """Make a version from what `PromptFile.body` gave when it was stored."""
    return Prompt(
        name=body["name"],
        version=version,
        model=body["model"],
        max_tokens=body["max_tokens"],
        effort=body["effort"],
        scope=body["scope"],
        schema=body["schema"],
        schema_hash=schema_hash(body["schema"]),
        system=body["system"],
        user=body["user"],
        variables=placeholders(body["user"]),
    )


class PromptStore(Protocol):
    """Where versions and labels are kept."""

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at.

        Raises:
            StoreUnavailable: Nobody knows.
        """


class MemoryPromptStore:
    """Keeps versions in a list per name, with the rules of the database."""

    def __init__(self) -> None:
        self._digests: dict[str, list[str]] = {}
        self._prompts: dict[tuple[str, int], Prompt] = {}
        self._labels: dict[tuple[str, str], int] = {}

    def put(self, file: PromptFile, label: str = PRODUCTION) -> int:
        """Store a content unless it is there, point the label at it, and return its version."""
        digests = self._digests.setdefault(file.name, [])
        if file.digest not in digests:
            digests.append(file.digest)
        version = digests.index(file.digest) + 1
        self._prompts[file.name, version] = make_prompt(version, file.body)
        self._labels[file.name, label] = version
        return version

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at."""
        return [(label, self._prompts[name, version]) for (name, label), version in self._labels.items()]


class Prompts:
    """The prompts as they were a moment ago; goes on with them while the store is away."""

    def __init__(self, store: PromptStore) -> None:
        self._store = store
        self._known: dict[tuple[str, str], Prompt] | None = None
        self._reading = asyncio.Lock()

    async def get(self, name: str, label: str) -> Prompt:
        """Return the version that a label points at.

        Raises:
            PromptNotFound: There is none.
            StoreUnavailable: The store has not answered once since the start.
        """
        await self.know()
        known = self._known or {}
        try:
            return known[name, label]
        except KeyError:
            raise PromptNotFound(f"no version of {name} is labelled {label}", prompt=name, label=label) from None

    async def refresh(self) -> None:
        """Read all labels again.

        Raises:
            StoreUnavailable: The last known stay.
        """
        self._known = {(prompt.name, label): prompt for label, prompt in await self._store.read()}

    async def know(self) -> None:
        """Make sure that the store has answered once since the start.

        Raises:
            StoreUnavailable: It has not, and does not now.
        """
        if self._known is not None:
            return
        async with self._reading:  # callers at the start share one read
            if self._known is None:
                await self.refresh()
