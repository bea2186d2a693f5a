"""What a sale leaves for the seller, line by line. Pure.

The commission is asked, never quoted: it is negotiable and not set by law. What is not
known is not guessed but named as missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

BASIS_POINTS: Final = 10_000
DISCLAIMER: Final = (
    "An estimate, not a closing statement and no tax advice. Commission is negotiable and not set by law."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tax:
    """A tax on the sale that the seller pays, by steps of the price."""

    name: str
    label: str
    steps: tuple[tuple[int | None, int], ...]
    """Up to this many cents (None: without limit), the part above the step before is taxed at these basis points."""
    since: date
    source: str

    def due(self, price_usd_cents: int) -> int:
        """Return the tax in cents, halves rounded up."""
        due, begin = 0, 0
        for end, rate in self.steps:
            part = price_usd_cents - begin if end is None else min(price_usd_cents, end) - begin
            due += max(0, part) * rate
            begin = end or 0
        return (due + BASIS_POINTS // 2) // BASIS_POINTS


TAXES: Final[Mapping[str, tuple[Tax, ...]]] = {
    "WA-KING": (
        Tax(
            name="excise_tax_state",
            label="State real estate excise tax",
            steps=((525_000_00, 110), (1_525_000_00, 128), (3_025_000_00, 275), (None, 300)),
            since=date(2023, 1, 1),
            # Said to be adjusted every fourth year, so to be looked up again for 2027-01-01.
            source="Washington state excise tax, steps from 2023-01-01, as published by brokers; confirm with the state",
        ),
        Tax(
            name="excise_tax_local",
            label="Local real estate excise tax",
            steps=((None, 50),),
            since=date(2023, 1, 1),
            source="0.50 %, as brokers give it for most cities of King County; confirm with the county",
        ),
    ),
}
"""Taxes by place. Data with a date. State steps as two brokers' pages give them for 2023-01-01 (swansonking.com,
accesshomeclosing.com, seen 2026-11-23), which also give 0.5 % for most local taxes; neither the law itself nor each
city's rate was read, so have them confirmed before a person relies on them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sale:
    """What is known of a sale that may come; cents."""

    price_usd_cents: int
    mortgage_usd_cents: int
    commission_basis_points: int
    closing_costs_usd_cents: int | None = None
    """None when nobody has quoted them."""
    other_costs_usd_cents: int = 0
    jurisdiction: str = ""
    """A key of `TAXES`; empty for none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line; below 0 for what is paid."""

    name: str
    label: str
    amount_usd_cents: int
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NetSheet:
    """All lines and their sum."""

    lines: tuple[Line, ...]
    not_included: tuple[str, ...]

    @property
    def net_usd_cents(self) -> int:
        """What is left; below 0 when the sale does not cover what is owed."""
        return sum(line.amount_usd_cents for line in self.lines)


def net_sheet(sale: Sale) -> NetSheet:
    """Work out what is left of a price.

    >>> sale = Sale(price_usd_cents=600_000_00, mortgage_usd_cents=200_000_00, commission_basis_points=500,
    ...     jurisdiction="WA-KING")
    >>> net_sheet(sale).net_usd_cents
    36026500
    """
    commission = (sale.price_usd_cents * sale.commission_basis_points + BASIS_POINTS // 2) // BASIS_POINTS
    rate = f"{sale.commission_basis_points / 100:g}"
    lines = [
        Line(name="price", label="Sale price", amount_usd_cents=sale.price_usd_cents),
        Line(name="mortgage", label="Mortgage payoff", amount_usd_cents=-sale.mortgage_usd_cents),
        Line(name="commission", label=f"Commission at {rate} %, as asked about", amount_usd_cents=-commission),
    ]
    lines += [
        Line(name=tax.name, label=tax.label, amount_usd_cents=-tax.due(sale.price_usd_cents), source=tax.source)
        for tax in TAXES.get(sale.jurisdiction, ())
    ]
    missing = ["Property taxes, dues and rents shared with the buyer by date."]
    if sale.jurisdiction not in TAXES:
        missing.insert(0, "Taxes on the sale.")
    if sale.closing_costs_usd_cents is None:
        missing.insert(0, "Title insurance, escrow and recording fees: ask the closing agent for a quote.")
    else:
        closing = -sale.closing_costs_usd_cents
        lines.append(Line(name="closing_costs", label="Closing costs, as quoted", amount_usd_cents=closing))
    if sale.other_costs_usd_cents:
        lines.append(Line(name="other_costs", label="Other costs", amount_usd_cents=-sale.other_costs_usd_cents))
    return NetSheet(lines=tuple(lines), not_included=tuple(missing))
