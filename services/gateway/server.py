"""What the gateway serves over gRPC: a contact's story, and what waits."""

import grpc
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1 import contact_service_pb2_grpc as contact_grpc
from porchlight.ops.v1 import ops_service_pb2 as ops_pb
from porchlight.ops.v1 import ops_service_pb2_grpc as ops_grpc

from kit import checks
from kit.errors import ContactNotFound
from kit.lane import Lane
from services.gateway import wire


class ContactServicer(contact_grpc.ContactServiceServicer):
    """See `porchlight.contact.v1.ContactService`."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

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
            raise ContactNotFound(
                f"nothing is known of contact {contact_id} of {tenant_id}", tenant_id=tenant_id, contact_id=contact_id
            )
        return wire.timeline_response(story, size=size)


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
