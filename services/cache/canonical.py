"""What makes two requests the same. Pure.

A key is a digest over length-prefixed fields, so no text in one field can pass for
two fields, and over the variables in the order of their names, so the order in which
a caller sends them does not matter. Who may share an answer is part of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

SCHEMA_VERSION: Final = 2
"""Counted up whenever the fields of a key change: old entries are then never found again."""

# blake2b takes exactly 16 bytes of these; two purposes never give the same digest.
_KEY: Final = b"porchlight.key.."
_SCOPE: Final = b"porchlight.scope"
_TAG: Final = b"porchlight.tag.."


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """Names one answer."""

    key_id: str
    """32 hexadecimal digits over everything below and the scope."""
    scope_id: str
    """32 hexadecimal digits over who may share the answer; stands in the entry to be compared on read."""


def key(
    *,
    tenant_id: str,
    contact_id: str | None,
    prompt: str,
    version: int,
    model: str,
    parameters: Mapping[str, str | int],
    schema_hash: str,
    variables: Mapping[str, str],
) -> Key:
    """Make the key of a request.

    Args:
        tenant_id: The CRM location; nothing is shared between two.
        contact_id: None when the prompt's answers may be shared within the tenant.
        prompt: The prompt's name.
        version: The prompt's version, from 1.
        model: The model's name.
        parameters: What else changes an answer: `max_tokens`, `effort`.
        schema_hash: Digest of the answer's schema; "" for text.
        variables: Name to text, any order.
    """
    begin = _begin if contact_id is None else _begin.__wrapped__  # what is of one contact is not kept
    scope_id, begun = begin(
        tenant_id, contact_id, model, prompt, version, schema_hash, tuple(sorted(parameters.items()))
    )
    digest = begun.copy()
    digest.update(told_apart(_pairs(variables)))
    return Key(key_id=digest.hexdigest(), scope_id=scope_id)


@lru_cache(maxsize=1_000)
def _begin(
    tenant_id: str,
    contact_id: str | None,
    model: str,
    prompt: str,
    version: int,
    schema_hash: str,
    parameters: tuple[tuple[str, str | int], ...],
) -> tuple[str, hashlib.blake2b]:
    """Return a scope and the digest of a key but for the variables: the same for most of what is asked."""
    scope = ["tenant", tenant_id] if contact_id is None else ["contact", tenant_id, contact_id]
    scope_id = _digest(_SCOPE, scope).hexdigest()
    fields = [str(SCHEMA_VERSION), scope_id, model, prompt, str(version), schema_hash]
    fields += _pairs({name: str(value) for name, value in parameters})
    return scope_id, _digest(_KEY, fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a dialogue stands: what the meaning of a short answer depends on, and no value of a person's."""

    asked: str = ""
    """The slot that was asked for last; empty when none was."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Known slots, each with its declared choice or ""."""
    opening: bool = False
    """Whether a handoff brought the contact with this turn."""

    def variables(self) -> dict[str, str]:
        """Return what fills a prompt's placeholders, the same for the same state.

        >>> State(asked="area", known={"timeline": "", "intent": "buy"}).variables()
        {'asked': 'area', 'known': 'intent: buy\ntimeline', 'turn': 'later'}
        """
        lines = [f"{name}: {choice}" if choice else name for name, choice in sorted(self.known.items())]
        return {"asked": self.asked, "known": "\n".join(lines), "turn": "opening" if self.opening else "later"}


def tag(kind: str, *parts: str) -> str:
    """Return a tag of an entry, 32 hexadecimal digits: nobody can tell a contact from it.

    Args:
        kind: `prompt`, `tenant`, `contact` or `tag`.
        parts: What is tagged, the tenant first unless it is a prompt.
    """
    return _digest(_TAG, [kind, *parts]).hexdigest()


def schema_hash(schema: Mapping[str, Any] | None) -> str:
    """Return a digest of a JSON schema, the same for any order of its members; "" for none."""
    if schema is None:
        return ""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [str(len(values)), *(part for name in sorted(values) for part in (name, values[name]))]


def told_apart(fields: Iterable[str]) -> bytes:
    """Return texts as bytes, each after its length, so that no two lists of them are the same bytes."""
    return b"".join([len(data).to_bytes(8, "big") + data for data in map(str.encode, fields)])


def _digest(purpose: bytes, fields: Iterable[str]) -> hashlib.blake2b:
    return hashlib.blake2b(told_apart(fields), digest_size=16, person=purpose)
