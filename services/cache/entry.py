"""One stored answer and its bytes. Pure."""

import hashlib
import hmac
import math
from dataclasses import asdict, dataclass, fields
from sys import getsizeof
from typing import Any, Final

import orjson

from services.cache.canonical import Key

VERSION: Final = 2
FRESH_SECONDS: Final = 3_600.0
"""Below this age an entry of Redis counts as L2, above as L3: docs/adr/0008."""
LIFE_SECONDS: Final = 86_400.0
"""After this an entry is gone."""
JITTER: Final = 0.1
"""Up to this share of the life is taken off, never put on, so that entries of one burst do not end together."""

_DIGEST_BYTES: Final = 16
_REST_BYTES: Final = 900


class CorruptEntry(Exception):
    """Bytes that are no entry of this key and scope, whoever wrote them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An answer that may be given again."""

    key_id: str
    scope_id: str
    content: str
    prompt_version: str
    model: str
    cost_microusd: int
    store_time: float
    """When Claude wrote it, in seconds since 1970."""
    expire_time: float
    """When it is gone, in seconds since 1970; no hit ever moves it."""
    tags: str
    """What it can be invalidated by, each 32 hexadecimal digits, with a space between two."""
    generation: int
    """The last invalidation that was known when Claude was asked."""
    basis: str
    """What its key was made of, as JSON, without a word of a person's."""

    def age_seconds(self, now: float) -> float:
        """Return how long ago Claude wrote it; another machine's clock may make that negative, so at least 0."""
        return max(0.0, now - self.store_time)

    def life_seconds(self, now: float) -> float:
        """Return how much of its life is left; 0 or less when it is gone."""
        return self.expire_time - now

    @property
    def bytes(self) -> int:
        """How much memory it takes, its long texts exactly and the rest rounded up."""
        return sum(map(getsizeof, (self.content, self.tags, self.basis))) + _REST_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What is kept with an answer beside the answer."""

    tags: tuple[str, ...] = ()
    generation: int = 0
    basis: str = "{}"


def new_entry(
    key: Key,
    *,
    content: str,
    prompt_version: str,
    model: str,
    cost_microusd: int,
    now: float,
    luck: float,
    about: About | None = None,
) -> Entry:
    """Make the entry of an answer that was written just now.

    Args:
        key: Whose answer it is.
        content: What may be served.
        prompt_version: `lead.extract@3`.
        model: Who wrote it.
        cost_microusd: What it cost.
        now: Seconds since 1970.
        luck: 0.0 to 1.0, how much of the jitter is taken off.
        about: What it can be invalidated by, and what the key was made of.
    """
    about = about or About()
    return Entry(
        key_id=key.key_id,
        scope_id=key.scope_id,
        content=content,
        prompt_version=prompt_version,
        model=model,
        cost_microusd=cost_microusd,
        store_time=now,
        expire_time=now + LIFE_SECONDS * (1.0 - JITTER * luck),
        tags=" ".join(about.tags),
        generation=about.generation,
        basis=about.basis,
    )


def pack(entry: Entry) -> bytes:
    """Return the bytes of an entry: a digest, then JSON with a version."""
    body = orjson.dumps({"version": VERSION, **asdict(entry)})
    return _digest(body) + body


def unpack(kept: bytes | Entry, key: Key) -> Entry:
    """Return what a tier kept as an entry, and make sure that it is the one asked for.

    Raises:
        CorruptEntry: The bytes were changed, are of another version, belong to
            another key or scope, or claim to live longer than any entry does.
    """
    entry = kept if isinstance(kept, Entry) else _read(kept)
    if entry.key_id != key.key_id or entry.scope_id != key.scope_id:
        raise CorruptEntry("key")
    return entry


def _read(data: bytes) -> Entry:
    digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if not hmac.compare_digest(digest, _digest(body)):
        raise CorruptEntry("digest")
    try:
        values: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CorruptEntry("json") from None
    if not isinstance(values, dict) or values.pop("version", None) != VERSION or values.keys() != _TYPES.keys():
        raise CorruptEntry("fields")
    if [type(values[name]) for name in _TYPES] != _KINDS:
        raise CorruptEntry("types")
    entry = Entry(**values)
    life = entry.expire_time - entry.store_time
    if not math.isfinite(life) or not 0 < life <= LIFE_SECONDS:
        raise CorruptEntry("life")
    return entry


_TYPES: Final = {field.name: field.type for field in fields(Entry)}
_KINDS: Final = list(_TYPES.values())


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
