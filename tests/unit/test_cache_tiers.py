from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.canonical import Key, key
from services.cache.entry import CorruptEntry, Entry, new_entry, pack, unpack
from services.cache.tier_memory import MemoryTier
from services.cache.tiers import Tiers

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


def a_key(contact_id: str = "c_81", text: str = "sell") -> Key:
    return key(
        tenant_id="loc_1",
        contact_id=contact_id,
        prompt="lead.extract",
        version=1,
        model="claude-haiku-5-5",
        parameters={},
        schema_hash="",
        variables={"messages": text},
    )


class House:
    """Processes of their own memory around one shared store that never expires anything by itself."""

    def __init__(self, luck: float = 0.0) -> None:
        self.clock = Clock()
        self.shared: MemoryTier[bytes] = MemoryTier(10_000_000)
        self.lives: list[float] = []
        self.luck = luck
        put = self.shared.put

        async def noted(key_id: str, data: bytes, *, life_seconds: float, owner: str = "") -> None:
            self.lives.append(life_seconds)
            await put(key_id, data, life_seconds=1e6)

        self.shared.put = noted  # type: ignore[method-assign]

    def process(self, near: MemoryTier[Entry] | None = None) -> Tiers:
        return Tiers(near or MemoryTier(10_000_000), self.shared, clock=self.clock, luck=lambda: self.luck)

    async def store(self, tiers: Tiers, wanted: Key | None = None) -> None:
        wanted = wanted or a_key()
        await tiers.store(
            new_entry(
                wanted,
                content="{}",
                prompt_version="lead.extract@1",
                model="claude-haiku-5-5",
                cost_microusd=15,
                now=self.clock().timestamp(),
                luck=self.luck,
            )
        )


async def found(tiers: Tiers) -> tuple[str, float] | None:
    hit = await tiers.near_hit(a_key()) or await tiers.far_hit(a_key())
    return None if hit is None else (hit.tier, hit.age_seconds)


@pytest.mark.parametrize(
    ("minutes", "tier"), [(0, "L2"), (59, "L2"), (60, "L3"), (61, "L3"), (24 * 60 - 1, "L3"), (24 * 60, None)]
)
async def test_entry_is_fresh_for_an_hour_stale_for_a_day_and_then_gone(minutes, tier):
    house = House()
    await house.store(house.process())
    house.clock.pass_minutes(minutes)
    assert await found(house.process()) == (None if tier is None else (tier, minutes * 60))


async def test_hit_never_makes_an_entry_live_longer():
    house = House()
    await house.store(house.process())
    one = house.process()
    for _ in range(24):
        house.clock.pass_minutes(59)
        assert await found(one) is not None
        assert await found(house.process()) is not None
    assert house.lives == [86_400]  # written once, never again
    house.clock.pass_minutes(24)
    assert await found(one) is None
    assert await found(house.process()) is None


async def test_hit_moves_to_memory_with_the_life_it_has_left():
    house = House()
    await house.store(house.process())
    house.clock.pass_minutes(23 * 60)
    lives: list[float] = []
    near: MemoryTier[Entry] = MemoryTier(1_000_000)
    put = near.put

    async def noted(key_id: str, data: Entry, *, life_seconds: float, owner: str = "") -> None:
        lives.append(life_seconds)
        await put(key_id, data, life_seconds=life_seconds)

    near.put = noted  # type: ignore[method-assign]
    tiers = house.process(near)
    assert [(await found(tiers) or ("", 0))[0] for _ in range(3)] == ["L3", "L1", "L1"]
    assert lives == [3_600]


@given(st.floats(0, 1))
async def test_jitter_shortens_a_life_by_a_tenth_at_most_and_never_prolongs_it(luck):
    house = House(luck)
    await house.store(house.process())
    assert 0.9 * 86_400 - 1 <= house.lives[0] <= 86_400


async def test_corrupt_entry_is_a_miss_and_is_removed():
    house = House()
    tiers = house.process()
    await house.store(tiers)
    data = await house.shared.get(a_key().key_id)
    assert data is not None
    await house.shared.put(a_key().key_id, data[:-1] + b"x", life_seconds=1)
    assert await house.process().far_hit(a_key()) is None
    assert await house.shared.get(a_key().key_id) is None


def an_entry(wanted: Key) -> bytes:
    return pack(new_entry(wanted, content="é", prompt_version="p@1", model="m", cost_microusd=1, now=1_000.0, luck=0.5))


def test_entry_comes_back_as_it_was_packed():
    entry = unpack(an_entry(a_key()), a_key())
    assert (entry.content, entry.store_time, entry.expire_time) == ("é", 1_000.0, 1_000.0 + 86_400 * 0.95)


@pytest.mark.parametrize("other", [a_key("c_82"), a_key(text="buy")])
def test_entry_of_another_scope_or_key_is_corrupt(other):
    with pytest.raises(CorruptEntry):
        unpack(an_entry(other), a_key())


def test_entry_under_the_right_key_with_another_scope_is_corrupt():
    mine, other = a_key(), a_key("c_82")
    forged = Key(key_id=mine.key_id, scope_id=other.scope_id)
    with pytest.raises(CorruptEntry, match="key"):
        unpack(an_entry(forged), mine)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_makes_an_entry_corrupt(place, change):
    data = bytearray(an_entry(a_key()))
    data[place % len(data)] ^= change
    with pytest.raises(CorruptEntry):
        unpack(bytes(data), a_key())


@given(st.binary(max_size=200))
def test_any_bytes_are_corrupt_and_never_crash(data):
    with pytest.raises(CorruptEntry):
        unpack(data, a_key())


@pytest.mark.parametrize("forged", [a_key("c_82"), Key(key_id=a_key().key_id, scope_id=a_key("c_82").scope_id)])
async def test_somebody_elses_entry_in_memory_is_a_miss_and_is_removed(forged):
    near: MemoryTier[Entry] = MemoryTier(1_000_000)
    await near.put(a_key().key_id, unpack(an_entry(forged), forged), life_seconds=1)
    assert await House().process(near).near_hit(a_key()) is None
    assert await near.get(a_key().key_id) is None


@pytest.mark.parametrize("kept", [b"x" * 1_000, unpack(an_entry(a_key()), a_key())])
async def test_memory_tier_stays_within_its_bytes(kept):
    tier: MemoryTier[Any] = MemoryTier(100_000)
    for number in range(1_000):
        await tier.put(f"key{number}", kept, life_seconds=60)
    assert 50_000 < tier.bytes <= 100_000


async def test_what_is_asked_for_often_is_not_washed_out_by_what_is_asked_for_once():
    tier = MemoryTier(20_000)
    for number in range(5):
        await tier.put(f"hot{number}", b"x" * 1_000, life_seconds=60)
    for number in range(2_000):
        for hot in range(5):
            await tier.get(f"hot{hot}")
        await tier.put(f"cold{number}", b"x" * 1_000, life_seconds=60)
    assert all([await tier.get(f"hot{number}") is not None for number in range(5)])
