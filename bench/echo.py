"""The yardstick: a bare grpc.aio server that gives back one protobuf message. No interceptor, no log, no store."""

import asyncio
import sys

import grpc
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceServicer, add_CacheServiceServicer_to_server


class Echo(CacheServiceServicer):
    """Answers Complete with the variables it was given."""

    async def Complete(
        self, request: pb.CompleteRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.CompleteResponse:
        return pb.CompleteResponse(content=next(iter(request.variables.values()), ""))


async def serve(port: int) -> None:
    """Serve on loopback until killed."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_CacheServiceServicer_to_server(Echo(), server)
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
