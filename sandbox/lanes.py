"""What `porchlight lanes` prints: contacts that wait, asked of the gateway."""

from collections.abc import Iterable
from datetime import UTC
from pathlib import Path

import grpc
from porchlight.ops.v1 import ops_service_pb2 as ops_pb
from porchlight.ops.v1 import ops_service_pb2_grpc as ops_grpc

from kit.rpc.client import call, open_channel
from kit.tokens import read_token
from sandbox.cache_desk import table
from sandbox.keys import token_path

COLUMNS = ("contact", "owner", "waits since (UTC)", "in", "out", "tries", "handoff")


async def rows(
    state_dir: Path, target: str, *, most: int, credentials: grpc.ChannelCredentials | None = None
) -> list[str]:
    """Return a table of lanes as lines, the longest waiting first.

    Raises:
        FileNotFoundError: There is no operator token in the state directory.
        PorchlightError: The gateway refused, or cannot be reached.
    """
    token = read_token(token_path(state_dir, "operator"))
    async with open_channel(target, token=token, service="gateway", credentials=credentials) as channel:
        stub = ops_grpc.OpsServiceStub(channel)
        answer = await call(stub.ListLanes, ops_pb.ListLanesRequest(page_size=most), seconds=5)
    return as_lines(answer.lanes)


def as_lines(lanes: Iterable[ops_pb.Lane]) -> list[str]:
    """Lay lanes out in columns; one line saying so when nothing waits."""
    cells = [COLUMNS, *(_cells(lane) for lane in lanes)]
    if len(cells) == 1:
        return ["nothing waits"]
    return table(cells)


def _cells(lane: ops_pb.Lane) -> tuple[str, ...]:
    since = lane.wait_time.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S") if lane.HasField("wait_time") else ""
    return (
        f"{lane.tenant_id}/{lane.contact_id}",
        lane.owner,
        since,
        str(lane.waiting_messages),
        str(lane.waiting_deliveries),
        str(lane.attempts),
        lane.pending_handoff_id,
    )
