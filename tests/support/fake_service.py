"""A process that only serves grpc.health.v1, for tests of the launcher."""

import asyncio
import os
import signal
import sys

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


async def serve() -> None:
    """Serve on PORCHLIGHT_LISTEN until SIGTERM, and say which secrets were given (their presence, not them)."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["PORCHLIGHT_LISTEN"])
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    given = sorted(name for name in os.environ if name.startswith(("PORCHLIGHT_", "ANTHROPIC_")) and os.environ[name])
    sys.stdout.write(f"given {' '.join(given)}\n")
    sys.stdout.flush()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve())
