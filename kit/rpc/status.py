"""Translate between our errors and `google.rpc.Status`. Nothing else knows both.

A status carries exactly one ErrorInfo of the domain `porchlight`, beside it
BadRequest, RetryInfo or QuotaFailure where they apply (AIP-193, AIP-194).
"""

from typing import Final

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from kit import errors

DOMAIN: Final = "porchlight"

# Statuses travel in trailers, of which a client takes 8 KiB.
_MESSAGE_CHARS: Final = 1_000
_VALUE_CHARS: Final = 250

_CODES: Final[dict[type[errors.PorchlightError], grpc.StatusCode]] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Missing: grpc.StatusCode.NOT_FOUND,
    errors.Refused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Conflict: grpc.StatusCode.ABORTED,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Expired: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Broken: grpc.StatusCode.INTERNAL,
}


def code(error: type[errors.PorchlightError]) -> grpc.StatusCode:
    """Return the status code of an error's kind."""
    return next((_CODES[kind] for kind in error.__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)


def to_status(error: errors.PorchlightError) -> grpc.Status:
    """Return what a server aborts a call with."""
    info = error_details_pb2.ErrorInfo(
        reason=error.reason or errors.Internal.reason,
        domain=DOMAIN,
        metadata={key: value[:_VALUE_CHARS] for key, value in error.metadata.items()},
    )
    number: int = code(type(error)).value[0]
    status = status_pb2.Status(
        code=number, message=error.message[:_MESSAGE_CHARS], details=[_packed(info), *_beside(error)]
    )
    translated: grpc.Status = rpc_status.to_status(status)
    return translated


def from_rpc_error(error: grpc.aio.AioRpcError, *, service: str = "") -> errors.PorchlightError:
    """Return our error for a call that failed.

    What carries no reason that we know was not said by one of our servers but by
    the wire between, or by a newer server: the neighbour cannot be used now.
    """
    if (said := _details(error)) is not None and (known := errors.BY_REASON.get(said[0].reason)) is not None:
        info, retry_seconds = said
        return known(error.details() or "", retry_after_seconds=retry_seconds, **dict(info.metadata))
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlinePassed(f"{service or 'a neighbour'} did not answer in time", service=service)
    return errors.ServiceUnavailable(
        f"{service or 'a neighbour'} cannot be used: {error.code().name}", service=service, code=error.code().name
    )


def _beside(error: errors.PorchlightError) -> list[any_pb2.Any]:
    details: list[Message] = []
    if isinstance(error, errors.InvalidField):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.metadata.get("field", "")[:_VALUE_CHARS], description=error.message[:_MESSAGE_CHARS]
        )
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.BudgetExhausted):
        exceeded = error_details_pb2.QuotaFailure.Violation(
            subject=error.metadata.get("budget", "")[:_VALUE_CHARS], description=error.message[:_MESSAGE_CHARS]
        )
        details.append(error_details_pb2.QuotaFailure(violations=[exceeded]))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(error.retry_after_seconds * 1_000_000_000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return [_packed(detail) for detail in details]


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _details(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, float | None] | None:
    try:
        status = rpc_status.from_call(error)
        if status is None:
            return None
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        retry_seconds = None
        for detail in status.details:
            if detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
                retry_seconds = retry.retry_delay.ToNanoseconds() / 1_000_000_000
            elif detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
    except (ValueError, DecodeError):  # a status that contradicts itself says nothing
        return None
    return (info, retry_seconds) if info.domain == DOMAIN else None
