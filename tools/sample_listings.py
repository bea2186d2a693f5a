"""Make sandbox/data/sample_listings.csv from the King County sales.

python tools/sample_listings.py SALES.csv

The rule: the last 8 sales of each ZIP code (by day, then by the sale's id), each
home once, listed at the price and on the day it sold. No addresses, since the
source has none, and no parcel numbers, since the sample is of no use for finding
the homes. An id is the ZIP code and the place in this order: `KC-98107-3`.

Source: 21,613 sales in King County WA, 2014-05-02 to 2015-05-27; county public
records, published on Kaggle as harlfoxem/housesalesprediction (CC0). The source
does not say of what type a home is, so the sample does not either.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

OUT = Path(__file__).parent.parent / "sandbox/data/sample_listings.csv"
OF_EACH_ZIP = 8
COLUMNS = {
    "bedrooms": "bedrooms",
    "bathrooms": "bathrooms",
    "area_sqft": "sqft_living",
    "lot_sqft": "sqft_lot",
    "floors": "floors",
    "basement_sqft": "sqft_basement",
    "year_built": "yr_built",
    "year_renovated": "yr_renovated",
    "waterfront": "waterfront",
    "view": "view",
    "condition": "condition",
}


def sample(sales: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the listings that the rule makes of sales."""
    by_zip: dict[str, list[dict[str, str]]] = defaultdict(list)
    homes: set[str] = set()
    for sale in sorted(sales, key=lambda each: (each["date"], each["id"]), reverse=True):
        if len(by_zip[sale["zipcode"]]) < OF_EACH_ZIP and sale["id"] not in homes:
            homes.add(sale["id"])
            by_zip[sale["zipcode"]].append(sale)
    return [
        {
            "listing_id": f"KC-{zip_code}-{place}",
            "zip": zip_code,
            "price_usd": sale["price"],
            "list_date": sale["date"],
            **{name: sale[column] for name, column in COLUMNS.items()},
        }
        for zip_code in sorted(by_zip)
        for place, sale in enumerate(by_zip[zip_code], start=1)
    ]


def main(arguments: list[str]) -> int:
    """Write the sample."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    with Path(arguments[0]).open(encoding="utf-8", newline="") as file:
        rows = sample(list(csv.DictReader(file)))
    with OUT.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    sys.stdout.write(f"{OUT}: {len(rows)} listings\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
