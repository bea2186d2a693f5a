"""The worker that ends records, over records that answer from a script."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from pydantic import ValidationError

from kit.errors import StoreUnavailable
from services.gateway import retention
from services.gateway.addresses import Addresses
from services.gateway.retention import ROWS, Ended, Place, Retention
from services.gateway.settings import GatewaySettings

ADDRESSES = Addresses(b"a key of the tests")


class Script:
    """Two pages of two contacts; each contact has rows for two looks. Stops the worker when it has told it all."""

    def __init__(self, stopping: asyncio.Event, *, fails_at: int = 0, stops_at: str = "") -> None:
        self.asked: list[str] = []
        self._stopping = stopping
        self._fails_at = fails_at
        self._stops_at = stops_at

    def _note(self, asked: str) -> None:
        self.asked.append(asked)
        if len(self.asked) == self._fails_at:
            raise StoreUnavailable("postgres does not answer", store="postgres")
        if asked == self._stops_at:
            self._stopping.set()

    async def old(self, after: Place, *, limit: int) -> tuple[Sequence[Place], Place | None]:
        self._note(f"page after {after[1]}")
        pages = {"": ([("t", "a"), ("t", "b")], ("t", "b")), "b": ([("t", "c")], ("t", "d")), "d": ([], None)}
        return pages[after[1]]

    async def end(self, contact: Place, *, contact_hash: str, limit: int) -> Ended:
        assert (contact_hash, limit) == (ADDRESSES.of_contact(*contact), ROWS)
        self._note(contact[1])
        return Ended(rows={"inbox": 1}, erased=False, more=self.asked.count(contact[1]) < 2)

    async def end_others(self, *, limit: int) -> Mapping[str, int]:
        self._note("others")
        return {"inbox": 0, "spend": ROWS if self.asked.count("others") < 2 else 0}


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE_SECONDS", "ROUND_SECONDS", "FAILED_SECONDS"):
        monkeypatch.setattr(retention, name, 0.0)


ROUND = ["page after ", "a", "a", "b", "b", "page after b", "c", "c", "page after d", "others"]


async def run(**script: int | str) -> list[str]:
    stopping = asyncio.Event()
    records = Script(stopping, **script)  # type: ignore[arg-type]
    async with asyncio.timeout(30):
        await Retention(records, ADDRESSES)(stopping)
    return records.asked


async def test_all_pages_are_looked_at_and_what_has_more_is_looked_at_again() -> None:
    assert await run(stops_at="others") == ROUND


async def test_store_that_does_not_answer_is_asked_again_for_the_same_page() -> None:
    asked = await run(fails_at=7, stops_at="others")
    assert asked == [*ROUND[:7], "page after b", "c", "page after d", "others"]


@pytest.mark.parametrize(("days", "taken"), [("0", True), ("90", True), ("", True), ("89", False), ("36501", False)])
def test_records_are_kept_for_90_days_at_least_or_for_good(monkeypatch, tmp_path, days, taken) -> None:
    (tmp_path / "key").write_text("a key of the tests")
    monkeypatch.setenv("PORCHLIGHT_SUPPRESSION_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("PORCHLIGHT_KEEP_DAYS", days)
    refused: dict[str, str] = {}
    try:
        assert GatewaySettings().keep_days == int(days or 2557)
    except ValidationError as error:
        refused = {str(each["loc"][0]): each["msg"] for each in error.errors()}
    assert (list(refused) == []) == taken, refused


async def test_worker_stops_between_two_looks_at_a_contact() -> None:
    assert await run(stops_at="a") == ["page after ", "a"]
