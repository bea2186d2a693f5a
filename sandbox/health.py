"""Ask a process whether it is well, from outside."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


async def serving(port: int) -> bool:
    """Say whether the gRPC server on a port of 127.0.0.1 calls itself SERVING."""
    # A gRPC channel is dear and backs off; a plain connect tells the usual "not yet" for nothing.
    if not await _accepts(port):
        return False
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def answers_http(port: int) -> bool:
    """Say whether GET /healthz on a port of 127.0.0.1 is answered with 200."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
