"""The edge of a server and the calling side, over a real socket, with one scripted servicer."""

import asyncio
import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from porchlight.bot.v1 import bot_service_pb2, bot_service_pb2_grpc
from porchlight.cache.v1 import cache_service_pb2, cache_service_pb2_grpc
from porchlight.errors.v1 import error_reason_pb2
from porchlight.handoff.v1 import handoff_service_pb2, handoff_service_pb2_grpc

from kit import errors, tokens
from kit.metrics import RPC_REQUESTS
from kit.rpc import access, client, context, status, tls
from kit.rpc.server import NOT_SERVING, SERVING, bind, make_server
from kit.settings import Settings

PROTOS = Path(__file__).parents[2] / "protos"
CANARY = "Zanzibar-555-0199"
CALLERS = ("gateway", "handoff", "cache", "console", "operator", "lead", "buyer", "seller", "stranger")
TOKENS = {name: f"token of {name}" for name in CALLERS}
PREVIEW = "/porchlight.bot.v1.BotService/PreviewTurn"
Script = Callable[[Any, Any], Awaitable[Any]]


def served() -> dict[Any, tuple[Any, str]]:
    """Return every service of the contracts: its messages, its stubs, its name. A new one is found by itself."""
    found = {}
    for path in sorted((PROTOS / "porchlight").glob("*/v1/*_service.proto")):
        module = ".".join(path.relative_to(PROTOS).with_suffix("").parts)
        messages, stubs = importlib.import_module(f"{module}_pb2"), importlib.import_module(f"{module}_pb2_grpc")
        (name,) = messages.DESCRIPTOR.services_by_name
        found[messages] = (stubs, name)
    return found


SERVICES = served()


@dataclass
class Edge:
    """A running server and ways to call it."""

    address: str
    settings: Settings
    health: Any
    opened: list[grpc.aio.Channel] = field(default_factory=list)

    def channel(self, caller: str = "operator") -> grpc.aio.Channel:
        self.opened.append(client.open_channel(self.address, token=TOKENS.get(caller, caller), service="lead"))
        return self.opened[-1]

    def bot(self, caller: str = "operator") -> bot_service_pb2_grpc.BotServiceStub:
        return bot_service_pb2_grpc.BotServiceStub(self.channel(caller))

    def bare(self) -> grpc.aio.Channel:
        self.opened.append(grpc.aio.insecure_channel(self.address))
        return self.opened[-1]

    async def preview(self, text: str = "hello", *, seconds: float = 10.0) -> bot_service_pb2.PreviewTurnResponse:
        request = bot_service_pb2.PreviewTurnRequest(text=text)
        return await client.call(self.bot().PreviewTurn, request, seconds=seconds)


@asynccontextmanager
async def an_edge(tmp_path: Path, script: Script, **changes: Any) -> AsyncIterator[Edge]:
    """Serve every method of every service with `script`."""
    callers_file = tmp_path / "callers.json"
    tokens.write_callers(callers_file, {name: tokens.digest(token) for name, token in TOKENS.items()})
    settings = Settings(callers_file=callers_file, **changes)
    servicers = []
    for messages, (generated, name) in SERVICES.items():
        methods = {method.name: _scripted(script) for method in messages.DESCRIPTOR.services_by_name[name].methods}
        servicer = type(name, (getattr(generated, f"{name}Servicer"),), methods)()
        add = getattr(generated, f"add_{name}Servicer_to_server")
        servicers.append((add, servicer, messages.DESCRIPTOR.services_by_name[name].full_name))
    rpc = make_server("lead", settings, servicers)
    edge = Edge(bind(rpc.server, settings), settings, rpc.health)
    await rpc.health.set("", SERVING)
    await rpc.server.start()
    try:
        yield edge
    finally:
        for channel in edge.opened:
            await channel.close()
        await rpc.server.stop(0)


def _scripted(script: Script) -> Any:
    async def method(_self: object, request: Any, rpc: Any) -> Any:
        return await script(request, rpc)

    return method


def raising(error: BaseException) -> Script:
    async def script(_request: Any, _rpc: Any) -> Any:
        raise error

    return script


async def replying(request: Any, _rpc: Any) -> Any:
    """Answer any method with an empty response of its type."""
    name = type(request).__name__.removesuffix("Request") + "Response"
    messages = next(messages for messages in SERVICES if hasattr(messages, name))
    return getattr(messages, name)()


def details_of(error: grpc.aio.AioRpcError) -> list[Any]:
    return list(rpc_status.from_call(error).details)


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    found = [each for each in details_of(error) if each.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(found) == 1
    info = error_details_pb2.ErrorInfo()
    found[0].Unpack(info)
    return info


def all_methods() -> list[str]:
    """Full names of every method that any of our servers has, from the descriptors."""
    ours = [messages.DESCRIPTOR.services_by_name[name] for messages, (_, name) in SERVICES.items()]
    named = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "grpc.channelz.v1.Channelz"]
    theirs = [descriptor_pool.Default().FindServiceByName(name) for name in named]
    return [f"/{service.full_name}/{method.name}" for service in (*ours, *theirs) for method in service.methods]


def documented_reasons() -> dict[str, tuple[str, set[str]]]:
    """What the proto says of each reason: its code and its metadata."""
    text = (PROTOS / "porchlight/errors/v1/error_reason.proto").read_text()
    found = {}
    for comment, reason in re.findall(r"((?:  //[^\n]*\n)+)  ERROR_REASON_(\w+) = [1-9]", text):
        code = re.search(r"Code: `(\w+)`", comment)
        metadata = re.search(r"Metadata: ((?:[^.]|\n)*)[.,]", comment)
        assert code and metadata, reason
        found[reason] = code[1], set(re.findall(r"`(\w+)`", metadata[1]))
    return found


# --- reasons --------------------------------------------------------------------------


def test_every_reason_of_the_proto_has_exactly_one_class_and_the_other_way_round():
    reasons = {
        name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
    } - {"UNSPECIFIED"}
    assert set(errors.BY_REASON) == reasons
    leaves = {
        error for kind in errors.PorchlightError.__subclasses__() for error in kind.__subclasses__() if error.reason
    }
    assert leaves == set(errors.BY_REASON.values())


def test_classes_are_called_after_their_reasons():
    for reason, error in errors.BY_REASON.items():
        assert error.__name__ == "".join(part.capitalize() for part in reason.split("_"))


def test_every_kind_has_the_code_that_the_proto_documents():
    codes = {reason: status.code(error).name for reason, error in errors.BY_REASON.items()}
    assert codes == {reason: code for reason, (code, _) in documented_reasons().items()}


@pytest.mark.parametrize("reason", sorted(set(errors.BY_REASON) - {"DEADLINE_PASSED"}))
async def test_every_error_arrives_as_it_was_raised(reason, tmp_path):
    metadata = {key: f"{key} of the case" for key in documented_reasons()[reason][1]}
    raised = errors.BY_REASON[reason](f"this is {reason}", **metadata)
    async with an_edge(tmp_path, raising(raised)) as edge:
        with pytest.raises(errors.PorchlightError) as caught:
            await edge.preview()
    assert type(caught.value) is type(raised)
    assert caught.value.message == raised.message
    assert caught.value.metadata == raised.metadata
    assert caught.value.retry_after_seconds == raised.retry_after_seconds


async def test_a_neighbour_whose_time_is_up_is_unavailable_to_us(tmp_path):
    async with an_edge(tmp_path, raising(errors.DeadlinePassed("too late", method="x"))) as edge:
        with pytest.raises(errors.ServiceUnavailable):
            await edge.preview()


async def test_invalid_field_is_named_in_bad_request_too(tmp_path):
    async with an_edge(tmp_path, raising(errors.InvalidField("text is too long", field="text", limit="9"))) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bot().PreviewTurn(bot_service_pb2.PreviewTurnRequest(), timeout=5)
    bad = error_details_pb2.BadRequest()
    assert [each.Unpack(bad) for each in details_of(caught.value)].count(True) == 1
    assert (bad.field_violations[0].field, bad.field_violations[0].description) == ("text", "text is too long")
    assert info_of(caught.value).domain == "porchlight"


async def test_a_spent_budget_says_which_and_when_to_come_back(tmp_path):
    spent = errors.BudgetExhausted("5 usd are spent", budget="day", limit="5 usd", retry_after_seconds=90.5)
    async with an_edge(tmp_path, raising(spent)) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bot().PreviewTurn(bot_service_pb2.PreviewTurnRequest(), timeout=5)
    quota, retry = error_details_pb2.QuotaFailure(), error_details_pb2.RetryInfo()
    for each in details_of(caught.value):
        each.Unpack(quota)
        each.Unpack(retry)
    assert quota.violations[0].subject == "day"
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (90, 500_000_000)


async def test_a_message_of_any_length_still_fits_the_trailers(tmp_path):
    raised = errors.InvalidField("x" * 50_000, field="y" * 50_000, limit="ü" * 50_000)
    async with an_edge(tmp_path, raising(raised)) as edge:
        with pytest.raises(errors.InvalidField):
            await edge.preview()


# --- what must not get out ------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        ValueError(CANARY),
        KeyError(CANARY),
        TimeoutError(CANARY),
        RecursionError(CANARY),
        ExceptionGroup(CANARY, [ValueError(CANARY), errors.ContactNotFound("no c_81", contact_id="c_81")]),
    ],
    ids=repr,
)
async def test_an_unknown_exception_is_internal_with_a_ref_and_no_text(broken, tmp_path):
    async with an_edge(tmp_path, raising(broken)) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bot().PreviewTurn(bot_service_pb2.PreviewTurnRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert CANARY not in f"{caught.value} {caught.value.trailing_metadata()}"
    info = info_of(caught.value)
    assert info.reason == "INTERNAL"
    assert info.metadata["ref"] in caught.value.details()


async def test_a_refusal_inside_a_task_group_is_that_refusal(tmp_path):
    async def script(_request, _rpc):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(raising(errors.ContactNotFound("no c_81", contact_id="c_81"))(None, None))

    async with an_edge(tmp_path, script) as edge:
        with pytest.raises(errors.ContactNotFound):
            await edge.preview()


async def test_bytes_that_are_no_message_are_refused_without_the_parsers_words(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        method = edge.bare().unary_unary(PREVIEW)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"\xff\xff\xff\x00garbage", timeout=5, metadata=_bearer("operator"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info_of(caught.value).reason == "UNREADABLE_REQUEST"
    assert "parsing" not in caught.value.details().lower()


async def test_unknown_fields_are_not_passed_on(tmp_path):
    seen = []

    async def script(request, _rpc):
        seen.append(request.ByteSize())
        return bot_service_pb2.PreviewTurnResponse()

    async with an_edge(tmp_path, script) as edge:
        unknown_field_4000 = b"\x82\xfa\x01" + b"\xe8\x07" + b"x" * 1000
        await edge.bare().unary_unary(PREVIEW)(unknown_field_4000, timeout=5, metadata=_bearer("operator"))
    assert seen == [0]


async def test_a_request_over_256_kib_is_refused(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bare().unary_unary(PREVIEW)(b"x" * 300_000, timeout=5, metadata=_bearer("operator"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


# --- cancelled and late ---------------------------------------------------------------


async def test_a_handler_that_raises_cancelled_error_does_not_hang_its_caller(tmp_path):
    async with an_edge(tmp_path, raising(asyncio.CancelledError())) as edge:
        with pytest.raises(errors.ServiceUnavailable, match="gave the call up"):
            await edge.preview(seconds=30)


async def test_a_caller_that_hangs_up_cancels_the_handler(tmp_path):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def script(_request, _rpc):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with an_edge(tmp_path, script) as edge:
        caller = asyncio.create_task(edge.preview(seconds=30))
        await started.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await asyncio.wait_for(cancelled.wait(), 10)


async def test_a_call_without_a_deadline_gets_the_methods_own(tmp_path, monkeypatch):
    monkeypatch.setitem(access.SECONDS, PREVIEW, 0.05)

    async def script(_request, _rpc):
        await asyncio.Event().wait()

    async with an_edge(tmp_path, script) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bot().PreviewTurn(bot_service_pb2.PreviewTurnRequest())
    assert info_of(caught.value).reason == "DEADLINE_PASSED"


async def test_a_deadline_is_inherited_through_two_hops(tmp_path):
    left: list[float | None] = []

    async def last(_request, _rpc):
        left.append(context.remaining_seconds())
        return bot_service_pb2.PreviewTurnResponse()

    async with an_edge(tmp_path, last) as third:

        async def middle(_request, _rpc):
            left.append(context.remaining_seconds())
            return await third.preview(seconds=60)

        async with an_edge(tmp_path, middle) as second:

            async def first(_request, _rpc):
                left.append(context.remaining_seconds())
                return await second.preview(seconds=60)

            async with an_edge(tmp_path, first) as edge:
                await edge.preview(seconds=5)
    assert 5.0 >= left[0] > left[1] + client.MARGIN_SECONDS / 2 > left[2]


async def test_nobody_is_asked_when_no_time_is_left(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        token = context.DEADLINE.set(asyncio.get_running_loop().time())
        try:
            with pytest.raises(errors.DeadlinePassed):
                await edge.preview()
        finally:
            context.DEADLINE.reset(token)


async def test_a_slow_neighbour_is_unavailable_while_we_have_time_left(tmp_path):
    async def script(_request, _rpc):
        await asyncio.Event().wait()

    async with an_edge(tmp_path, script) as edge:
        with pytest.raises(errors.ServiceUnavailable) as caught:
            await edge.preview(seconds=0.05)
    assert caught.value.metadata["service"] == "lead"


async def test_a_neighbour_that_is_not_there_is_unavailable():
    async with client.open_channel("127.0.0.1:1", token="", service="cache") as channel:
        stub = cache_service_pb2_grpc.CacheServiceStub(channel)
        with pytest.raises(errors.ServiceUnavailable) as caught:
            await client.call(stub.Complete, cache_service_pb2.CompleteRequest(), seconds=5)
    assert caught.value.metadata["service"] == "cache"
    assert caught.value.retry_after_seconds


# --- who may call ---------------------------------------------------------------------


def test_every_method_has_a_row_and_every_row_a_method():
    assert set(access.ACCESS) == set(all_methods())


async def test_every_pair_of_method_and_identity_is_answered_as_the_table_says(tmp_path):
    wrong = []
    async with an_edge(tmp_path, replying) as edge:
        channel = edge.bare()
        for method in all_methods():
            for caller in (*CALLERS, None):
                answer = await _answer(channel, method, caller)
                if answer != _expected(method, caller):
                    wrong.append((method, caller, answer))
    assert wrong == []


def _expected(method: str, caller: str | None) -> str:
    identities = access.ACCESS[method]
    if access.ANYBODY in identities:
        return "SERVED"
    if caller is None:
        return "UNKNOWN_CALLER"
    is_bot = caller in ("lead", "buyer", "seller")
    return "SERVED" if caller in identities or (is_bot and access.BOT in identities) else "METHOD_NOT_ALLOWED"


async def _answer(channel: Any, method: str, caller: str | None) -> str:
    metadata = () if caller is None else _bearer(caller)
    try:
        if method.endswith(("/Watch", "/ServerReflectionInfo")):
            stream = channel.stream_stream(method)(iter([b""]), timeout=5, metadata=metadata)
            await stream.read()
            stream.cancel()
        else:
            await channel.unary_unary(method)(b"", timeout=5, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        # The method's own answer to an empty request means that it was reached.
        return "SERVED" if rpc_status.from_call(error) is None else info_of(error).reason
    return "SERVED"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic token of operator", "token of operator"]
)
async def test_a_caller_without_a_known_token_is_refused(header, tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bare().unary_unary(PREVIEW)(b"", timeout=5, metadata=(("authorization", header),))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert info_of(caught.value).reason == "UNKNOWN_CALLER"


async def test_a_server_without_a_callers_file_serves_nobody(tmp_path):
    settings = Settings()
    bot = (bot_service_pb2_grpc.add_BotServiceServicer_to_server, bot_service_pb2_grpc.BotServiceServicer(), "x")
    server = make_server("lead", settings, [bot]).server
    address = bind(server, settings)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(PREVIEW)(b"", timeout=5, metadata=_bearer("operator"))
    await server.stop(0)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_handler_knows_caller_and_request_id(tmp_path):
    seen = []

    async def script(_request, _rpc):
        seen.append((context.caller(), context.request_id()))
        return bot_service_pb2.PreviewTurnResponse()

    async with an_edge(tmp_path, script) as edge:
        token = context.REQUEST_ID.set("m_7")
        try:
            await edge.preview()
        finally:
            context.REQUEST_ID.reset(token)
    assert seen == [("operator", "m_7")]


@pytest.mark.parametrize("given", ["", "x" * 65, "two words", "a~b"])
async def test_a_request_id_of_another_form_is_replaced(given, tmp_path):
    seen = []

    async def script(_request, _rpc):
        seen.append(context.request_id())
        return bot_service_pb2.PreviewTurnResponse()

    async with an_edge(tmp_path, script) as edge:
        metadata = (*_bearer("operator"), ("x-request-id", given))
        await edge.bare().unary_unary(PREVIEW)(b"", timeout=5, metadata=metadata)
    assert seen[0] != given
    assert re.fullmatch("[0-9a-f]{16}", seen[0])


def _bearer(caller: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {TOKENS[caller]}"),)


# --- room -----------------------------------------------------------------------------


async def test_a_full_process_refuses_calls_and_still_answers_probes(tmp_path):
    entered, leave = asyncio.Event(), asyncio.Event()

    async def script(_request, _rpc):
        entered.set()
        await leave.wait()
        return bot_service_pb2.PreviewTurnResponse()

    async with an_edge(tmp_path, script, concurrent_calls=1) as edge:
        first = asyncio.create_task(edge.preview())
        await entered.wait()
        with pytest.raises(errors.Overloaded) as caught:
            await edge.preview()
        probe = await health_pb2_grpc.HealthStub(edge.bare()).Check(health_pb2.HealthCheckRequest(), timeout=5)
        leave.set()
        await first
        await edge.preview()
    assert caught.value.retry_after_seconds
    assert probe.status == SERVING


async def test_every_call_is_counted_by_code(tmp_path):
    def counted() -> float:
        return float(RPC_REQUESTS.labels("lead", PREVIEW, "NOT_FOUND")._value.get())

    before = counted()
    async with an_edge(tmp_path, raising(errors.ContactNotFound("no c_81", contact_id="c_81"))) as edge:
        with pytest.raises(errors.ContactNotFound):
            await edge.preview()
    assert counted() == before + 1


# --- for people with a terminal ---------------------------------------------------------


async def test_reflection_lists_our_services_to_anybody(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        stub = reflection_pb2_grpc.ServerReflectionStub(edge.bare())
        asked = reflection_pb2.ServerReflectionRequest(list_services="*")
        async for answer in stub.ServerReflectionInfo(iter([asked]), timeout=5):
            listed = {service.name for service in answer.list_services_response.service}
    assert {"porchlight.bot.v1.BotService", "grpc.health.v1.Health"} <= listed


async def test_health_of_an_unknown_service_is_not_found(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(edge.bare()).Check(health_pb2.HealthCheckRequest(service="x"), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_method_that_nobody_serves_is_unimplemented(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edge.bare().unary_unary("/porchlight.bot.v1.BotService/Dance")(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# --- the calling side ------------------------------------------------------------------


def test_only_reading_methods_are_asked_again_by_the_channel():
    verbs = {re.match("[A-Z][a-z]+", method)[0] for _, method in client.IDEMPOTENT}
    assert verbs <= {"Evaluate", "Get", "List"}
    assert {f"/{service}/{method}" for service, method in client.IDEMPOTENT} <= set(access.ACCESS)


async def test_a_reading_method_is_asked_again_and_a_writing_one_is_not(tmp_path):
    asked: list[str] = []

    async def script(request, _rpc):
        asked.append(type(request).__name__)
        raise errors.StoreUnavailable("postgres does not answer", store="postgres")

    async with an_edge(tmp_path, script) as edge:
        stub = handoff_service_pb2_grpc.HandoffServiceStub(edge.channel("lead"))
        for method, request in (
            (stub.GetOwner, handoff_service_pb2.GetOwnerRequest()),
            (stub.RequestHandoff, handoff_service_pb2.RequestHandoffRequest()),
        ):
            with pytest.raises(errors.StoreUnavailable):
                await client.call(method, request, seconds=10)
    assert (asked.count("GetOwnerRequest"), asked.count("RequestHandoffRequest")) == (3, 1)


def test_no_service_config_has_a_timeout():
    assert "timeout" not in dict(client._OPTIONS)["grpc.service_config"]


async def test_a_replica_that_does_not_serve_gets_no_call(tmp_path):
    answered: list[str] = []

    def named(name: str) -> Script:
        async def script(_request: Any, _rpc: Any) -> Any:
            answered.append(name)
            return bot_service_pb2.PreviewTurnResponse()

        return script

    async with an_edge(tmp_path, named("one")) as one, an_edge(tmp_path, named("two")) as two:
        await two.health.set("", NOT_SERVING)
        target = f"ipv4:{one.address},{two.address}"
        async with client.open_channel(target, token=TOKENS["operator"], service="lead") as channel:
            method = bot_service_pb2_grpc.BotServiceStub(channel).PreviewTurn
            for _ in range(20):
                await client.call(method, bot_service_pb2.PreviewTurnRequest(), seconds=5)
            assert set(answered) == {"one"}
            await two.health.set("", SERVING)
            while "two" not in answered:
                await client.call(method, bot_service_pb2.PreviewTurnRequest(), seconds=5)


async def test_a_request_id_that_no_header_can_hold_is_not_sent(tmp_path):
    async with an_edge(tmp_path, replying) as edge:
        token = context.REQUEST_ID.set("señal\n")
        try:
            await edge.preview()
        finally:
            context.REQUEST_ID.reset(token)


async def test_a_channel_that_is_closed_under_a_call_is_an_unavailable_neighbour(tmp_path):
    entered = asyncio.Event()

    async def script(_request, _rpc):
        entered.set()
        await asyncio.Event().wait()

    async with an_edge(tmp_path, script) as edge:
        channel = edge.channel()
        method = bot_service_pb2_grpc.BotServiceStub(channel).PreviewTurn
        calling = asyncio.create_task(client.call(method, bot_service_pb2.PreviewTurnRequest(), seconds=30))
        await entered.wait()
        await channel.close()
        with pytest.raises(errors.ServiceUnavailable):
            await calling


# --- between machines -------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path) -> dict[str, Path]:
    """A certificate for 127.0.0.1 that signs itself, as settings."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "porchlight test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {"tls_cert_file": made.public_bytes(pem), "tls_key_file": private, "tls_ca_file": made.public_bytes(pem)}
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    return {file: tmp_path / file for file in files}


async def test_with_certificates_set_both_ends_must_show_one(certificate, tmp_path):
    async with an_edge(tmp_path, replying, **certificate) as edge:
        with_both = tls.channel_credentials(edge.settings)
        with_authority_only = tls.channel_credentials(Settings(tls_ca_file=certificate["tls_ca_file"]))
        assert await _reaches(edge, with_both)
        assert not await _reaches(edge, with_authority_only)
        assert not await _reaches(edge, None)


async def _reaches(edge: Edge, credentials: grpc.ChannelCredentials | None) -> bool:
    token = TOKENS["operator"]
    async with client.open_channel(edge.address, token=token, service="lead", credentials=credentials) as channel:
        stub = bot_service_pb2_grpc.BotServiceStub(channel)
        try:
            await client.call(stub.PreviewTurn, bot_service_pb2.PreviewTurnRequest(), seconds=10)
        except errors.ServiceUnavailable:
            return False
        return True
