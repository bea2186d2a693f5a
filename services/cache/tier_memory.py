"""The tier in the memory of the process: bounded in bytes, frequent keys stay (TinyLFU)."""

from typing import Final, Generic, TypeVar

from moka_py import Moka

from services.cache.entry import Entry

T = TypeVar("T", bytes, Entry)

# What the library and Python keep per entry beside what is put; measured, rounded up.
_OVERHEAD_BYTES: Final = 400


class MemoryTier(Generic[T]):
    """Keeps at most `most_bytes`: entries as they are, or bytes as the twin of the tier in Redis.

    Source: W-TinyLFU (Einziger et al., 2017): a newcomer is only let in when it is
    asked for more often than what would have to go, so one-time questions, which are
    most, do not wash out the others.
    """

    def __init__(self, most_bytes: int) -> None:
        # Only of what was put with an owner: the process's own memory is cleared as a whole instead.
        self._owned: dict[str, set[str]] = {}
        self._kept: Moka[str, T] = Moka(
            most_bytes, weigher=lambda key_id, data: len(key_id) + _size(data) + _OVERHEAD_BYTES
        )

    async def get(self, key_id: str) -> T | None:
        """Return what is kept, or None."""
        return self._kept.get(key_id)

    async def put(self, key_id: str, data: T, *, life_seconds: float, owner: str = "") -> None:
        """Keep something for at most `life_seconds`."""
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


def _size(data: bytes | Entry) -> int:
    return data.bytes if isinstance(data, Entry) else len(data)
