"""What makes two requests the same. Pure.

A key is a digest over length-prefixed fields, so no text in one field can pass for
two fields, and over the variables in the order of their names, so the order in which
a caller sends them does not matter. Who may share an answer is part of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

SCHEMA_VERSION: Final = 1
"""Counted up whenever the fields of a key change: old entries are then never found again."""

# blake2b takes exactly 16 bytes of these; two purposes never give the same digest.
_KEY: Final = b"porchlight.key.."
_SCOPE: Final = b"porchlight.scope"


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
    scope = ["tenant", tenant_id] if contact_id is None else ["contact", tenant_id, contact_id]
    scope_id = _digest(_SCOPE, scope)
    fields = [str(SCHEMA_VERSION), scope_id, model, prompt, str(version), schema_hash]
    fields += _pairs({name: str(value) for name, value in parameters.items()})
    fields += _pairs(variables)
    return Key(key_id=_digest(_KEY, fields), scope_id=scope_id)


def schema_hash(schema: Mapping[str, Any] | None) -> str:
    """Return a digest of a JSON schema, the same for any order of its members; "" for none."""
    if schema is None:
        return ""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _pairs(values: Mapping[str, str]) -> list[str]:
    return [str(len(values)), *(part for name in sorted(values) for part in (name, values[name]))]


def _digest(purpose: bytes, fields: Iterable[str]) -> str:
    made = hashlib.blake2b(digest_size=16, person=purpose)
    for field in fields:
        data = field.encode()
        made.update(len(data).to_bytes(8, "big"))
        made.update(data)
    return made.hexdigest()
