"""Says an estimate in sentences short enough for a text message. Pure.

Every number comes from the estimate; nothing is rounded but prices, to thousands, and
each sentence can stand alone.
"""

from typing import Final

from services.seller.cma import NOT_AN_APPRAISAL, Comparable, Confidence, Estimate, TooFewSales

SHOWN: Final = 3
"""Comparables that a text names."""

_AGREE: Final = {
    Confidence.HIGH: "The sales agree well (high confidence).",
    Confidence.MEDIUM: "The sales agree fairly well (medium confidence).",
    Confidence.LOW: "The sales differ a lot (low confidence).",
}


def say(result: Estimate | TooFewSales, *, title: str) -> tuple[str, ...]:
    """Return what a text message can say of a result, in order: range, agreement, sales, what it is not.

    Args:
        result: What came of it.
        title: What the sales are, such as "King County public records, sample data".
    """
    as_of = f"as of {result.valuation_date:%B %Y}, {title}"
    if isinstance(result, TooFewSales):
        return (f"I have no estimate, {as_of}: {result.because}",)
    return (
        f"Homes like yours point to {_range(result)}, middle {dollars(result.value_usd)}, {as_of}.",
        _agreement(result),
        *(_comparable(each) for each in result.comparables[:SHOWN]),
        NOT_AN_APPRAISAL,
    )


def message(result: Estimate | TooFewSales, *, title: str) -> tuple[str, str]:
    """Return the one text about a result: short, and with the weightiest sale beside it.

    Args:
        result: What came of it.
        title: What the sales are, such as "King County public records, sample data".
    """
    as_of = f"as of {result.valuation_date:%B %Y}, {title}"
    if isinstance(result, TooFewSales):
        said = f"I do not have enough sales there to say what it may sell for, {as_of}."
        return said, f"{said} {result.because}"
    many = len(result.comparables)
    start = (
        f"Homes like yours point to {_range(result)}, {as_of}, from {many} comparable {'sale' if many == 1 else 'sales'}."
        f" {_agreement(result)}"
    )
    return f"{start} {NOT_AN_APPRAISAL}", f"{start} {_comparable(result.comparables[0])} {NOT_AN_APPRAISAL}"


def dollars(amount_usd: int) -> str:
    """Write an amount, to thousands.

    >>> dollars(624_792), dollars(1_250_400), dollars(640)
    ('$625,000', '$1,250,000', '$640')
    """
    return f"${amount_usd if amount_usd < 1_000 else (amount_usd + 500) // 1_000 * 1_000:,}"


def _agreement(estimate: Estimate) -> str:
    if estimate.remote:
        nearest = min(each.distance_miles for each in estimate.comparables)
        return f"The nearest of these sales is {nearest:.1f} mi away (low confidence)."
    return _AGREE[estimate.confidence]


def _range(estimate: Estimate) -> str:
    return f"{dollars(estimate.low_usd)} to {dollars(estimate.high_usd)}"


def _comparable(sale: Comparable) -> str:
    change = sale.adjusted_price_usd - sale.price_usd
    adjusted = "" if not change else f", {dollars(sale.adjusted_price_usd)} after adjusting for differences"
    return (
        f"One {sale.area_sqft:,.0f} sq ft home {sale.distance_miles:.1f} mi away sold for"
        f" {dollars(sale.price_usd)} in {sale.sale_date:%B %Y}{adjusted}."
    )
