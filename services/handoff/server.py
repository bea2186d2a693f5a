"""HandoffService over gRPC, and the process around it."""

import functools
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

from porchlight.handoff.v1 import handoff_service_pb2 as pb
from porchlight.handoff.v1 import handoff_service_pb2_grpc as pb_grpc

from kit import checks, tickets
from kit.clock import utc_now
from kit.errors import ContactNotFound, HandoffNotFound, InvalidField
from kit.pg.pool import open_pool, ping
from kit.process import Served
from kit.rpc import tls
from kit.rpc.client import open_channel
from kit.rpc.context import caller, remaining_seconds
from kit.tokens import read_token
from services.handoff import wire, wire_policy
from services.handoff.arbiter import Arbiter
from services.handoff.ledger import Ledger
from services.handoff.ledger_pg import PostgresLedger
from services.handoff.review import Review
from services.handoff.routing import Router
from services.handoff.settings import HandoffSettings
from services.handoff.watch import Watchers

FULL_NAME: Final = "porchlight.handoff.v1.HandoffService"


class HandoffServicer(pb_grpc.HandoffServiceServicer):
    """Translates; the arbiter and the ledger do the work."""

    def __init__(self, arbiter: Arbiter, ledger: Ledger, watchers: Watchers, *, bots: Collection[str]) -> None:
        self._arbiter = arbiter
        self._ledger = ledger
        self._watchers = watchers
        self._review = Review(ledger)
        self._bots = frozenset(bots)

    async def EvaluateHandoff(self, request: pb.EvaluateHandoffRequest, context: Any) -> pb.EvaluateHandoffResponse:
        decision = await self._arbiter.evaluate(wire.proposal(request.proposal, caller=caller()))
        return wire.evaluate_response(decision)

    async def RequestHandoff(self, request: pb.RequestHandoffRequest, context: Any) -> pb.RequestHandoffResponse:
        asked = wire.proposal(request.proposal, caller=caller())
        request_id = checks.identifier("request_id", request.request_id)
        handoff, replayed = await self._arbiter.request(asked, request_id=request_id)
        return pb.RequestHandoffResponse(
            approved=wire.approved(handoff), handoff=wire.handoff(handoff), replayed=replayed
        )

    async def EscalateToHuman(self, request: pb.EscalateToHumanRequest, context: Any) -> pb.EscalateToHumanResponse:
        asked = wire.escalation(request, caller=caller(), bots=self._bots)
        request_id = checks.identifier("request_id", request.request_id)
        handoff, replayed = await self._arbiter.request(asked, request_id=request_id)
        return pb.EscalateToHumanResponse(
            approved=wire.approved(handoff), handoff=wire.handoff(handoff), replayed=replayed
        )

    async def ReturnFromHuman(self, request: pb.ReturnFromHumanRequest, context: Any) -> pb.ReturnFromHumanResponse:
        asked = wire.giving_back(request, caller=caller())
        request_id = checks.identifier("request_id", request.request_id)
        handoff, replayed = await self._arbiter.request(asked, request_id=request_id)
        return pb.ReturnFromHumanResponse(
            approved=wire.approved(handoff), handoff=wire.handoff(handoff), replayed=replayed
        )

    async def AcceptHandoff(self, request: pb.AcceptHandoffRequest, context: Any) -> pb.AcceptHandoffResponse:
        handoff = await self._arbiter.accept(request.ticket, caller=caller())
        return pb.AcceptHandoffResponse(handoff=wire.handoff(handoff))

    async def DeclineHandoff(self, request: pb.DeclineHandoffRequest, context: Any) -> pb.DeclineHandoffResponse:
        reason = checks.text("reason", request.reason, longest=200, shortest=1)
        handoff = await self._arbiter.decline(request.ticket, reason=reason, caller=caller())
        return pb.DeclineHandoffResponse(handoff=wire.handoff(handoff))

    async def GetOwner(self, request: pb.GetOwnerRequest, context: Any) -> pb.GetOwnerResponse:
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        contact_id = checks.identifier("contact_id", request.contact_id)
        owner = await self._ledger.owner(tenant_id, contact_id)
        if owner is None:
            raise ContactNotFound(f"there is no contact {contact_id}", contact_id=contact_id)
        return wire.owner_response(owner)

    async def GetHandoff(self, request: pb.GetHandoffRequest, context: Any) -> pb.GetHandoffResponse:
        handoff_id = checks.identifier("handoff_id", request.handoff_id)
        handoff = await self._ledger.get(handoff_id)
        if handoff is None:
            raise HandoffNotFound(f"there is no handoff {handoff_id}", handoff_id=handoff_id)
        return pb.GetHandoffResponse(handoff=wire.handoff(handoff))

    async def ListHandoffs(self, request: pb.ListHandoffsRequest, context: Any) -> pb.ListHandoffsResponse:
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        contact_id = checks.identifier("contact_id", request.contact_id, shortest=0 if request.with_person else 1)
        if request.with_person and contact_id:
            limit = "empty with `with_person`"
            raise InvalidField(f"contact_id must be {limit}", field="contact_id", limit=limit)
        size = checks.page_size(request.page_size, default=20, most=100)
        before = wire.position(request.page_token)
        # One more than asked for says whether there is another page.
        if request.with_person:
            found = await self._ledger.escalations(tenant_id, limit=size + 1, before=before)
        else:
            found = await self._ledger.page(tenant_id, contact_id, limit=size + 1, before=before)
        shown = found[:size]
        return pb.ListHandoffsResponse(
            handoffs=[wire.handoff(each) for each in shown],
            next_page_token=wire.page_token(shown[-1]) if len(found) > size else "",
        )

    async def ExplainHandoff(self, request: pb.ExplainHandoffRequest, context: Any) -> pb.ExplainHandoffResponse:
        handoff_id = checks.identifier("handoff_id", request.handoff_id)
        return wire_policy.explain_response(await self._review.explain(handoff_id))

    async def WatchHandoffs(
        self, request: pb.WatchHandoffsRequest, context: Any
    ) -> AsyncIterator[pb.WatchHandoffsResponse]:
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        contact_id = checks.identifier("contact_id", request.contact_id, shortest=0)
        after = wire.cursor(request.cursor)
        left = remaining_seconds()
        seconds = max(0.0, (60.0 if left is None else left) - 1.0)
        async for what in self._watchers.follow(tenant_id, contact_id, after=after, seconds=seconds):
            yield wire.watch_response(what)

    async def GetPolicy(self, request: pb.GetPolicyRequest, context: Any) -> pb.GetPolicyResponse:
        version = checks.integer("version", request.version, low=0, high=2**63 - 1)
        return pb.GetPolicyResponse(policy=wire_policy.policy(await self._review.policy(version or None)))

    async def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: Any) -> pb.UpdatePolicyResponse:
        made = await self._review.update(
            wire_policy.body(request.rules),
            etag=checks.identifier("etag", request.etag),
            author=caller(),
            reason=checks.text("reason", request.reason, longest=500, shortest=1),
            validate_only=request.validate_only,
        )
        return pb.UpdatePolicyResponse(policy=wire_policy.policy(made))

    async def SimulatePolicy(self, request: pb.SimulatePolicyRequest, context: Any) -> pb.SimulatePolicyResponse:
        rules = wire_policy.body(request.rules)
        tenant_id = checks.identifier("tenant_id", request.tenant_id)
        most = checks.integer("decisions", request.decisions, low=0, high=1000) or 200
        return wire_policy.simulate_response(await self._review.simulate(rules, tenant_id, most=most))


async def build(settings: HandoffSettings, stack: AsyncExitStack) -> Served:
    """Put the arbiter together."""
    pool = await open_pool(settings.database_url.get_secret_value(), name="handoff")
    stack.push_async_callback(pool.close)
    ledger = PostgresLedger(pool)
    keys = tickets.read_public_keys(settings.ticket_public_keys_file)
    key = tickets.read_signing_key(settings.ticket_key_file, keys=keys)
    token = read_token(settings.token_file)
    channels = {}
    for bot, target in settings.bot_targets.items():
        channel = open_channel(
            target,
            token=token,
            service=bot,
            credentials=tls.channel_credentials(settings),
        )
        channels[bot] = await stack.enter_async_context(channel)
    router = Router(
        ledger,
        channels,
        key=key,
        clock=utc_now,
        offer_life=timedelta(seconds=settings.offer_seconds),
        call_seconds=settings.offer_call_seconds,
        sweep_seconds=settings.sweep_seconds,
    )
    watchers = Watchers(ledger)
    arbiter = Arbiter(
        ledger,
        targets=router,
        approved=watchers.ring,
        keys=keys,
        clock=utc_now,
        offer_life=timedelta(seconds=settings.offer_seconds),
    )
    return Served(
        servicers=[
            (
                pb_grpc.add_HandoffServiceServicer_to_server,
                HandoffServicer(arbiter, ledger, watchers, bots=settings.bot_targets),
                FULL_NAME,
            )
        ],
        checks={"postgres": functools.partial(ping, pool)},
        workers=[router.work, functools.partial(watchers.listen, settings.database_url.get_secret_value())],
    )
