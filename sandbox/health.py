"""Ask a process whether it is well, from outside."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


async def serving(port: int) -> bool:
    """Say whether the gRPC server on a port of 127.0.0.1 calls itself SERVING."""
    return await says_serving("127.0.0.1", port)


async def says_serving(host: str, port: int, credentials: grpc.ChannelCredentials | None = None) -> bool:
    """Say whether a gRPC server calls itself SERVING; `credentials` are those of `kit.rpc.tls`."""
    # A gRPC channel is dear and backs off; a plain connect tells the usual "not yet" for nothing.
    if not await _accepts(host, port):
        return False
    target = f"{host}:{port}"
    async with (
        grpc.aio.insecure_channel(target) if credentials is None else grpc.aio.secure_channel(target, credentials)
    ) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def answers_http(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether GET /healthz on a port is answered with 200."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
