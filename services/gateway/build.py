"""Puts the gateway together."""

import time
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import grpc
from porchlight.bot.v1 import bot_service_pb2_grpc as bot_grpc
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.cache.v1 import cache_service_pb2_grpc as cache_grpc
from porchlight.contact.v1 import contact_service_pb2_grpc as contact_grpc
from porchlight.ops.v1 import ops_service_pb2_grpc as ops_grpc

from kit import tokens
from kit.lane import Debounce, Lane, Turn
from kit.pg.lane import PgLane
from kit.pg.listen import Doorbell
from kit.pg.pool import open_pool, ping
from kit.process import Served
from kit.rpc import tls
from kit.rpc.client import call, open_channel
from services.gateway import wire
from services.gateway.addresses import Addresses
from services.gateway.crm_calls import open_client
from services.gateway.crm_ghl import GhlCrm
from services.gateway.crm_history_ghl import GhlHistory
from services.gateway.cursors import Cursors
from services.gateway.cursors_pg import PgCursors
from services.gateway.deliver import Deliverer
from services.gateway.dispatch import TURN_SECONDS, Bot, Dispatcher
from services.gateway.erase import Eraser, Invalidate
from services.gateway.http import HttpServer, Intake, create_app
from services.gateway.keywords import Brokerage
from services.gateway.rate import Bucket
from services.gateway.reconcile import Bounds, Reconciler
from services.gateway.retention import Retention
from services.gateway.retention_pg import PgRecords
from services.gateway.server import ContactServicer, OpsServicer
from services.gateway.settings import GatewaySettings
from services.gateway.signature import PLATFORM_KEY, read_key
from services.gateway.translate import Reader
from services.gateway.workflow import WorkflowReader

SWEEP_SECONDS = 0.25
INVALIDATE_SECONDS = 2.0


async def build(settings: GatewaySettings, stack: AsyncExitStack) -> Served:
    """Open what the gateway needs and return what it does."""
    url = settings.database_url.get_secret_value()
    # Webhooks have connections of their own, so that they are stored while all turns and texts are being marked.
    intake_pool = await open_pool(url, name="gateway-intake")
    stack.push_async_callback(intake_pool.close)
    pool = await open_pool(url, name="gateway", size=12)
    stack.push_async_callback(pool.close)
    lane = PgLane(pool)
    bots = {name: _bot(_channel(target, name, settings, stack)) for name, target in settings.bot_targets.items()}
    turns = await stack.enter_async_context(Doorbell(url, "porchlight_lane", sweep=SWEEP_SECONDS))
    texts = await stack.enter_async_context(Doorbell(url, "porchlight_outbox", sweep=SWEEP_SECONDS))
    client = await stack.enter_async_context(open_client(settings.crm_url, connections=settings.concurrent_deliveries))
    token = settings.crm_token.get_secret_value() or tokens.read_token(settings.crm_token_file)
    crm = GhlCrm(client, token=token, monotonic=time.monotonic)
    addresses = Addresses(tokens.read_token(settings.suppression_key_file).encode())
    intake = make_intake(settings, PgLane(intake_pool), addresses)
    eraser = Eraser(lane, _cache(_channel(settings.cache_target, "cache", settings, stack)), addresses)
    return Served(
        servicers=[
            (
                contact_grpc.add_ContactServiceServicer_to_server,
                ContactServicer(lane, eraser),
                "porchlight.contact.v1.ContactService",
            ),
            (ops_grpc.add_OpsServiceServicer_to_server, OpsServicer(lane), "porchlight.ops.v1.OpsService"),
        ],
        checks={"postgres": partial(ping, pool)},
        workers=[
            HttpServer(create_app(intake), intake, listen=settings.http_listen),
            Dispatcher(lane, bots, turns, most=settings.concurrent_turns),
            Deliverer(
                lane, crm, texts, addresses, live=settings.delivery == "live", most=settings.concurrent_deliveries
            ),
            eraser,
            *make_reconcilers(settings, intake, crm, PgCursors(pool), has_token=bool(token)),
            *([Retention(PgRecords(pool, keep_days=settings.keep_days), addresses)] if settings.keep_days else []),
        ],
    )


def make_reconcilers(
    settings: GatewaySettings, intake: Intake, crm: GhlCrm, cursors: Cursors, *, has_token: bool
) -> list[Reconciler]:
    """Return what reads the CRM for texts whose webhook was lost: none where the CRM is not ours to ask."""
    if settings.delivery != "live" or not has_token or settings.reconcile_seconds == 0:
        return []
    bounds = Bounds(
        every=timedelta(seconds=settings.reconcile_seconds),
        settle=timedelta(seconds=settings.reconcile_settle_seconds),
        answer_within=timedelta(seconds=settings.reconcile_answer_seconds),
        reach=timedelta(hours=settings.reconcile_reach_hours),
        calls=settings.reconcile_calls,
    )
    history = GhlHistory(crm.calls, keep=Bucket.size * (1.0 - settings.reconcile_share))
    tenants = settings.locations
    return [Reconciler(history, cursors, intake.accept, intake.reader, tenants=tenants, bounds=bounds)]


def make_intake(settings: GatewaySettings, lane: Lane, addresses: Addresses) -> Intake:
    """Return what takes webhooks in."""
    brokerage = Brokerage(name=settings.brokerage_name, contact=settings.brokerage_contact)
    return Intake(
        lane=lane,
        addresses=addresses,
        reader=Reader(tenants=settings.locations, app_id=settings.app_id, brokerage=brokerage),
        workflow_reader=WorkflowReader(
            tenants=settings.locations, brokerage=brokerage, fields=settings.workflow_fields
        ),
        key=read_key(tokens.read_token(settings.webhook_public_key_file) or PLATFORM_KEY),
        workflow_secret=settings.workflow_secret.get_secret_value() or tokens.read_token(settings.workflow_secret_file),
        debounce=Debounce(
            wait=timedelta(seconds=settings.debounce_seconds),
            longest=timedelta(seconds=settings.debounce_longest_seconds),
        ),
        first_owner=settings.first_owner,
        most=settings.concurrent_webhooks,
    )


def _channel(target: str, service: str, settings: GatewaySettings, stack: AsyncExitStack) -> grpc.aio.Channel:
    channel = open_channel(
        target,
        token=tokens.read_token(settings.token_file),
        service=service,
        credentials=tls.channel_credentials(settings),
    )
    stack.push_async_callback(channel.close)
    return channel


def _cache(channel: grpc.aio.Channel) -> Invalidate:
    stub = cache_grpc.CacheServiceStub(channel)

    async def invalidate(tenant_id: str, contact_id: str) -> None:
        request = cache_pb.InvalidateRequest(tenant_id=tenant_id, contact_id=contact_id)
        await call(stub.Invalidate, request, seconds=INVALIDATE_SECONDS)

    return invalidate


def _bot(channel: grpc.aio.Channel) -> Bot:
    stub = bot_grpc.BotServiceStub(channel)

    async def ask(turn: Turn) -> str:
        return wire.outcome_name(await call(stub.HandleTurn, wire.handle_turn_request(turn), seconds=TURN_SECONDS))

    return ask
