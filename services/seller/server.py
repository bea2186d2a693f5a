"""SellerService over gRPC: what the seller bot serves beside BotService."""

from typing import Any, Final

from porchlight.seller.v1 import seller_service_pb2 as pb
from porchlight.seller.v1 import seller_service_pb2_grpc as pb_grpc

from kit import checks
from kit.bot.runtime import Speciality
from kit.bot.settings import BotSettings
from kit.pg.pool import Pool
from services.seller import wire
from services.seller.lookup import Lookup
from services.seller.netsheet import net_sheet
from services.seller.sales_pg import PgSalesStore
from services.seller.valuation import Valuations

FULL_NAME: Final = "porchlight.seller.v1.SellerService"


class SellerServicer(pb_grpc.SellerServiceServicer):
    """Translates; the pure modules do the work."""

    def __init__(self, valuations: Valuations) -> None:
        self._valuations = valuations

    async def EstimateValue(self, request: pb.EstimateValueRequest, context: Any) -> pb.EstimateValueResponse:
        """Estimate what a home may sell for."""
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        source = checks.identifier("source", request.source, shortest=0)
        most = checks.integer("most_comparables", request.most_comparables, low=0, high=wire.MOST_COMPARABLES)
        valuation = await self._valuations.value(wire.subject(request.home), tenant_id=tenant_id, source=source)
        return wire.estimate_response(valuation, most=most)

    async def EstimateNetProceeds(
        self, request: pb.EstimateNetProceedsRequest, context: Any
    ) -> pb.EstimateNetProceedsResponse:
        """Work out what a sale leaves for the seller."""
        checks.identifier("tenant_id", request.tenant_id)
        return wire.net_response(net_sheet(wire.planned_sale(request)))


def speciality(pool: Pool, _: BotSettings) -> Speciality:
    """Make what the bot's process serves beside the bot."""
    valuations = Valuations(PgSalesStore(pool))
    lookup = Lookup(valuations)
    servicer = SellerServicer(valuations)
    return Speciality(
        servicers=((pb_grpc.add_SellerServiceServicer_to_server, servicer, FULL_NAME),),
        look_up=lookup,
        workers=(lookup.keep_warm,),
    )
