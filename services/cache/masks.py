"""Mask what a person wrote, and know again what anybody could have written."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from moka_py import Moka

from kit.spans import Masked, OwnValue, mask, speaks_of
from services.cache.canonical import told_apart

MOST_KNOWN: Final = 2_000
"""Texts known again. What is kept of one is at most `MOST_SHARED_TOKENS` words of a dictionary, and where they stood."""


class Masks:
    """Masks texts; "yes" or "I want to buy a house" only once.

    Of a text is kept what all contacts would share anyway: no text that holds a word or
    a value of somebody's own, and of the others a digest under a secret of this process.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._known: Moka[bytes, Masked] = Moka(MOST_KNOWN)

    def mask(self, texts: Sequence[str], own: Sequence[OwnValue]) -> Masked:
        """Return what `kit.spans.mask` returns.

        Args:
            texts: What the person wrote, oldest first.
            own: What the CRM holds of the contact.
        """
        name = self._name(texts)
        known = self._known.get(name)
        if known is not None and not speaks_of(own, texts, known):
            return known
        masked = mask(texts, own)
        if masked.own_free and not speaks_of(own, texts, masked):
            self._known.set(name, masked)
        return masked

    def _name(self, texts: Sequence[str]) -> bytes:
        return hashlib.blake2b(told_apart(texts), digest_size=16, key=self._secret).digest()
