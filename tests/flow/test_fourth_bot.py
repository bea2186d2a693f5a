"""What a fourth bot takes: a folder, a line of the process table, a route."""

from pathlib import Path

from porchlight.handoff.v1 import handoff_service_pb2 as pb
from porchlight.handoff.v1.handoff_service_pb2_grpc import HandoffServiceStub

from kit.rpc.client import call
from tests.support.system import TENANT, System, until


async def test_fourth_bot_takes_a_contact_over_and_talks(tmp_path: Path) -> None:
    async with System(tmp_path / "state", command=("-m", "tests.support.up_with_renter")) as system:
        await system.sql(
            "insert into policy (body) select jsonb_set(body, '{routes,lead>renter}', '0.7') from policy"
            " order by version desc limit 1"
        )
        contact = await system.contact()
        await system.text(contact, "hi")

        async def answers(count: int) -> list[str] | None:
            got = await system.replies(contact)
            return got if len(got) >= count else None

        await until("the lead bot answers", lambda: answers(1))
        proposal = pb.HandoffProposal(
            tenant_id=TENANT,
            contact_id=contact,
            source_bot="lead",
            target_bot="renter",
            confidence=0.9,
            summary="Wants to rent.",
        )
        async with system.channel("handoff") as channel:
            request = pb.RequestHandoffRequest(proposal=proposal, request_id="to-the-renter")
            response = await call(HandoffServiceStub(channel).RequestHandoff, request, seconds=5)
        assert response.approved, response.handoff.block_reason
        await system.text(contact, "something in Fremont please")
        replies = await until("the renter bot answers", lambda: answers(2))
        assert replies[1] == "Renting in Fremont, understood."
        assert (await system.timeline(contact)).owner == "renter"
