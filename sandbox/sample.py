"""The sample that `porchlight up` shows things with: sales of King County, 2014 and 2015. Pure."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "data" / "king_county_sales.csv.gz"
SOURCE: Final = "king_county"
TITLE: Final = "King County public records, sample data"
COLUMN_MAP: Final = (
    "id=home_id,date=sale_date,price=price_usd,lat=latitude,long=longitude,zipcode=zip_code,sqft_living=area_sqft,"
    "sqft_lot=lot_sqft,bedrooms=bedrooms,bathrooms=bathrooms,floors=floors,waterfront=waterfront,view=view,"
    "condition=condition,grade=quality,sqft_basement=basement_sqft,yr_built=year_built,yr_renovated=year_renovated,"
    "sqft_living15=neighbors_area_sqft"
)
"""Its columns and what they are here; the licence is in `data/README.md`."""


def lines() -> Iterator[str]:
    """Yield the lines of the file."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as file:
        yield from file
