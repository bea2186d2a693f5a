"""The sample that comes with the source is what the script makes of the sales."""

import csv
from pathlib import Path

import pytest

from tests.support.system import ROOT
from tools.sample_listings import OUT, sample

SALES = ROOT.parent / "shared/data/king_county_sales.csv"


def a_sale(sale_id: str, day: str, zip_code: str = "98107") -> dict[str, str]:
    numbers = (
        "bedrooms bathrooms sqft_living sqft_lot floors sqft_basement yr_built yr_renovated waterfront view condition"
    )
    return {"id": sale_id, "date": day, "price": "1", "zipcode": zip_code, **dict.fromkeys(numbers.split(), "1")}


def test_home_that_sold_twice_is_listed_once_at_its_last_sale():
    listings = sample([a_sale("1", "2014-06-01"), a_sale("1", "2015-05-01"), a_sale("2", "2015-01-01")])
    assert [(each["listing_id"], each["list_date"]) for each in listings] == [
        ("KC-98107-1", "2015-05-01"),
        ("KC-98107-2", "2015-01-01"),
    ]


def test_sample_holds_neither_address_nor_parcel_number():
    header = Path(OUT).read_text(encoding="utf-8").splitlines()[0].split(",")
    assert not {"id", "parcel", "address", "street", "lat", "long"} & set(header)


@pytest.mark.outside
def test_sample_is_made_of_the_sales_by_its_rule():
    if not SALES.exists():
        pytest.skip(f"{SALES} is not here")
    with SALES.open(encoding="utf-8", newline="") as file:
        wanted = sample(list(csv.DictReader(file)))
    with OUT.open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == wanted
