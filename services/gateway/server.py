"""What the gateway serves over gRPC: a contact's story, and what waits."""

import grpc
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1 import contact_service_pb2_grpc as contact_grpc
from porchlight.ops.v1 import ops_service_pb2 as ops_pb
from porchlight.ops.v1 import ops_service_pb2_grpc as ops_grpc

from kit import checks
from kit.errors import ContactNotFound
from kit.lane import Lane
from kit.log import get_logger
from kit.rpc.context import caller
from services.gateway import wire
from services.gateway.erase import Eraser

log = get_logger()


class ContactServicer(contact_grpc.ContactServiceServicer):
    """See `porchlight.contact.v1.ContactService`."""

    def __init__(self, lane: Lane, eraser: Eraser) -> None:
        self._lane = lane
        self._eraser = eraser

    async def GetTimeline(
        self,
        request: contact_pb.GetTimelineRequest,
        context: grpc.aio.ServicerContext[contact_pb.GetTimelineRequest, contact_pb.GetTimelineResponse],
    ) -> contact_pb.GetTimelineResponse:
        """Return one page of a contact's story."""
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        contact_id = checks.identifier("contact_id", request.contact_id)
        size = checks.page_size(request.page_size, default=wire.PAGE_DEFAULT, most=wire.PAGE_MOST)
        after = wire.read_page_token(request.page_token, parts=1)
        story = await self._lane.timeline(
            tenant_id, contact_id, limit=size + 1, before=None if after is None else after[0]
        )
        if story is None:
            raise _unknown(tenant_id, contact_id)
        return wire.timeline_response(story, size=size)

    async def PauseContact(
        self,
        request: contact_pb.PauseContactRequest,
        context: grpc.aio.ServicerContext[contact_pb.PauseContactRequest, contact_pb.PauseContactResponse],
    ) -> contact_pb.PauseContactResponse:
        """Keep the bots silent for a contact."""
        tenant_id, contact_id, actor = _named(request)
        if not await self._lane.pause(tenant_id, contact_id, actor=actor):
            raise _unknown(tenant_id, contact_id)
        log.info("contact.paused", tenant_id=tenant_id, contact_id=contact_id, actor=actor)
        return contact_pb.PauseContactResponse()

    async def ResumeContact(
        self,
        request: contact_pb.ResumeContactRequest,
        context: grpc.aio.ServicerContext[contact_pb.ResumeContactRequest, contact_pb.ResumeContactResponse],
    ) -> contact_pb.ResumeContactResponse:
        """Let bots answer a contact again."""
        tenant_id, contact_id, actor = _named(request)
        resumed = await self._lane.resume(tenant_id, contact_id, actor=actor)
        if resumed is None:
            raise _unknown(tenant_id, contact_id)
        log.info("contact.resumed", tenant_id=tenant_id, contact_id=contact_id, actor=actor)
        return wire.resume_response(resumed)

    async def DeleteContact(
        self,
        request: contact_pb.DeleteContactRequest,
        context: grpc.aio.ServicerContext[contact_pb.DeleteContactRequest, contact_pb.DeleteContactResponse],
    ) -> contact_pb.DeleteContactResponse:
        """Erase a contact."""
        tenant_id, contact_id, actor = _named(request)
        erased, cleared = await self._eraser.erase(tenant_id, contact_id, actor=actor)
        # Without the contact: the line outlives it.
        rows = sum(erased.rows.values())
        log.info("contact.erased", tenant_id=tenant_id, entry_id=erased.erasure_id, rows=rows, actor=actor)
        return wire.delete_response(erased, cache_cleared=cleared)


def _named(
    request: contact_pb.PauseContactRequest | contact_pb.ResumeContactRequest | contact_pb.DeleteContactRequest,
) -> tuple[str, str, str]:
    """Return whom a request names, and who asks."""
    tenant_id = checks.identifier("tenant_id", request.tenant_id)
    return tenant_id, checks.identifier("contact_id", request.contact_id), caller()


def _unknown(tenant_id: str, contact_id: str) -> ContactNotFound:
    return ContactNotFound(
        f"nothing is known of contact {contact_id} of {tenant_id}", tenant_id=tenant_id, contact_id=contact_id
    )


class OpsServicer(ops_grpc.OpsServiceServicer):
    """See `porchlight.ops.v1.OpsService`."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def ListLanes(
        self,
        request: ops_pb.ListLanesRequest,
        context: grpc.aio.ServicerContext[ops_pb.ListLanesRequest, ops_pb.ListLanesResponse],
    ) -> ops_pb.ListLanesResponse:
        """Return one page of lanes that wait."""
        size = checks.page_size(request.page_size, default=wire.PAGE_DEFAULT, most=wire.PAGE_MOST)
        after = wire.read_page_token(request.page_token, parts=2)
        lanes = await self._lane.lanes(limit=size + 1, after=None if after is None else (after[0], after[1][0]))
        return wire.lanes_response(lanes, size=size)
