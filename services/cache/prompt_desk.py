"""What people do with prompts: look at versions, write new ones, and say which one is asked."""

import difflib
from typing import Final

from kit.errors import InvalidField, PromptChanged, PromptNotFound
from kit.log import get_logger
from kit.prompt_file import BadPromptFile, PromptFile, parse, render
from services.cache.generations import Generations
from services.cache.prompt_archive import PromptArchive, PromptState, Put, Version
from services.cache.prompt_rules import UnfitPrompt, check_fit
from services.cache.prompts import SHIPPED

log = get_logger()

NEWEST: Final = 2**31 - 1


class PromptDesk:
    """Changes prompts, never without the etag of what was looked at.

    Args:
        archive: Holds them.
        generations: Tell the replicas that a label moved.
    """

    def __init__(self, archive: PromptArchive, generations: Generations) -> None:
        self._archive = archive
        self._generations = generations

    async def state(self, name: str) -> PromptState:
        """Return a prompt.

        Raises:
            PromptNotFound: There is none of that name.
        """
        found = await self._archive.state(name)
        if found is None:
            raise PromptNotFound(f"there is no prompt {name}", prompt=name)
        return found

    async def version(self, name: str, version: int) -> Version:
        """Return a version.

        Raises:
            PromptNotFound: There is none.
        """
        found = await self._archive.versions(name, below=version + 1, most=1)
        if not found or found[0].version != version:
            raise PromptNotFound(f"there is no version {version} of {name}", prompt=name, version=version)
        return found[0]

    async def labelled(self, state: PromptState, label: str) -> Version:
        """Return the version that a label points at.

        Raises:
            PromptNotFound: There is no such label.
        """
        if label not in state.labels:
            raise PromptNotFound(f"no version of {state.name} is labelled {label}", prompt=state.name, label=label)
        return await self.version(state.name, state.labels[label])

    async def diff(self, name: str, before: int, after: int) -> str:
        """Return what differs between two versions.

        Raises:
            PromptNotFound: One of them does not exist.
        """
        old, new = [text_of(await self.version(name, each)).splitlines() for each in (before, after)]
        return "\n".join(difflib.unified_diff(old, new, f"{name}@{before}", f"{name}@{after}", lineterm=""))

    async def create(
        self, text: str, *, etag: str, author: str, reason: str, validate_only: bool
    ) -> tuple[int, PromptState | None]:
        """Store a version and return it with its prompt; with `validate_only` store nothing and return 0.

        Raises:
            InvalidField: The text is no prompt file, or cannot take the shipped one's place.
            PromptChanged: The prompt changed since it was looked at.
        """
        file = _read(text)
        state = await self._archive.state(file.name)
        await self._check(file, state, field="text")
        if validate_only:
            return 0, state
        put = await self._archive.create(file, etag=etag, author=author, reason=reason)
        self._refuse_changed(put, file.name, etag)
        log.info("prompt.stored", prompt_version=f"{file.name}@{put.version}", actor=author)
        return put.version, await self.state(file.name)

    async def set_label(
        self, name: str, label: str, version: int, *, etag: str, author: str, reason: str
    ) -> PromptState:
        """Point a label at a version, on all replicas.

        Raises:
            InvalidField: The version cannot take the shipped one's place.
            PromptNotFound: There is no such version.
            PromptChanged: The prompt changed since it was looked at.
            StoreUnavailable: It may be true on some replicas.
        """
        wanted = await self.version(name, version)
        await self._check(PromptFile(**wanted.body), await self.state(name), field="version")
        put = await self._archive.set_label(name, label, version, etag=etag, author=author, reason=reason)
        self._refuse_changed(put, name, etag)
        if put.missing:
            raise PromptNotFound(f"there is no version {version} of {name}", prompt=name, version=version)
        await self._generations.publish(put.generation)
        log.info("prompt.labelled", prompt_version=f"{name}@{version}", label=label, actor=author)
        return await self.state(name)

    async def roll_back(self, name: str, label: str, *, etag: str, author: str, reason: str) -> PromptState:
        """Point a label back at the version before its last move; raises as `set_label` does."""
        await self.state(name)
        before = await self._archive.before(name, label)
        if not before:
            raise PromptNotFound(f"{label} of {name} never pointed elsewhere", prompt=name, label=label)
        return await self.set_label(name, label, before, etag=etag, author=author, reason=reason)

    async def _check(self, file: PromptFile, state: PromptState | None, *, field: str) -> None:
        shipped = None if state is None or SHIPPED not in state.labels else await self.labelled(state, SHIPPED)
        try:
            check_fit(file, None if shipped is None else PromptFile(**shipped.body))
        except UnfitPrompt as unfit:
            raise InvalidField(
                f"{field} names no prompt that can be asked: {unfit}", field=field, limit=unfit
            ) from None

    def _refuse_changed(self, put: Put, name: str, etag: str) -> None:
        if put.current_etag is not None:
            raise PromptChanged(
                f"{name} is at {put.current_etag}, not at {etag}", prompt=name, etag=etag, current_etag=put.current_etag
            )


def text_of(version: Version) -> str:
    """Return a version as a prompt file."""
    return render(PromptFile(**version.body))


def _read(text: str) -> PromptFile:
    try:
        return parse(text)
    # Brackets inside brackets inside brackets, without end.
    except RecursionError:
        limit = "brackets nested less deeply"
    except BadPromptFile as bad:
        limit = str(bad)[:300]
    raise InvalidField(f"text is no prompt file: {limit}", field="text", limit=limit)
