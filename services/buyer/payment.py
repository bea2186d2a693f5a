"""What a home costs a month, as an estimate with dated assumptions. Pure."""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Final

NOTICE: Final = "An estimate, not an offer of credit."
_HUNDRED: Final = Decimal(100)
_INSURED_BELOW_PERCENT: Final = Decimal(20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumptions:
    """What an estimate rests on."""

    rate_percent: Decimal
    """A loan's yearly interest, 0 to 100."""
    rate_date: date
    rate_source: str
    down_payment_percent: Decimal
    """Of the price, 0 to 100."""
    loan_years: int
    """1 to 50; one payment each month, fixed rate."""
    property_tax_percent: Decimal
    """Of the price, a year."""
    insurance_usd_cents_per_year: int
    carrying_costs_source: str
    """Where the tax and the insurance are from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """A month's payment; the parts add up to the total."""

    price_usd_cents: int
    loan_usd_cents: int
    principal_and_interest_usd_cents: int
    property_tax_usd_cents: int
    insurance_usd_cents: int
    assumptions: Assumptions

    @property
    def total_usd_cents(self) -> int:
        """The whole payment."""
        return self.principal_and_interest_usd_cents + self.property_tax_usd_cents + self.insurance_usd_cents

    @property
    def words(self) -> str:
        """Say what it is, what it rests on and what it leaves out."""
        held = self.assumptions
        left_out = ["association dues"]
        if self.loan_usd_cents and held.down_payment_percent < _INSURED_BELOW_PERCENT:
            left_out.insert(0, "mortgage insurance")
        return (
            f"{NOTICE} {held.loan_years} years at {held.rate_percent:f} % ({held.rate_source}, {held.rate_date}), "
            f"{held.down_payment_percent:f} % down, {held.property_tax_percent:f} % property tax a year and insurance "
            f"({held.carrying_costs_source}). Without {' and '.join(left_out)}."
        )


def estimate(price_usd_cents: int, assumptions: Assumptions) -> Payment:
    """Estimate a month's payment for a home.

    Args:
        price_usd_cents: Above 0.
        assumptions: See there.
    """
    assert price_usd_cents > 0, price_usd_cents
    down = _rounded(Decimal(price_usd_cents) * assumptions.down_payment_percent / _HUNDRED)
    loan = price_usd_cents - down
    return Payment(
        price_usd_cents=price_usd_cents,
        loan_usd_cents=loan,
        principal_and_interest_usd_cents=instalment(loan, assumptions.rate_percent, assumptions.loan_years),
        property_tax_usd_cents=_rounded(Decimal(price_usd_cents) * assumptions.property_tax_percent / _HUNDRED / 12),
        insurance_usd_cents=_rounded(Decimal(assumptions.insurance_usd_cents_per_year) / 12),
        assumptions=assumptions,
    )


def instalment(loan_usd_cents: int, rate_percent: Decimal, years: int) -> int:
    """Return the level monthly payment of a fixed-rate loan, in cents, half a cent up.

    Source: the annuity formula, L i / (1 - (1 + i)^-n) with i a twelfth of the yearly rate.

    >>> instalment(200_000_00, Decimal("6.5"), 30)
    126414
    """
    months = years * 12
    if rate_percent == 0:
        return _rounded(Decimal(loan_usd_cents) / months)
    with localcontext() as context:
        context.prec = 40
        monthly = rate_percent / _HUNDRED / 12
        return _rounded(loan_usd_cents * monthly / (1 - (1 + monthly) ** -months))


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))
