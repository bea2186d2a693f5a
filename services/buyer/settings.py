"""What the buyer bot can be told from outside: what an estimate of a payment rests on."""

from datetime import date
from decimal import Decimal

from pydantic import Field

from kit.bot.settings import BotSettings
from services.buyer.payment import Assumptions


class BuyerSettings(BotSettings):
    """The settings of every bot, and the buyer's own. The defaults are of the time of the sample listings."""

    loan_rate_percent: Decimal = Field(
        Decimal("3.87"), ge=0, le=30, description="Yearly interest that payment estimates assume."
    )
    loan_rate_date: date = Field(date(2015, 5, 28), description="The day that rate is of; every estimate says it.")
    loan_rate_source: str = Field(
        "Freddie Mac PMMS, 30-year fixed, US average",
        min_length=1,
        max_length=120,
        description="Who published that rate; every estimate says it.",
    )
    loan_years: int = Field(30, ge=1, le=50, description="Years of the loan that estimates assume.")
    down_payment_percent: Decimal = Field(
        Decimal(20), ge=0, le=100, description="Down payment that estimates assume, in percent of the price."
    )
    property_tax_percent: Decimal = Field(
        Decimal(1), ge=0, le=10, description="Property tax a year that estimates assume, in percent of the price."
    )
    insurance_usd_per_year: int = Field(
        1_200, ge=0, le=100_000, description="Home insurance a year that estimates assume."
    )
    carrying_costs_source: str = Field(
        "round sample figures, no quotes",
        min_length=1,
        max_length=120,
        description="Where the tax and the insurance are from; every estimate says it.",
    )

    def assumptions(self) -> Assumptions:
        """Return what estimates rest on."""
        return Assumptions(
            rate_percent=self.loan_rate_percent,
            rate_date=self.loan_rate_date,
            rate_source=self.loan_rate_source,
            down_payment_percent=self.down_payment_percent,
            loan_years=self.loan_years,
            property_tax_percent=self.property_tax_percent,
            insurance_usd_cents_per_year=self.insurance_usd_per_year * 100,
            carrying_costs_source=self.carrying_costs_source,
        )
