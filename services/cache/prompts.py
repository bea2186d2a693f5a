"""Which prompt a name and a label mean right now.

Prompts are written as files (`services/*/prompts/*.md`), whose form `kit/prompt_file.py`
shows: three lines `+++`, between them TOML, the system text, and the user's turn with
`{placeholders}` inside tags. `migrations/prompts.py` stores each content as a version
that never changes and points the label `shipped` at it, and `production` too unless
people pointed that elsewhere (`services/cache/prompt_desk.py`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kit.errors import PromptNotFound
from kit.prompt_file import placeholders
from services.cache.canonical import schema_hash

PRODUCTION: Final = "production"
SHIPPED: Final = "shipped"
FILES: Final = "files"
"""The author of what came with a release."""
LABELS: Final = "labels"
"""What is invalidated when a label moves, so that all replicas hear of it."""


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
    """Where labels are read. What writes them is `PromptArchive`."""

    async def read(self) -> Sequence[tuple[str, Prompt]]:
        """Return every label and the version it points at.

        Raises:
            StoreUnavailable: Nobody knows.
        """


class Moves(Protocol):
    """Who hears of labels that moved."""

    async def trust(self) -> bool:
        """Ask for news where the last are too old; False when there are none to be had."""

    def last(self, tag: str) -> int:
        """Return the number of the last invalidation of a tag that is known; 0 when there is none."""


class Prompts:
    """The prompts as they were a moment ago; goes on with them while the store is away.

    Args:
        store: Where they are.
        moves: Says that labels moved; None when they never do.
    """

    def __init__(self, store: PromptStore, moves: Moves | None = None) -> None:
        self._store = store
        self._moves = moves
        self._known: dict[tuple[str, str], Prompt] | None = None
        self._as_of = 0
        self._reading = asyncio.Lock()

    async def get(self, name: str, label: str) -> Prompt:
        """Return the version that a label points at.

        Raises:
            PromptNotFound: There is none.
            StoreUnavailable: The store has not answered once since the start, or since
                a label moved.
        """
        if self._moves is not None:
            await self._moves.trust()
        await self.know()
        known = self._known or {}
        try:
            return known[name, label]
        except KeyError:
            raise PromptNotFound(f"no version of {name} is labelled {label}", prompt=name, label=label) from None

    def version(self, prompt_version: str) -> Prompt | None:
        """Return a version that a label points at, as far as is known; None of any other."""
        return next((each for each in (self._known or {}).values() if each.prompt_version == prompt_version), None)

    async def refresh(self) -> None:
        """Read all labels again.

        Raises:
            StoreUnavailable: The last known stay.
        """
        as_of = self._last_move()
        known = {(prompt.name, label): prompt for label, prompt in await self._store.read()}
        if as_of >= self._as_of:  # or somebody who began later was here first
            self._known, self._as_of = known, as_of

    async def know(self) -> None:
        """Make sure that the store has answered once since the start, and since the last move of a label.

        Raises:
            StoreUnavailable: It has not, and does not now.
        """
        if self._is_current():
            return
        async with self._reading:  # callers at once share one read
            if not self._is_current():
                await self.refresh()

    def _is_current(self) -> bool:
        return self._known is not None and self._as_of >= self._last_move()

    def _last_move(self) -> int:
        return 0 if self._moves is None else self._moves.last(LABELS)
