"""Names of places and their ZIP codes."""

import statistics

import pytest

from kit.places import ZIPS_OF_PLACE, is_zip, zips_of
from tests.support.sales import sample_sales

# Where maps put the middle of these; miles allow for ZIP codes that reach far beyond the name.
CENTERS = {
    "ballard": (47.677, -122.385, 1.5),
    "fremont": (47.651, -122.350, 2.5),
    "capitol hill": (47.625, -122.317, 1.5),
    "queen anne": (47.637, -122.357, 1.5),
    "west seattle": (47.560, -122.380, 2.5),
    "bellevue": (47.605, -122.170, 4.0),
    "kirkland": (47.685, -122.200, 3.0),
    "redmond": (47.674, -122.110, 4.5),
    "renton": (47.480, -122.190, 4.0),
    "kent": (47.385, -122.210, 5.0),
    "shoreline": (47.755, -122.340, 3.0),
    "mercer island": (47.570, -122.225, 1.5),
    "magnolia": (47.648, -122.400, 1.5),
    "columbia city": (47.560, -122.286, 2.0),
    "enumclaw": (47.204, -121.991, 3.0),
}


@pytest.mark.parametrize("name", CENTERS)
def test_place_lies_where_its_zip_codes_sales_lie(name):
    latitude, longitude, miles = CENTERS[name]
    sold = [sale for sale in sample_sales() if sale.zip_code in zips_of(name)]
    north = 69.0 * (statistics.median(sale.latitude for sale in sold) - latitude)
    east = 46.6 * (statistics.median(sale.longitude for sale in sold) - longitude)
    assert (north**2 + east**2) ** 0.5 <= miles


def test_every_place_has_zip_codes_and_all_but_vacant_ones_have_sales():
    known = {sale.zip_code for sale in sample_sales()}
    assert all(zips and set(zips) <= known and len(set(zips)) == len(zips) for zips in ZIPS_OF_PLACE.values())


@pytest.mark.parametrize(
    "name", ["Ballard", "ballard", " BALLARD ", "the Ballard area", "Ballard, Seattle", "Ballard, WA"]
)
def test_case_and_trimmings_do_not_matter(name):
    assert zips_of(name) == ("98107", "98117")


@pytest.mark.parametrize("name", ["", "Seattle", "Atlantis", "9810", "98107 98117", "the"])
def test_place_that_is_not_in_the_table_has_none(name):
    assert zips_of(name) == ()


@pytest.mark.parametrize(
    ("name", "meant"), [("balard", "ballard"), ("capital hill", "capitol hill"), ("Walingford, WA", "wallingford")]
)
def test_slip_of_the_finger_does_not_matter(name, meant):
    assert zips_of(name) == ZIPS_OF_PLACE[meant]


@pytest.mark.parametrize("name", ["Apple Valley", "Fenton", "Kant", "Lakeside", "Richmond"])
def test_another_place_is_not_taken_for_one_of_the_table(name):
    assert zips_of(name) == ()


@pytest.mark.parametrize(("text", "answer"), [("98107", True), ("98107-0001", True), ("9810", False), ("٩٨١٠٧", False)])
def test_zip_code_is_five_digits(text, answer):
    assert is_zip(text) is answer
