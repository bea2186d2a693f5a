"""Requests of BuyerService as values, with their limits; values as responses."""

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from porchlight.buyer.v1 import buyer_service_pb2 as pb

from kit import checks, places
from kit.errors import InvalidField
from kit.facts_wire import FACTS_MOST, fact_from_proto
from kit.lane import Fact
from services.buyer import matching
from services.buyer.payment import Payment
from services.buyer.readiness import Band, Readiness
from services.buyer.values import Found, HardWish, HomeType, Listing, Proposal, Relaxation, Wishes

MOST_CENTS: Final = 1_000_000_000_00
ZIPS_MOST: Final = 50
PAGE_DEFAULT, PAGE_MOST = matching.PROPOSALS_MOST, 50
_MOST_SQFT: Final = 100_000_000

_HOME_TYPES: Final = {
    pb.HOME_TYPE_HOUSE: HomeType.HOUSE,
    pb.HOME_TYPE_CONDO: HomeType.CONDO,
    pb.HOME_TYPE_TOWNHOUSE: HomeType.TOWNHOUSE,
}
_HOME_TYPES_OUT: Final = {value: number for number, value in _HOME_TYPES.items()}
_HARD_WISHES: Final = {
    HardWish.PRICE_MAX: pb.HARD_WISH_PRICE_MAX,
    HardWish.BEDROOMS_MIN: pb.HARD_WISH_BEDROOMS_MIN,
    HardWish.HOME_TYPE: pb.HARD_WISH_HOME_TYPE,
    HardWish.AREA: pb.HARD_WISH_AREA,
}
_BANDS: Final = {
    Band.EARLY: pb.READINESS_BAND_EARLY,
    Band.WARM: pb.READINESS_BAND_WARM,
    Band.READY: pb.READINESS_BAND_READY,
    Band.HAS_AGENT: pb.READINESS_BAND_HAS_AGENT,
}
_PAGE_LIMIT: Final = "the `next_page_token` of an earlier answer"


def wishes(message: pb.Wishes) -> Wishes:
    """Read what is wished for; 0 and nothing are no wishes.

    Raises:
        InvalidField: Something is over its limit, or the area is unknown; names the field.
    """
    if message.home_type not in (pb.HOME_TYPE_UNSPECIFIED, *_HOME_TYPES):
        limit = "a value of HomeType"
        raise InvalidField(f"wishes.home_type is not {limit}", field="wishes.home_type", limit=limit)
    return Wishes(
        price_max_usd_cents=_cents("wishes.price_max_usd_cents", message.price_max_usd_cents),
        bedrooms_min=checks.integer("wishes.bedrooms_min", message.bedrooms_min, low=0, high=30) or None,
        zips=_zips(message),
        home_type=_HOME_TYPES.get(message.home_type),
        price_min_usd_cents=_cents("wishes.price_min_usd_cents", message.price_min_usd_cents),
        bathrooms_min=checks.number("wishes.bathrooms_min", message.bathrooms_min, low=0, high=100) or None,
        area_sqft_min=checks.integer("wishes.area_sqft_min", message.area_sqft_min, low=0, high=_MOST_SQFT) or None,
        lot_sqft_min=checks.integer("wishes.lot_sqft_min", message.lot_sqft_min, low=0, high=_MOST_SQFT) or None,
        year_built_min=checks.integer("wishes.year_built_min", message.year_built_min, low=0, high=2100) or None,
        waterfront=message.waterfront,
        view=message.view,
    )


def _cents(field: str, value: int) -> int | None:
    return checks.integer(field, value, low=0, high=MOST_CENTS) or None


def _zips(message: pb.Wishes) -> tuple[str, ...]:
    checks.count("wishes.zips", message.zips, most=ZIPS_MOST)
    for number, each in enumerate(message.zips):
        if not places.is_zip(each):
            field, limit = f"wishes.zips[{number}]", "a ZIP code of five digits"
            raise InvalidField(f"{field} is not {limit}", field=field, limit=limit)
    area = checks.text("wishes.area", message.area, longest=60)
    of_area = places.zips_of(area) if area else ()
    if area and not of_area:
        limit = "a place that we know the ZIP codes of"
        raise InvalidField(f"wishes.area is not {limit}; send zips instead", field="wishes.area", limit=limit)
    return tuple(dict.fromkeys((*message.zips, *of_area)))


def page(request: pb.MatchListingsRequest) -> tuple[int, int]:
    """Read where the page begins and how long it is."""
    size = checks.page_size(request.page_size, default=PAGE_DEFAULT, most=PAGE_MOST)
    if not request.page_token:
        return 0, size
    try:
        begin = int(base64.b64decode(request.page_token, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error) as error:
        raise InvalidField(f"page_token is not {_PAGE_LIMIT}", field="page_token", limit=_PAGE_LIMIT) from error
    if not 0 < begin < matching.RANKED_MOST:
        raise InvalidField(f"page_token is not {_PAGE_LIMIT}", field="page_token", limit=_PAGE_LIMIT)
    return begin, size


def match_response(found: Found, *, begin: int, size: int) -> pb.MatchListingsResponse:
    """Say one page of what was found."""
    end = begin + size
    more = end < len(found.proposals)
    return pb.MatchListingsResponse(
        proposals=[_proposal(each) for each in found.proposals[begin:end]],
        total_count=found.total_count,
        relaxations=[_relaxation(found.wishes, each) for each in found.relaxations],
        next_page_token=base64.b64encode(str(end).encode(), altchars=b"-_").decode() if more else "",
    )


def _proposal(proposal: Proposal) -> pb.Proposal:
    return pb.Proposal(listing=_listing(proposal.listing), reasons=proposal.reasons, missed=proposal.missed)


def _listing(listing: Listing) -> pb.Listing:
    return pb.Listing(
        listing_id=listing.listing_id,
        source=listing.source,
        as_of_date=listing.as_of.isoformat(),
        sample=listing.sample,
        zip=listing.zip,
        neighborhood=listing.neighborhood,
        price_usd_cents=listing.price_usd_cents,
        bedrooms=listing.bedrooms,
        list_date=listing.list_date.isoformat(),
        bathrooms=listing.bathrooms,
        area_sqft=listing.area_sqft,
        lot_sqft=listing.lot_sqft,
        floors=listing.floors,
        basement_sqft=listing.basement_sqft,
        year_built=listing.year_built,
        year_renovated=listing.year_renovated,
        waterfront=listing.waterfront,
        view=listing.view,
        condition=listing.condition,
        home_type=_home_type(listing.home_type),
    )


def _home_type(home_type: HomeType | None) -> pb.HomeType.ValueType:
    return pb.HOME_TYPE_UNSPECIFIED if home_type is None else _HOME_TYPES_OUT[home_type]


def _relaxation(before: Wishes, relaxation: Relaxation) -> pb.Relaxation:
    after = relaxation.wishes
    return pb.Relaxation(
        wish=_HARD_WISHES[relaxation.wish],
        wishes=pb.Wishes(
            price_max_usd_cents=after.price_max_usd_cents or 0,
            bedrooms_min=after.bedrooms_min or 0,
            zips=after.zips,
            home_type=_home_type(after.home_type),
            price_min_usd_cents=after.price_min_usd_cents or 0,
            bathrooms_min=after.bathrooms_min or 0.0,
            area_sqft_min=after.area_sqft_min or 0,
            lot_sqft_min=after.lot_sqft_min or 0,
            year_built_min=after.year_built_min or 0,
            waterfront=after.waterfront,
            view=after.view,
        ),
        opens_count=relaxation.opens_count,
        words=matching.say_relaxation(before, relaxation),
    )


def readiness_request(request: pb.AssessReadinessRequest) -> tuple[Mapping[str, Fact], int | None]:
    """Read the facts by name, and the price to estimate a payment for, if any."""
    checks.count("facts", request.facts, most=FACTS_MOST)
    facts = [fact_from_proto(each, field=f"facts[{number}]") for number, each in enumerate(request.facts)]
    known = {fact.name: fact for fact in facts}
    price = _cents("price_usd_cents", request.price_usd_cents)
    wanted = known.get("price_max_usd")
    if price is None and wanted is not None and isinstance(wanted.value, int) and not isinstance(wanted.value, bool):
        price = checks.integer("price_max_usd", wanted.value, low=1, high=MOST_CENTS // 100) * 100
    return known, price


def readiness_response(assessed: Readiness, payment: Payment | None) -> pb.AssessReadinessResponse:
    """Say how ready somebody is."""
    return pb.AssessReadinessResponse(
        points=assessed.points,
        band=_BANDS[assessed.band],
        factors=[
            pb.ReadinessFactor(
                name=each.name, points=each.points, most_points=each.most, reason=each.reason, words=each.words
            )
            for each in assessed.factors
        ],
        payment=None if payment is None else _payment(payment),
    )


def _payment(payment: Payment) -> pb.PaymentEstimate:
    return pb.PaymentEstimate(
        price_usd_cents=payment.price_usd_cents,
        loan_usd_cents=payment.loan_usd_cents,
        principal_and_interest_usd_cents=payment.principal_and_interest_usd_cents,
        property_tax_usd_cents=payment.property_tax_usd_cents,
        insurance_usd_cents=payment.insurance_usd_cents,
        total_usd_cents=payment.total_usd_cents,
        words=payment.words,
        rate_date=payment.assumptions.rate_date.isoformat(),
    )
