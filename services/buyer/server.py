"""BuyerService over gRPC, and what makes the buyer bot special."""

from typing import Any, Final

from porchlight.buyer.v1 import buyer_service_pb2 as pb
from porchlight.buyer.v1 import buyer_service_pb2_grpc as pb_grpc

from kit import checks
from kit.bot.runtime import Speciality
from kit.pg.pool import Pool
from services.buyer import payment, readiness, wire
from services.buyer.listings import Listings, find
from services.buyer.listings_pg import PgListings
from services.buyer.lookup import Lookup
from services.buyer.settings import BuyerSettings

FULL_NAME: Final = "porchlight.buyer.v1.BuyerService"


class BuyerServicer(pb_grpc.BuyerServiceServicer):
    """Translates; matching and readiness do the work."""

    def __init__(self, listings: Listings, assumptions: payment.Assumptions) -> None:
        self._listings = listings
        self._assumptions = assumptions

    async def MatchListings(self, request: pb.MatchListingsRequest, context: Any) -> pb.MatchListingsResponse:
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        wishes = wire.wishes(request.wishes)
        begin, size = wire.page(request)
        return wire.match_response(await find(self._listings, tenant_id, wishes), begin=begin, size=size)

    async def AssessReadiness(self, request: pb.AssessReadinessRequest, context: Any) -> pb.AssessReadinessResponse:
        known, price = wire.readiness_request(request)
        estimated = None if price is None else payment.estimate(price, self._assumptions)
        return wire.readiness_response(readiness.assess(known), estimated)


def speciality(pool: Pool, settings: BuyerSettings) -> Speciality:
    """Return what the buyer bot has beside what every bot has."""
    listings = PgListings(pool)
    servicer = BuyerServicer(listings, settings.assumptions())
    return Speciality(
        servicers=((pb_grpc.add_BuyerServiceServicer_to_server, servicer, FULL_NAME),), look_up=Lookup(listings)
    )
