"""Protobuf to values and back, with every limit of the contract."""

from typing import Final

from porchlight.seller.v1 import seller_service_pb2 as pb

from kit import checks
from kit.errors import InvalidField
from kit.homes import AREA_SQFT, HOME_FIELDS
from kit.places import zips_of
from services.seller import netsheet
from services.seller.cma import NOT_AN_APPRAISAL, Comparable, Confidence, Estimate, Subject
from services.seller.sentences import say
from services.seller.valuation import Valuation

MOST_COMPARABLES: Final = 50
_MOST_CENTS: Final = 100_000_000_000
_LEAST_PRICE_CENTS: Final = 1_000_000
_MOST_COMMISSION: Final = 2_000

_CONFIDENCE: Final = {
    Confidence.HIGH: pb.CONFIDENCE_HIGH,
    Confidence.MEDIUM: pb.CONFIDENCE_MEDIUM,
    Confidence.LOW: pb.CONFIDENCE_LOW,
}


def subject(home: pb.Home) -> Subject:
    """Read the home that is asked about.

    Raises:
        InvalidField: Something is over its limit, or the place is not known.
    """
    point = None
    if home.HasField("location"):
        point = (
            checks.number("home.location.latitude", home.location.latitude, low=-90, high=90),
            checks.number("home.location.longitude", home.location.longitude, low=-180, high=180),
        )
    area = checks.text("home.area", home.area, longest=80)
    zips = () if point else zips_of(area)
    if not zips and not point:
        limit = "a ZIP code, or a neighborhood or city that kit/places.py knows"
        raise InvalidField(f"home.area is no known place; give {limit}", field="home.area", limit=limit)
    low, high = AREA_SQFT
    return Subject(
        area_sqft=checks.number("home.area_sqft", home.area_sqft, low=low, high=high),
        zips=zips,
        point=point,
        features={
            each.name: checks.number(f"home.{each.name}", getattr(home, each.name), low=each.low, high=each.high)
            for each in HOME_FIELDS
            if home.HasField(each.name)  # type: ignore[arg-type]
        },
        home_id=checks.identifier("home.home_id", home.home_id, shortest=0),
    )


def estimate_response(valuation: Valuation, *, most: int) -> pb.EstimateValueResponse:
    """Write an estimate, or why there is none."""
    result = valuation.result
    response = pb.EstimateValueResponse(
        source=valuation.source.name,
        source_title=valuation.source.title,
        valuation_date=result.valuation_date.isoformat(),
        disclaimer=NOT_AN_APPRAISAL,
    )
    if isinstance(result, Estimate):
        response.estimate.CopyFrom(_estimate(result, title=valuation.source.title, most=most))
    else:
        response.too_few_sales.CopyFrom(
            pb.TooFewSales(found_count=result.found, needed_count=result.needed, explanation=result.because)
        )
    return response


def _estimate(estimate: Estimate, *, title: str, most: int) -> pb.Estimate:
    return pb.Estimate(
        value_usd_cents=estimate.value_usd * 100,
        low_usd_cents=estimate.low_usd * 100,
        high_usd_cents=estimate.high_usd * 100,
        confidence=_CONFIDENCE[estimate.confidence],
        typical_error=estimate.typical_error,
        comparables=[_comparable(each) for each in estimate.comparables[: most or MOST_COMPARABLES]],
        sentences=say(estimate, title=title),
    )


def _comparable(sale: Comparable) -> pb.Comparable:
    return pb.Comparable(
        sale_id=sale.sale_id,
        sale_date=sale.sale_date.isoformat(),
        zip_code=sale.zip_code,
        distance_miles=sale.distance_miles,
        area_sqft=sale.area_sqft,
        price_usd_cents=sale.price_usd * 100,
        adjustments=[
            pb.Adjustment(name=each.name, label=each.label, amount_usd_cents=each.amount_usd * 100)
            for each in sale.adjustments
        ],
        adjusted_price_usd_cents=sale.adjusted_price_usd * 100,
        weight_ppm=sale.weight_ppm,
        share_usd_cents=sale.share_usd * 100,
    )


def planned_sale(request: pb.EstimateNetProceedsRequest) -> netsheet.Sale:
    """Read a sale that may come.

    Raises:
        InvalidField: Something is missing or over its limit.
    """
    if not request.HasField("commission_basis_points"):
        limit = f"0 to {_MOST_COMMISSION}, as agreed; there is no default"
        raise InvalidField("commission_basis_points is missing", field="commission_basis_points", limit=limit)
    if request.jurisdiction and request.jurisdiction not in netsheet.TAXES:
        limit = f"empty or one of {', '.join(netsheet.TAXES)}"
        raise InvalidField(f"jurisdiction is not known: {limit}", field="jurisdiction", limit=limit)

    def cents(field: str, low: int = 0) -> int:
        return checks.integer(field, getattr(request, field), low=low, high=_MOST_CENTS)

    return netsheet.Sale(
        price_usd_cents=cents("price_usd_cents", _LEAST_PRICE_CENTS),
        mortgage_usd_cents=cents("mortgage_usd_cents"),
        commission_basis_points=checks.integer(
            "commission_basis_points", request.commission_basis_points, low=0, high=_MOST_COMMISSION
        ),
        closing_costs_usd_cents=(
            cents("closing_costs_usd_cents") if request.HasField("closing_costs_usd_cents") else None
        ),
        other_costs_usd_cents=cents("other_costs_usd_cents"),
        jurisdiction=request.jurisdiction,
    )


def net_response(sheet: netsheet.NetSheet) -> pb.EstimateNetProceedsResponse:
    """Write a net sheet."""
    return pb.EstimateNetProceedsResponse(
        lines=[
            pb.NetLine(name=line.name, label=line.label, amount_usd_cents=line.amount_usd_cents, source=line.source)
            for line in sheet.lines
        ],
        net_usd_cents=sheet.net_usd_cents,
        not_included=sheet.not_included,
        disclaimer=netsheet.DISCLAIMER,
    )
