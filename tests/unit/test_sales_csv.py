"""Reading sales out of anybody's CSV."""

from datetime import date

import pytest

from kit.column_map import BadColumnMap
from kit.homes import HOME_FIELDS
from migrations.sales_csv import Skipped, read_map, read_sales
from services.seller.features import COLUMNS

MAP = "Parcel=home_id,Sold On=sale_date,Paid=price_usd,Y=latitude,X=longitude,GLA=area_sqft,Baths=bathrooms"
HEADER = "Parcel,Sold On,Paid,Y,X,GLA,Baths"
GOOD = '77,10/13/2014,"$450,000",39.74,-104.99,"1,850",2.5'


def read(*rows, mapping=MAP, header=HEADER):
    skipped = Skipped()
    return list(read_sales([f"{line}\n" for line in (header, *rows)], read_map(mapping), skipped)), skipped


def test_other_countys_columns_become_a_sale():
    (sale,), _ = read(GOOD)
    assert (sale.sale_id, sale.sale_date, sale.price_usd) == ("77:2014-10-13", date(2014, 10, 13), 450_000)
    assert (sale.area_sqft, dict(sale.features), sale.zip_code) == (1850.0, {"bathrooms": 2.5}, "")


BAD = {
    "77,13/40/2014,450000,39.7,-105,1850,2": "sale_date is no date",
    "77,,450000,39.7,-105,1850,2": "sale_date is missing",
    "77,2014-10-13,free,39.7,-105,1850,2": "price_usd is no number",
    "77,2014-10-13,1,39.7,-105,1850,2": "price_usd is not within 10,000 to 1,000,000,000",
    "77,2014-10-13,nan,39.7,-105,1850,2": "price_usd is no number",
    "77,2014-10-13,450000,139.7,-105,1850,2": "latitude is not within -90 to 90",
    "77,2014-10-13,450000,39.7,-105,,2": "area_sqft is missing",
    "77,2014-10-13,450000,39.7,-105,1850,33": "bathrooms is not within 0 to 20",
    ",2014-10-13,450000,39.7,-105,1850,2": "no usable id",
    "77,2014-10-13": "has another number of cells than the header",
}


@pytest.mark.parametrize("row", BAD)
def test_row_that_is_no_sale_is_left_out_with_its_reason(row):
    sales, skipped = read(row, GOOD)
    assert len(sales) == 1
    assert skipped.report() == [f"skipped 1: {BAD[row]} (line 2)"]


def test_feature_that_a_row_lacks_is_not_known():
    (sale,), skipped = read("77,2014-10-13,450000,39.7,-105,1850,")
    assert not sale.features and not skipped.reasons


def test_same_sale_twice_counts_once():
    sales, skipped = read(GOOD, GOOD)
    assert len(sales) == 1 and skipped.reasons == {"the same sale again": 1}


def test_report_names_the_first_lines_only():
    _, skipped = read(*["77,,1,1,1,1,1"] * 9)
    assert skipped.report() == ["skipped 9: sale_date is missing (lines 2, 3, 4, 5, 6, ...)"]


@pytest.mark.parametrize(
    ("mapping", "complaint"),
    [
        ("a=price", "there is no field price; fields are"),
        ("price_usd", "is not column=field"),
        (MAP + ",Z=area_sqft", "area_sqft is mapped twice"),
        ("a=home_id", "no column is mapped to sale_date"),
        (MAP.removeprefix("Parcel=home_id,"), "no column is mapped to sale_id or home_id"),
    ],
)
def test_map_that_does_not_lead_to_a_sale_is_refused(mapping, complaint):
    with pytest.raises(BadColumnMap, match=complaint):
        read_map(mapping)


def test_column_that_the_file_lacks_is_named_beside_those_it_has():
    with pytest.raises(BadColumnMap, match=r"no column Baths for bathrooms; it has Parcel, Sold On"):
        read(header="Parcel,Sold On,Paid,Y,X,GLA")


def test_every_field_of_a_home_takes_part_in_the_regression():
    assert {each.name for each in HOME_FIELDS} == set(COLUMNS)
