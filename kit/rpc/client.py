"""Call a neighbour: with our token, within the time that is left, errors as ours."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Self, TypeVar, cast

import grpc
import orjson

from kit import errors
from kit.rpc import context, status

Request = TypeVar("Request")
Response = TypeVar("Response")

MARGIN_SECONDS: Final = 0.05
"""What is kept of the caller's time for our own work after the answer."""

IDEMPOTENT: Final = (
    ("porchlight.handoff.v1.HandoffService", "EvaluateHandoff"),
    ("porchlight.handoff.v1.HandoffService", "GetOwner"),
    ("porchlight.handoff.v1.HandoffService", "GetHandoff"),
    ("porchlight.handoff.v1.HandoffService", "ListHandoffs"),
    ("porchlight.handoff.v1.HandoffService", "GetPolicy"),
    ("porchlight.contact.v1.ContactService", "GetTimeline"),
    ("porchlight.ops.v1.OpsService", "ListLanes"),
)
"""Methods that a channel asks again by itself: they only read. Of all others a kill
in mid-call and a retry would make two."""

# Never a `timeout` in here: gRPC's Python lets it fire too early and does not tell
# the server (grpc/grpc#34547).
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "methodConfig": [
        {
            "name": [{"service": service, "method": method} for service, method in IDEMPOTENT],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.4s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
}

_OPTIONS: Final = (
    ("grpc.service_config", orjson.dumps(_SERVICE_CONFIG).decode()),
    # A neighbour that restarts in half a second is found again in half a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 1024 * 1024),
    ("grpc.max_send_message_length", 256 * 1024),
    # Two channels of one process do not share connections, so closing one is closing it.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(
    target: str, *, token: str, service: str, credentials: grpc.ChannelCredentials | None = None
) -> grpc.aio.Channel:
    """Open a channel to all replicas of a service that say they serve.

    Args:
        target: `host:port`, or `dns:///name:port` for several replicas.
        token: Our own secret, sent with every call.
        service: The neighbour's name, for errors.
        credentials: From `kit.rpc.tls`; None connects without TLS.
    """
    if credentials is None:
        channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
    else:
        channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
    return _Channel(channel, token=token, service=service)


async def call(
    # Generated stubs show their methods as grpc's or grpc.aio's, depending on how the
    # stub was annotated; on our channels they are the latter.
    method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response] | grpc.UnaryUnaryMultiCallable[Request, Response]",
    request: Request,
    *,
    seconds: float,
) -> Response:
    """Call a method, and wait at most `seconds` or what is left of our own caller's time.

    The deadline goes along by hand since gRPC's Python does not inherit it, and so
    does the request id.

    Raises:
        PorchlightError: What the neighbour said, as the class of its reason.
        ServiceUnavailable: It cannot be reached, did not answer within `seconds`, or
            said something unknown. Whether it did the work is then unknown too.
        DeadlinePassed: Our own caller's time is over.
    """
    service = getattr(method, "service", "")
    left = context.remaining_seconds()
    ours_is_shorter = left is not None and left - MARGIN_SECONDS <= seconds
    if left is not None and ours_is_shorter:
        seconds = left - MARGIN_SECONDS
    if seconds <= 0:
        raise errors.DeadlinePassed(f"no time is left to ask {service}", service=service)
    try:
        response: Response = await cast(Any, method)(request, timeout=seconds)
        return response
    except grpc.aio.AioRpcError as error:
        refused = status.from_rpc_error(error, service=service)
        if isinstance(refused, errors.DeadlinePassed) and not ours_is_shorter:
            refused = errors.ServiceUnavailable(f"{service} took over {seconds:g} s", service=service)
        raise refused from error
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The channel was closed under the call; nobody cancelled us.
        raise errors.ServiceUnavailable(f"the channel to {service} was closed", service=service) from cancelled


class _OurMethod:
    """A method of a neighbour that is called with our token and request id."""

    def __init__(self, method: Any, *, token: str, service: str) -> None:
        self._method = method
        self._authorization = ("authorization", f"Bearer {token}")
        self.service = service

    def __call__(self, request: Any, *, metadata: Iterable[tuple[str, str]] | None = None, **options: Any) -> Any:
        request_id = context.usable_request_id(context.request_id())
        ours = (self._authorization, ("x-request-id", request_id), *(metadata or ()))
        return self._method(request, metadata=ours, **options)


class _Channel(grpc.aio.Channel):
    """A channel whose methods are `_OurMethod`s.

    Not an interceptor: grpc.aio runs each intercepted call in a task of its own.
    """

    def __init__(self, channel: grpc.aio.Channel, *, token: str, service: str) -> None:
        self._channel = channel
        self._token = token
        self._service = service

    def _method(self, method: Any) -> Any:
        return _OurMethod(method, token=self._token, service=self._service)

    def unary_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._method(self._channel.unary_unary(*arguments, **options))

    def unary_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._method(self._channel.unary_stream(*arguments, **options))

    def stream_unary(self, *arguments: Any, **options: Any) -> Any:
        return self._method(self._channel.stream_unary(*arguments, **options))

    def stream_stream(self, *arguments: Any, **options: Any) -> Any:
        return self._method(self._channel.stream_stream(*arguments, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()
