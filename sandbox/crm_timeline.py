"""Asks the gateway for a contact's story, for the panel of the phone page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import grpc
from google.protobuf.json_format import MessageToDict
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1 import contact_service_pb2_grpc as contact_grpc

from kit import tokens
from kit.errors import ContactNotFound, PorchlightError
from kit.rpc import client

CALL_SECONDS = 2.0
MOST_ENTRIES = 200


class Timelines(Protocol):
    """Where the panel's data come from."""

    async def get(self, location_id: str, contact_id: str) -> dict[str, Any]:
        """Give `available`, and then `timeline` (None for a contact nobody knows) or `cause`."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class GatewayTimelines:
    """Asks ContactService.GetTimeline with the console's token; the channel opens at the first question."""

    def __init__(self, target: str, token_file: Path, *, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._target, self._token_file, self._credentials = target, token_file, credentials
        self._channel: grpc.aio.Channel | None = None

    async def get(self, location_id: str, contact_id: str) -> dict[str, Any]:
        """Ask once; a gateway that is away is an answer, not an error."""
        if self._channel is None:
            try:
                token = tokens.read_token(self._token_file)
            except (OSError, ValueError):
                return {"available": False, "cause": "the console's token is missing"}
            self._channel = client.open_channel(
                self._target, token=token, service="gateway", credentials=self._credentials
            )
        stub = contact_grpc.ContactServiceStub(self._channel)
        request = contact_pb.GetTimelineRequest(tenant_id=location_id, contact_id=contact_id, page_size=MOST_ENTRIES)
        try:
            response = await client.call(stub.GetTimeline, request, seconds=CALL_SECONDS)
        except ContactNotFound:
            return {"available": True, "timeline": None}
        except PorchlightError as refused:
            return {"available": False, "cause": refused.reason}
        shown = MessageToDict(response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        return {"available": True, "timeline": shown}

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close()
