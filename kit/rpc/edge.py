"""The edge of every server: whatever a call meets, its caller gets a documented status.

In this order: who calls, may they, is there room, how long, is the request readable.
Then the handler; then one log line and the metrics. One layer does all of it, since each
costs CPU on every call; as an interceptor of gRPC it would cost more still.
"""

import asyncio
import inspect
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from structlog.contextvars import bind_contextvars

from kit import errors, metrics
from kit.log import describe, get_logger
from kit.rpc import access, context, status
from kit.tokens import recognise

log = get_logger()

_UNREADABLE: Final = object()

# What came with a call. gRPC makes it to look for the handler anyway, and anew whenever a handler asks for it, which
# cost a quarter of all that is done here.
_METADATA: ContextVar[Collection[tuple[str, Any]]] = ContextVar("metadata", default=())

# How far gRPC's own timer and the event loop's clock may lie apart.
_CLOCK_SECONDS: Final = 0.01

# Handlers are of four shapes and of any message type, so grpcio's own types are Any.
Handler = Any
Rpc = Any
Work = Callable[[], Awaitable[Any]]


class Edge(grpc.GenericRpcHandler):
    """Stands before every handler of one server: servicers are added to it, and it to the server.

    Args:
        service: The process's name, for metrics and messages.
        callers: Who may call at all: name -> digest of the token.
        bots: Which of the callers are bots.
        most_calls: Calls served at once; probes and reflection do not count.
    """

    def __init__(self, *, service: str, callers: Mapping[str, str], bots: Collection[str], most_calls: int) -> None:
        self._service = service
        self._callers = dict(callers)
        self._bots = frozenset(bots)
        # Names come from the callers' file and methods from what is served: a bounded table.
        self._allowed = cache(partial(access.allowed, bots=self._bots))
        self._most_calls = most_calls
        self._calls = 0
        self._behind: list[grpc.GenericRpcHandler] = []
        self._wrapped: dict[str, Handler] = {}
        self._streams: set[asyncio.Task[Any]] = set()
        self._leaving = False

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Stand before handlers; generated code calls this."""
        self._behind += handlers

    def add_registered_method_handlers(self, _service: str, _handlers: Mapping[str, Handler]) -> None:
        """Do nothing, as gRPC's own asyncio server: generated code adds all handlers both ways."""

    def service(self, details: grpc.HandlerCallDetails) -> Handler:
        """Return the handler of a method, wrapped; None for a method that nobody serves."""
        _METADATA.set(details.invocation_metadata)
        if (wrapped := self._wrapped.get(details.method)) is None:
            handler = next((found for each in self._behind if (found := each.service(details)) is not None), None)
            if handler is None:
                return None
            wrapped = self._wrapped[details.method] = self._wrap(handler, details.method)
        return wrapped

    def end_streams(self) -> None:
        """End open streams, such as health's Watch, which otherwise last as long as their caller likes."""
        self._leaving = True
        for task in self._streams:
            task.cancel()

    def _wrap(self, handler: Handler, method: str) -> Handler:
        act = (
            (handler.stream_stream if handler.response_streaming else handler.stream_unary)
            if handler.request_streaming
            else (handler.unary_stream if handler.response_streaming else handler.unary_unary)
        )

        async def one(request: Any, rpc: Rpc) -> Any:
            return await self._guard(method, rpc, lambda: act(_readable(request, method), rpc))

        async def many(request: Any, rpc: Rpc) -> None:
            task = _current_task()
            self._streams.add(task)
            try:
                await self._guard(method, rpc, lambda: _send_all(act(_readable(request, method), rpc), rpc))
            finally:
                self._streams.discard(task)

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        return make(
            many if handler.response_streaming else one,
            _forgiving(handler.request_deserializer),
            handler.response_serializer,
        )

    async def _guard(self, method: str, rpc: Rpc, work: Work) -> Any:
        """Serve one call: answer with what it returns, or with the status of what it raises."""
        started = time.perf_counter()
        code, reason = "UNKNOWN", ""
        try:
            response = await self._translated(method, rpc, work)
            code = "OK"
            return response
        except errors.PorchlightError as refused:
            code, reason = status.code(type(refused)).name, refused.reason
            await rpc.abort_with_status(status.to_status(refused))
        except asyncio.CancelledError:
            left = context.remaining_seconds()
            code = "CANCELLED" if left is None or left > _CLOCK_SECONDS else "DEADLINE_EXCEEDED"
            raise
        except grpc.aio.AbortError:  # health answers NOT_FOUND this way; its status stands
            code = _code_name(rpc)
            raise
        finally:
            # Once the answer is on its way: nobody waits for our books.
            asyncio.get_running_loop().call_soon(self._tell, method, code, reason, time.perf_counter() - started)

    def _tell(self, method: str, code: str, reason: str, seconds: float) -> None:
        metrics.of(metrics.RPC_REQUESTS, self._service, method, code).inc()
        metrics.of(metrics.RPC_SECONDS, self._service, method).observe(seconds)
        write = log.info if reason else log.debug
        write("rpc.finished", method=method, code=code, reason=reason, duration_ms=round(seconds * 1000, 1))

    async def _translated(self, method: str, rpc: Rpc, work: Work) -> Any:
        try:
            return await self._admitted(method, rpc, work)
        except (errors.PorchlightError, grpc.aio.AbortError):
            raise
        except asyncio.CancelledError as given_up:
            task = _current_task()
            if self._leaving and task in self._streams:
                task.uncancel()
            elif task.cancelling():  # the caller hung up, its time is over, or the server stops
                raise
            # Or somebody cancelled something inside. Left alone, gRPC sends no status at
            # all and the caller waits until its own deadline (grpc/grpc#29248).
            raise errors.ServiceUnavailable(f"{self._service} gave the call up", service=self._service) from given_up
        except NotImplementedError:  # health's List, which grpcio's servicer does not have
            await rpc.abort(grpc.StatusCode.UNIMPLEMENTED, "not served")
        # Protects callers from exception texts, which may hold anything, and from
        # statuses that nobody documented.
        except Exception as error:
            raise _refusal(error, method) from error

    async def _admitted(self, method: str, rpc: Rpc, work: Work) -> Any:
        metadata = dict(_METADATA.get())
        context.begin_request(str(metadata.get("x-request-id", "")))
        if access.is_open(method):
            return await work()
        caller = self._identify(method, metadata)
        context.CALLER.set(caller)
        bind_contextvars(caller=caller)
        if self._calls >= self._most_calls:
            raise errors.Overloaded(f"{self._service} serves {self._most_calls} calls already", limit=self._most_calls)
        self._calls += 1
        try:
            return await _in_time(method, rpc.time_remaining(), work)
        finally:
            self._calls -= 1

    def _identify(self, method: str, metadata: Mapping[str, Any]) -> str:
        scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
        caller = recognise(token, self._callers) if scheme.lower() == "bearer" else None
        if caller is None:
            raise errors.UnknownCaller(f"nobody known calls {method}", method=method)
        if not self._allowed(method, caller):
            raise errors.MethodNotAllowed(f"{caller} may not call {method}", method=method, caller=caller)
        return caller


async def _in_time(method: str, asked: float | None, work: Work) -> Any:
    """Do the work within the caller's deadline, or within the method's own when there is none."""
    seconds = access.allowed_seconds(method, asked)
    if seconds <= 0:
        raise errors.DeadlinePassed(f"the deadline of {method} had passed on arrival", method=method)
    context.DEADLINE.set(asyncio.get_running_loop().time() + seconds)
    if seconds == asked:  # gRPC itself ends the call
        return await work()
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work()
    except TimeoutError:
        if not limit.expired():
            raise
        raise errors.DeadlinePassed(f"{method} took longer than {seconds:g} s", method=method) from None


def _refusal(error: Exception, method: str) -> errors.PorchlightError:
    """Return what the caller is told of an exception, and log what it is not told."""
    leaves = list(_leaves(error))
    ours = [leaf for leaf in leaves if isinstance(leaf, errors.PorchlightError)]
    if len(ours) == len(leaves):  # a TaskGroup wraps even a single refusal
        return ours[0]
    ref = secrets.token_hex(6)
    cause = next(leaf for leaf in leaves if not isinstance(leaf, errors.PorchlightError))
    log.error("rpc.failed", method=method, ref=ref, **describe(cause))
    return errors.Internal(f"something broke; the log knows it as {ref}", ref=ref)


def _leaves(error: Exception) -> list[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for child in error.exceptions for leaf in _leaves(child)]


def _forgiving(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Let unreadable bytes through as a mark: gRPC itself would answer with the parser's text."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            request = deserialize(data)
        except DecodeError:
            return _UNREADABLE
        # What we do not know we do not pass on: a relay would amplify it.
        request.DiscardUnknownFields()
        return request

    return read


def _readable(request: Any, method: str) -> Any:
    """Return the request, or the stream of requests, refusing what could not be read."""
    if request is _UNREADABLE:
        raise errors.UnreadableRequest(f"these bytes are no request of {method}", method=method)
    return _readable_stream(request, method) if hasattr(request, "__aiter__") else request


async def _readable_stream(requests: AsyncIterator[Any], method: str) -> AsyncIterator[Any]:
    async for request in requests:
        yield _readable(request, method)


async def _send_all(responses: Any, rpc: Rpc) -> None:
    """Send what a handler yields; one that writes by itself is only awaited."""
    if inspect.isawaitable(responses):
        await responses
        return
    async for response in responses:
        await rpc.write(response)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "handlers run in tasks"
    return task


def _code_name(rpc: Rpc) -> str:
    code = rpc.code()
    return next((known.name for known in grpc.StatusCode if code in (known, known.value[0])), "UNKNOWN")
