"""What of a score and of the facts stands in the contact's custom fields in the CRM. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from kit.effects import FieldValue
from kit.lane import Fact
from services.lead.qualification import Qualification

PREFIX: Final = "contact.porchlight_"
REASONS_MOST: Final = 1_000
FACTS: Final[Mapping[str, str]] = {
    "intent": "intent",
    "area": "area",
    "address_area": "home_area",
    "timeline": "timeline",
    "price_max_usd": "budget_usd",
    "bedrooms_min": "bedrooms",
    "financing": "financing",
}
"""Facts that have a field of their own. What is private to one bot is none of them."""


def fields(scored: Qualification, facts: Iterable[Fact]) -> dict[str, FieldValue]:
    """Return the fields by their keys in the CRM.

    The reasons are our sentences with their points, never the person's words.
    """
    reasons = "; ".join(f"{factor.points:+} {factor.because}" for factor in scored.factors)
    found: dict[str, FieldValue] = {
        f"{PREFIX}score": scored.score,
        f"{PREFIX}grade": scored.grade.value,
        f"{PREFIX}reasons": reasons[:REASONS_MOST],
    }
    for fact in facts:
        if fact.name in FACTS and fact.private_to is None:
            value = fact.value.replace("_", " ") if isinstance(fact.value, str) else fact.value
            found[f"{PREFIX}{FACTS[fact.name]}"] = value
    return found
