"""The tier in the memory of the process: bounded in bytes, frequent keys stay (TinyLFU)."""

from typing import Final

from moka_py import Moka

# What the library and Python keep per entry beside the bytes themselves; measured, rounded up.
_OVERHEAD_BYTES: Final = 400


class MemoryTier:
    """Keeps at most `most_bytes`; the twin of the tier in Redis.

    Source: W-TinyLFU (Einziger et al., 2017): a newcomer is only let in when it is
    asked for more often than what would have to go, so one-time questions, which are
    most, do not wash out the others.
    """

    def __init__(self, most_bytes: int) -> None:
        # Only of what was put with an owner: the process's own memory is cleared as a whole instead.
        self._owned: dict[str, set[str]] = {}
        self._kept: Moka[str, bytes] = Moka(
            most_bytes, weigher=lambda key_id, data: len(key_id) + len(data) + _OVERHEAD_BYTES
        )

    async def get(self, key_id: str) -> bytes | None:
        """Return what is kept, or None."""
        return self._kept.get(key_id)

    async def put(self, key_id: str, data: bytes, *, life_seconds: float, owner: str = "") -> None:
        """Keep bytes for at most `life_seconds`."""
        self._kept.set(key_id, data, ttl=life_seconds)
        if owner:
            self._owned.setdefault(owner, set()).add(key_id)

    async def delete(self, key_id: str) -> None:
        """Forget what is kept."""
        self._kept.remove(key_id)

    async def erase(self, owner: str) -> bool:
        """Forget everything that was put with this owner."""
        for key_id in self._owned.pop(owner, ()):
            self._kept.remove(key_id)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._owned.clear()

    @property
    def bytes(self) -> int:
        """How much is kept, overhead included."""
        self._kept.run_pending_tasks()
        return self._kept.weighted_size()
