"""The seller bot's look-up: a value in time, or none."""

import asyncio
from dataclasses import replace

import pytest

from kit.errors import SalesSourceNotFound
from kit.homes import SAMPLE_TENANTS
from kit.rpc import context
from services.seller.lookup import KEPT_SECONDS, Lookup
from services.seller.sales import MemorySalesStore, SalesSource
from services.seller.valuation import Valuations
from services.seller.value import LookedUp
from tests.support.bots import BOTS, a_situation
from tests.support.sales import LAST, Town, a_subject, a_town

SELLER = BOTS["seller"]
HOME = {"intent": "sell", "address_area": "00001", "area_sqft": 1_800}
SOURCE = SalesSource(name="town", title=Town.title, valuation_date=LAST, revision="1", sales_count=900)


class CountingStore(MemorySalesStore):
    """Counts how often sales are read."""

    reads = 0

    async def read(self, source):
        self.reads += 1
        return await super().read(source)


def a_store() -> CountingStore:
    return CountingStore({SOURCE: a_town()})


async def test_home_with_place_and_size_is_valued_as_the_service_values_it():
    valuations = Valuations(a_store())
    found = await Lookup(valuations)("loc_1", a_situation(SELLER, "ok", known=HOME))
    said = await valuations.value(a_subject(point=None, zips=("00001",), features={}), tenant_id="loc_1")
    assert found == {"value": LookedUp(result=said.result, title=Town.title)}


async def test_sample_sales_value_nobodys_real_home():
    """A sample speaks of years ago; only the sandbox and previews may hear it, whatever was loaded last."""
    sample = replace(SOURCE, name="sample", title="A sample", sample=True)
    situation = a_situation(SELLER, "ok", known=HOME)
    with pytest.raises(SalesSourceNotFound):
        await Lookup(Valuations(MemorySalesStore({sample: a_town()})))("loc_1", situation)
    both = Lookup(Valuations(MemorySalesStore({SOURCE: a_town(), sample: a_town()})))
    named = {tenant: (await both(tenant, situation))["value"].title for tenant in ("loc_1", *SAMPLE_TENANTS)}
    assert named == {"loc_1": Town.title, "loc_sandbox": "A sample", "preview": "A sample"}


async def test_nothing_is_read_for_a_home_whose_size_is_not_known():
    store = a_store()
    known = {"intent": "sell", "address_area": "00001"}
    assert await Lookup(Valuations(store))("loc_1", a_situation(SELLER, "ok", known=known)) == {}
    assert store.reads == 0


async def test_turn_whose_time_is_needed_for_its_answer_is_not_kept_waiting():
    store = a_store()
    deadline = context.DEADLINE.set(asyncio.get_running_loop().time() + KEPT_SECONDS - 1)
    try:
        assert await Lookup(Valuations(store))("loc_1", a_situation(SELLER, "ok", known=HOME)) == {}
    finally:
        context.DEADLINE.reset(deadline)
    assert store.reads == 0


async def test_store_that_hangs_ends_in_no_value_when_the_time_is_over():
    class Hanging(CountingStore):
        async def read(self, source):
            await asyncio.Event().wait()

    store = Hanging({SOURCE: a_town()})
    deadline = context.DEADLINE.set(asyncio.get_running_loop().time() + KEPT_SECONDS + 0.05)
    try:
        assert await Lookup(Valuations(store))("loc_1", a_situation(SELLER, "ok", known=HOME)) == {}
    finally:
        context.DEADLINE.reset(deadline)


async def test_usual_markets_are_made_before_anybody_asks_and_it_ends_when_told():
    stopping, made = asyncio.Event(), []

    class Watched(Valuations):
        async def prepare(self, knowledge):
            await super().prepare(knowledge)
            made.append(knowledge.features)
            if len(made) == 2:
                stopping.set()

    store = a_store()
    await Lookup(Watched(store)).keep_warm(stopping)
    assert made == [frozenset(), frozenset({"condition", "bedrooms", "bathrooms"})]
    assert store.reads == 1


async def test_no_sales_at_all_do_not_end_the_worker():
    stopping = asyncio.Event()
    working = asyncio.ensure_future(Lookup(Valuations(MemorySalesStore({}))).keep_warm(stopping))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not working.done()
    stopping.set()
    await working
