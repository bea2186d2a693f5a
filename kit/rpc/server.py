"""Make a gRPC server with our limits, our edge, health, reflection and channelz."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from kit import tokens
from kit.rpc import tls
from kit.rpc.edge import Edge
from kit.settings import Settings

Servicers = Sequence[tuple[Callable[[Any, Any], None], object, str]]
"""add_XServicer_to_server, the servicer, the service's full name."""

_LIMITS: Final = (
    # By default a second server binds the same port and takes half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_receive_message_length", 256 * 1024),
    ("grpc.max_send_message_length", 1024 * 1024),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_connection_age_grace_ms", 30_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
)
_CONNECTION_AGE_MS: Final = 300_000


# How long channels have to see NOT_SERVING and to look elsewhere. A call that arrives
# while the server stops is otherwise cut off now and then.
_LEAVE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class RpcServer:
    """A gRPC server with what belongs to it."""

    server: grpc.aio.Server
    health: health.aio.HealthServicer
    edge: Edge

    async def drain(self, seconds: float) -> None:
        """Send callers elsewhere, let calls in flight go on for at most `seconds`, and stop."""
        await self.health.enter_graceful_shutdown()
        await asyncio.sleep(min(_LEAVE_SECONDS, seconds))
        self.edge.end_streams()
        await self.server.stop(seconds)


def make_server(name: str, settings: Settings, servicers: Servicers) -> RpcServer:
    """Return a server that is neither bound nor started yet."""
    edge = Edge(
        service=name,
        callers=tokens.read_callers(settings.callers_file),
        bots=settings.bot_targets,
        most_calls=settings.concurrent_calls,
    )
    # Not all connections of a restarted fleet come back in the same second.
    age = round(_CONNECTION_AGE_MS * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
    server = grpc.aio.server(handlers=[edge], options=[*_LIMITS, ("grpc.max_connection_age_ms", age)])
    for add, servicer, _ in servicers:
        add(servicer, edge)
    checker = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, edge)
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), edge)
    served = [full_name for *_, full_name in servicers]
    shown = reflection.aio.ReflectionServicer([*served, health.SERVICE_NAME, reflection.SERVICE_NAME])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(shown, edge)
    return RpcServer(server=server, health=checker, edge=edge)


def bind(server: grpc.aio.Server, settings: Settings) -> str:
    """Take the port, and return the address with the port that was taken.

    Raises:
        OSError: It cannot be had; a second server on the same port, for instance.
    """
    credentials = tls.server_credentials(settings)
    host, _, asked = settings.listen.rpartition(":")
    try:
        if credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, credentials)
    except RuntimeError as error:  # what gRPC raises for every reason there is
        raise OSError(f"cannot listen on {settings.listen}") from error
    if asked not in ("0", str(port)):
        raise OSError(f"cannot listen on {settings.listen}")
    return f"{host}:{port}"


SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
