"""Which listings fit a person's wishes, why, and which single wish to relax when none does. Pure.

Only what a record says of the home counts. Nothing here knows who asks, or who
lives where: equal wishes get equal answers (Fair Housing Act, 42 U.S.C. 3604).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from services.buyer.values import HardWish, Listing, Order, Proposal, Relaxation, Wishes

PROPOSALS_MOST: Final = 3
RANKED_MOST: Final = 500
"""How many listings a search ranks; of more, the newest."""
_PRICE_STEP_CENTS: Final = 1_000_00

# How much of a wish a relaxation gives up, so that the smallest comes first: a tenth
# more money weighs 0.1, one bedroom fewer 0.15.
_PER_BEDROOM: Final = 0.15
_WHOLE_WISH: Final = {HardWish.HOME_TYPE: 0.3, HardWish.AREA: 0.5}


def broken(wishes: Wishes, listing: Listing) -> tuple[HardWish, ...]:
    """Return the hard wishes that a listing does not keep; what its record does not say, it does not keep."""
    kept = {
        HardWish.PRICE_MAX: wishes.price_max_usd_cents is None or listing.price_usd_cents <= wishes.price_max_usd_cents,
        HardWish.BEDROOMS_MIN: wishes.bedrooms_min is None or listing.bedrooms >= wishes.bedrooms_min,
        HardWish.HOME_TYPE: wishes.home_type is None or listing.home_type is wishes.home_type,
        HardWish.AREA: not wishes.zips or listing.zip in wishes.zips,
    }
    return tuple(wish for wish in HardWish if not kept[wish])


def in_order(listings: Iterable[Listing], order: Order) -> list[Listing]:
    """Sort listings; the store sorts the same way."""
    first: dict[Order, Callable[[Listing], int]] = {
        Order.NEWEST: lambda each: 0,
        Order.CHEAPEST: lambda each: each.price_usd_cents,
        Order.MOST_BEDROOMS: lambda each: -each.bedrooms,
    }
    return sorted(listings, key=lambda each: (first[order](each), -each.list_date.toordinal(), each.listing_id))


def rank(wishes: Wishes, listings: Iterable[Listing]) -> tuple[Proposal, ...]:
    """Return what keeps every hard wish: most soft wishes first, then newest, cheapest, by id."""
    fitting = [each for each in listings if not broken(wishes, each)]
    proposals = [
        Proposal(listing=each, reasons=_reasons(wishes, each), missed=_missed(wishes, each)) for each in fitting
    ]
    return tuple(
        sorted(
            proposals,
            key=lambda each: (
                len(each.missed),
                -each.listing.list_date.toordinal(),
                each.listing.price_usd_cents,
                each.listing.listing_id,
            ),
        )
    )


# --- reasons


@dataclass(frozen=True, kw_only=True, slots=True)
class _Soft:
    """A soft wish: whether it was made, whether a record keeps it, and how to say so."""

    wanted: Callable[[Wishes], bool]
    kept: Callable[[Wishes, Listing], bool]
    reason: Callable[[Listing], str]
    missed: str


_SOFT: Final = (
    _Soft(
        wanted=lambda wishes: wishes.view,
        kept=lambda wishes, listing: bool(listing.view),
        reason=lambda listing: "has a view",
        missed="no view on record",
    ),
    _Soft(
        wanted=lambda wishes: wishes.waterfront,
        kept=lambda wishes, listing: listing.waterfront is True,
        reason=lambda listing: "on the water",
        missed="not on the water",
    ),
    _Soft(
        wanted=lambda wishes: wishes.bathrooms_min is not None,
        kept=lambda wishes, listing: _at_least(listing.bathrooms, wishes.bathrooms_min),
        reason=lambda listing: f"{listing.bathrooms:g} baths",
        missed="fewer baths",
    ),
    _Soft(
        wanted=lambda wishes: wishes.area_sqft_min is not None,
        kept=lambda wishes, listing: _at_least(listing.area_sqft, wishes.area_sqft_min),
        reason=lambda listing: f"{listing.area_sqft:,} sqft",
        missed="smaller than wished",
    ),
    _Soft(
        wanted=lambda wishes: wishes.lot_sqft_min is not None,
        kept=lambda wishes, listing: _at_least(listing.lot_sqft, wishes.lot_sqft_min),
        reason=lambda listing: f"lot of {listing.lot_sqft:,} sqft",
        missed="smaller lot",
    ),
    _Soft(
        wanted=lambda wishes: wishes.year_built_min is not None,
        kept=lambda wishes, listing: _at_least(listing.year_built, wishes.year_built_min),
        reason=lambda listing: f"built {listing.year_built}",
        missed="older than wished",
    ),
    _Soft(
        wanted=lambda wishes: wishes.price_min_usd_cents is not None,
        kept=lambda wishes, listing: _at_least(listing.price_usd_cents, wishes.price_min_usd_cents),
        reason=lambda listing: "within your price range",
        missed="below your price range",
    ),
)


def _at_least(value: float | None, least: float | None) -> bool:
    return value is not None and least is not None and value >= least


def _reasons(wishes: Wishes, listing: Listing) -> tuple[str, ...]:
    """Say which wishes a fitting listing keeps, with the numbers of its record only."""
    hard = []
    if wishes.price_max_usd_cents is not None:
        hard.append(f"{say_usd(listing.price_usd_cents)} is within your maximum")
    if wishes.bedrooms_min is not None:
        hard.append("enough bedrooms" if listing.bedrooms > wishes.bedrooms_min else "the bedrooms you asked for")
    if wishes.zips:
        hard.append(f"in ZIP {listing.zip}")
    if wishes.home_type is not None:
        hard.append(f"a {wishes.home_type.value}")
    soft = [each.reason(listing) for each in _SOFT if each.wanted(wishes) and each.kept(wishes, listing)]
    return (*hard, *soft)


def _missed(wishes: Wishes, listing: Listing) -> tuple[str, ...]:
    return tuple(each.missed for each in _SOFT if each.wanted(wishes) and not each.kept(wishes, listing))


def say_usd(cents: int) -> str:
    """Say an amount; cents only where there are any.

    >>> say_usd(649_950_00), say_usd(1_264_14)
    ('$649,950', '$1,264.14')
    """
    dollars, rest = divmod(cents, 100)
    return f"${dollars:,}.{rest:02}" if rest else f"${dollars:,}"


# --- when nothing fits


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A hard wish to do without, and which listing would then be nearest to it."""

    wish: HardWish
    wishes: Wishes
    order: Order


def trials(wishes: Wishes) -> tuple[Trial, ...]:
    """Return the searches that tell which single wish stands in the way: each leaves one wish out."""
    found = []
    if wishes.price_max_usd_cents is not None:
        without = replace(wishes, price_max_usd_cents=None)
        found.append(Trial(wish=HardWish.PRICE_MAX, wishes=without, order=Order.CHEAPEST))
    if wishes.bedrooms_min is not None:
        without = replace(wishes, bedrooms_min=None)
        found.append(Trial(wish=HardWish.BEDROOMS_MIN, wishes=without, order=Order.MOST_BEDROOMS))
    if wishes.home_type is not None:
        found.append(Trial(wish=HardWish.HOME_TYPE, wishes=replace(wishes, home_type=None), order=Order.NEWEST))
    if wishes.zips:
        found.append(Trial(wish=HardWish.AREA, wishes=replace(wishes, zips=()), order=Order.NEWEST))
    return tuple(found)


def relaxed(wishes: Wishes, trial: Trial, nearest: Listing) -> Wishes:
    """Return the wishes that give up just enough of one for the nearest listing: a price in whole $1,000.

    No other area is named: where to look instead is the person's choice, not ours.
    """
    if trial.wish is HardWish.PRICE_MAX:
        steps = -(-nearest.price_usd_cents // _PRICE_STEP_CENTS)
        return replace(wishes, price_max_usd_cents=steps * _PRICE_STEP_CENTS)
    if trial.wish is HardWish.BEDROOMS_MIN:
        return replace(wishes, bedrooms_min=nearest.bedrooms)
    return trial.wishes


def smallest_first(wishes: Wishes, found: Sequence[Relaxation]) -> tuple[Relaxation, ...]:
    """Sort relaxations by how much of a wish each gives up."""
    return tuple(sorted(found, key=lambda each: (_given_up(wishes, each), list(HardWish).index(each.wish))))


def _given_up(wishes: Wishes, relaxation: Relaxation) -> float:
    after = relaxation.wishes
    if relaxation.wish is HardWish.PRICE_MAX:
        assert wishes.price_max_usd_cents and after.price_max_usd_cents
        return after.price_max_usd_cents / wishes.price_max_usd_cents - 1
    if relaxation.wish is HardWish.BEDROOMS_MIN:
        assert wishes.bedrooms_min is not None and after.bedrooms_min is not None
        return _PER_BEDROOM * (wishes.bedrooms_min - after.bedrooms_min)
    return _WHOLE_WISH[relaxation.wish]


def more_usd_cents(wishes: Wishes, relaxation: Relaxation) -> int:
    """Return by how much a relaxation raises the highest price."""
    return (relaxation.wishes.price_max_usd_cents or 0) - (wishes.price_max_usd_cents or 0)


def say_relaxation(wishes: Wishes, relaxation: Relaxation) -> str:
    """Say what to relax, by how much, and what that opens."""
    after, count = relaxation.wishes, relaxation.opens_count
    opens = "1 listing" if count == 1 else f"{count:,} listings"
    if relaxation.wish is HardWish.PRICE_MAX:
        assert after.price_max_usd_cents is not None
        more = say_usd(more_usd_cents(wishes, relaxation))
        return f"up to {say_usd(after.price_max_usd_cents)} ({more} more) there would be {opens}"
    if relaxation.wish is HardWish.BEDROOMS_MIN:
        rooms = "1 bedroom" if after.bedrooms_min == 1 else f"{after.bedrooms_min} bedrooms"
        return f"with {rooms} instead of {wishes.bedrooms_min} bedrooms there would be {opens}"
    if relaxation.wish is HardWish.HOME_TYPE:
        assert wishes.home_type is not None
        unsaid = ", though records may not say the type" if relaxation.nearest.home_type is None else ""
        return f"of any type, not only a {wishes.home_type.value}, there would be {opens}{unsaid}"
    return f"in other areas there would be {opens}"
