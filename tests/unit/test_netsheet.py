"""What a sale leaves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.seller.netsheet import TAXES, Sale, net_sheet

cents = st.integers(0, 10**11)


@given(st.builds(Sale, price_usd_cents=st.integers(10**6, 10**11), mortgage_usd_cents=cents,
    commission_basis_points=st.integers(0, 2_000), closing_costs_usd_cents=st.none() | cents,
    other_costs_usd_cents=cents, jurisdiction=st.sampled_from(["", "WA-KING"])))  # fmt: skip
def test_lines_add_up_to_the_cent(sale):
    sheet = net_sheet(sale)
    price, *paid = (line.amount_usd_cents for line in sheet.lines)
    assert price + sum(paid) == sheet.net_usd_cents
    assert price == sale.price_usd_cents and all(amount <= 0 for amount in paid)


@pytest.mark.parametrize(
    ("price_usd", "tax_usd"),
    [(500_000, 5_500), (525_000, 5_775), (1_525_000, 18_575), (2_000_000, 31_637.5), (4_000_000, 89_075)],
)
def test_excise_tax_is_due_by_steps_of_the_price(price_usd, tax_usd):
    assert TAXES["WA-KING"][0].due(price_usd * 100) == round(tax_usd * 100)


def test_what_nobody_quoted_is_named_not_guessed():
    sheet = net_sheet(Sale(price_usd_cents=10**8, mortgage_usd_cents=0, commission_basis_points=500))
    assert {line.name for line in sheet.lines} == {"price", "mortgage", "commission"}
    assert sheet.not_included[0].startswith("Title insurance") and "Taxes on the sale." in sheet.not_included


def test_debt_above_the_price_leaves_less_than_nothing():
    sheet = net_sheet(Sale(price_usd_cents=10**8, mortgage_usd_cents=2 * 10**8, commission_basis_points=0))
    assert sheet.net_usd_cents == -(10**8)


def test_every_tax_says_since_when_and_by_what_law():
    assert all(tax.source and tax.since for taxes in TAXES.values() for tax in taxes)
