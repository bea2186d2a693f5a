"""Sales of a made-up town with known laws, and of the sample."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

from kit.homes import Sale
from migrations.sales_csv import Skipped, read_map, read_sales
from sandbox import sample
from services.seller.book import make_book
from services.seller.cma import Estimate, Subject, TooFewSales, estimate
from services.seller.market import Knowledge, Market, make_market

LAST = date(2026, 6, 1)
"""The valuation date of the town: the day after its last sale."""
CENTER = (40.0, -100.0)


def a_sale(number: int, **rest: object) -> Sale:
    """One sale of the town: price is the law of `price_of`, with 5 % noise."""
    chance = random.Random(number)
    area = math.exp(chance.gauss(math.log(1_800), 0.3))
    rooms = float(max(1, round(area / 600 + chance.gauss(0, 0.7))))
    noise = chance.gauss(0, 0.05)
    sale = Sale(
        sale_id=f"s{number}",
        home_id=f"h{number}",
        sale_date=LAST - timedelta(days=1 + chance.randrange(400)),
        price_usd=round(price_of(area, rooms) * math.exp(noise)),
        latitude=CENTER[0] + chance.uniform(-0.03, 0.03),
        longitude=CENTER[1] + chance.uniform(-0.03, 0.03),
        zip_code="00001",
        area_sqft=round(area),
        features={"bathrooms": rooms},
    )
    return replace(sale, **rest)  # type: ignore[arg-type]


def price_of(area_sqft: float, bathrooms: float) -> float:
    """The law of the town."""
    return 300_000 * (area_sqft / 1_800) ** 0.7 * math.exp(0.05 * bathrooms)


@cache
def a_town(count: int = 900) -> tuple[Sale, ...]:
    """Many sales of the town."""
    return tuple(a_sale(number) for number in range(count))


def a_subject(area_sqft: float = 1_800, **rest: object) -> Subject:
    """A home in the middle of the town."""
    return replace(Subject(area_sqft=area_sqft, point=CENTER, features={"bathrooms": 3.0}), **rest)  # type: ignore[arg-type]


def valued(sales: Sequence[Sale], subject: Subject, on: date = LAST) -> Estimate | TooFewSales:
    """Estimate from sales alone."""
    book = make_book(sales)
    return estimate(make_market(book, on=on, knowledge=subject.knowledge), subject, on=on)


@cache
def sample_sales() -> tuple[Sale, ...]:
    """All sales that come with the project."""
    return tuple(read_sales(sample.lines(), read_map(sample.COLUMN_MAP), Skipped()))


def with_features(sales: Sequence[Sale], features: Mapping[str, float]) -> tuple[Sale, ...]:
    """Give every sale these features and no others."""
    return tuple(replace(sale, features=features) for sale in sales)


class Town:
    """The town with ZIP codes of its own, valued by the real engine as `Valuations` does; no process, no store."""

    title = "made-up town, sample data"

    def __init__(self, zip_code: str = "98107") -> None:
        self._book = make_book(tuple(replace(sale, zip_code=zip_code) for sale in a_town()))
        self._markets: dict[Knowledge, Market | None] = {}

    def value(self, subject: Subject) -> Estimate | TooFewSales:
        """Estimate as of the day after the last sale."""
        known = subject.knowledge.within(self._book)
        if known not in self._markets:
            self._markets[known] = make_market(self._book, on=LAST, knowledge=known)
        return estimate(self._markets[known], subject, on=LAST)
