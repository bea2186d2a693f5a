"""LeadService over gRPC: what the lead bot serves beside BotService."""

from typing import Any, Final

from porchlight.lead.v1 import lead_service_pb2 as pb
from porchlight.lead.v1 import lead_service_pb2_grpc as pb_grpc

from kit import checks
from kit.bot.runtime import Speciality
from kit.bot.settings import BotSettings
from kit.pg.pool import Pool
from services.lead import wire
from services.lead.contacts_pg import PgContacts
from services.lead.qualification import qualify
from services.lead.scorer import Scorer

FULL_NAME: Final = "porchlight.lead.v1.LeadService"


class LeadServicer(pb_grpc.LeadServiceServicer):
    """Translates; `qualification` does the work."""

    def __init__(self, contacts: PgContacts) -> None:
        self._contacts = contacts

    async def GetQualification(self, request: pb.GetQualificationRequest, context: Any) -> pb.GetQualificationResponse:
        """Score a contact from the stored facts."""
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        known = await self._contacts.known(tenant_id, checks.identifier("contact_id", request.contact_id))
        scored = qualify(known.facts, messages_count=known.messages_count, opted_out=known.opted_out)
        return pb.GetQualificationResponse(qualification=wire.qualification(scored))

    async def ScoreContact(self, request: pb.ScoreContactRequest, context: Any) -> pb.ScoreContactResponse:
        """Score the facts that are given."""
        count = wire.messages_count(request)
        scored = qualify(wire.facts(request), messages_count=count, opted_out=request.opted_out)
        return pb.ScoreContactResponse(qualification=wire.qualification(scored))


def speciality(pool: Pool, _: BotSettings) -> Speciality:
    """Make what the bot's process serves beside the bot."""
    contacts = PgContacts(pool)
    return Speciality(
        servicers=((pb_grpc.add_LeadServiceServicer_to_server, LeadServicer(contacts), FULL_NAME),),
        workers=(Scorer(contacts),),
    )
