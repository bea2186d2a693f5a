"""What a person can be reached by, as keyed hashes: they tell nothing without the key, and the same address again. Pure."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

_DIGITS_OF_THE_US: Final = 10


class Addresses:
    """Hashes addresses.

    Args:
        key: Secret. With another key nothing is found again.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of_contact(self, tenant_id: str, contact_id: str) -> str:
        """Return the hash of a contact's id."""
        return self._hash("contact", tenant_id, contact_id)

    def of_profile(self, tenant_id: str, profile: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the hashes of the phone and the e-mail address that a profile names."""
        found = (("phone", phone(profile.get("phone"))), ("email", email(profile.get("email"))))
        return tuple(self._hash(kind, tenant_id, address) for kind, address in found if address)

    def _hash(self, *parts: str) -> str:
        named = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.new(self._key, named.encode(), hashlib.sha256).hexdigest()


def phone(said: object) -> str:
    """Return a phone number in one form, however it is written; "" for what is none.

    >>> phone("(206) 555-0100") == phone("+1 206.555.0100") == "12065550100"
    True
    """
    digits = re.sub(r"\D", "", said) if isinstance(said, str) else ""
    return "1" + digits if len(digits) == _DIGITS_OF_THE_US else digits


def email(said: object) -> str:
    """Return an e-mail address in one form; "" for what is none.

    >>> email(" Ann@Example.org ")
    'ann@example.org'
    """
    return said.strip().casefold() if isinstance(said, str) and "@" in said else ""
