"""What can be refused, and of what kind. Pure: no gRPC here.

PorchlightError
├── Invalid          the request can never succeed           INVALID_ARGUMENT
├── Unauthenticated  nobody knows who asks                   UNAUTHENTICATED
├── Missing          the thing named does not exist          NOT_FOUND
├── Refused          not in this state of the world          FAILED_PRECONDITION
├── Forbidden        not for this caller                     PERMISSION_DENIED
├── Conflict         someone else was first; start over      ABORTED
├── Exhausted        over a limit; try after `retry_after`   RESOURCE_EXHAUSTED
├── Unavailable      a neighbour is down; try again          UNAVAILABLE
├── Expired          the caller's time is up                 DEADLINE_EXCEEDED
└── Broken           our own mistake; the log has the cause  INTERNAL

Below the kinds stands one class per reason of `porchlight.errors.v1.ErrorReason`,
which says for each what `metadata` holds. Pure code raises these;
`kit/rpc/status.py` alone turns them into a status.
"""

from typing import ClassVar, Final


class PorchlightError(Exception):
    """Something that was asked for and is refused.

    Args:
        message: One sentence that names the actual values; goes to the caller, so
            no names, phones, addresses or message text.
        retry_after_seconds: When asking again makes sense. None means the class's
            own default, which is None for kinds that asking again does not mend.
        metadata: The values that the message names, for programs.
    """

    reason: ClassVar[str] = ""
    default_retry_after_seconds: ClassVar[float | None] = None

    metadata: dict[str, str]
    retry_after_seconds: float | None

    def __init__(self, message: str, /, *, retry_after_seconds: float | None = None, **metadata: object) -> None:
        super().__init__(message)
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.retry_after_seconds = (
            self.default_retry_after_seconds if retry_after_seconds is None else retry_after_seconds
        )

    @property
    def message(self) -> str:
        """The sentence it was raised with."""
        return str(self.args[0])


class Invalid(PorchlightError):
    """The request can never succeed."""


class Unauthenticated(PorchlightError):
    """Nobody knows who asks."""


class Missing(PorchlightError):
    """The thing named does not exist."""


class Refused(PorchlightError):
    """Not in this state of the world."""


class Forbidden(PorchlightError):
    """Not for this caller."""


class Conflict(PorchlightError):
    """Someone else was first; start over."""


class Exhausted(PorchlightError):
    """Over a limit; try after `retry_after_seconds`."""

    default_retry_after_seconds = 1.0


class Unavailable(PorchlightError):
    """A neighbour is down; try again."""

    default_retry_after_seconds = 1.0


class Expired(PorchlightError):
    """The caller's time is up."""


class Broken(PorchlightError):
    """Our own mistake; the log has the cause."""


class InvalidField(Invalid):
    """A field of the request is missing, malformed or over its limit."""

    reason = "INVALID_FIELD"


class UnreadableRequest(Invalid):
    """The bytes of the request are no message of the method's type."""

    reason = "UNREADABLE_REQUEST"


class RequestIdReused(Invalid):
    """The request id was used before, with other arguments."""

    reason = "REQUEST_ID_REUSED"


class UnknownCaller(Unauthenticated):
    """The caller gave no credentials, or unknown ones."""

    reason = "UNKNOWN_CALLER"


class MethodNotAllowed(Forbidden):
    """The caller is known and may not use this method."""

    reason = "METHOD_NOT_ALLOWED"


class NotTheCaller(Forbidden):
    """A bot asked in the name of another bot."""

    reason = "NOT_THE_CALLER"


class BadTicket(Forbidden):
    """The ticket is forged, expired, used, or made out to somebody else."""

    reason = "BAD_TICKET"


class NotTheOwner(Refused):
    """The bot that was asked does not own the contact."""

    reason = "NOT_THE_OWNER"


class WrongHandoffState(Refused):
    """The handoff is not in a state in which this can be done."""

    reason = "WRONG_HANDOFF_STATE"


class StaleTurn(Conflict):
    """The turn was claimed again, or its owner changed, since it was handed out."""

    reason = "STALE_TURN"


class Contended(Conflict):
    """Others changed the contact three times in a row while this was decided."""

    reason = "CONTENDED"


class PolicyChanged(Conflict):
    """The policy was changed since the version that the caller looked at."""

    reason = "POLICY_CHANGED"


class PromptChanged(Conflict):
    """The prompt was changed since the caller looked at it."""

    reason = "PROMPT_CHANGED"


class ContactNotFound(Missing):
    """No such contact is known: nobody of that id ever wrote, or it was erased."""

    reason = "CONTACT_NOT_FOUND"


class HandoffNotFound(Missing):
    """No such handoff exists, or none any more: records end by age."""

    reason = "HANDOFF_NOT_FOUND"


class PolicyNotFound(Missing):
    """There is no such version of the policy."""

    reason = "POLICY_NOT_FOUND"


class PromptNotFound(Missing):
    """There is no such prompt, or no such version or label of it."""

    reason = "PROMPT_NOT_FOUND"


class AnswerNotFound(Missing):
    """The cache knows no such answer, or no longer."""

    reason = "ANSWER_NOT_FOUND"


class SalesSourceNotFound(Missing):
    """No sales of that source are loaded."""

    reason = "SALES_SOURCE_NOT_FOUND"


class BudgetExhausted(Exhausted):
    """The money or request budget for the model is used up."""

    reason = "BUDGET_EXHAUSTED"


class Overloaded(Exhausted):
    """The process serves as many requests as it can."""

    reason = "OVERLOADED"


class ModelUnavailable(Unavailable):
    """The model gave no answer that may be used, within the time that was left."""

    reason = "MODEL_UNAVAILABLE"


class StoreUnavailable(Unavailable):
    """A store, Postgres or Redis, does not answer."""

    reason = "STORE_UNAVAILABLE"


class ServiceUnavailable(Unavailable):
    """A neighbouring service does not answer."""

    reason = "SERVICE_UNAVAILABLE"


class DeadlinePassed(Expired):
    """The caller's deadline passed, or had passed on arrival."""

    reason = "DEADLINE_PASSED"


class Internal(Broken):
    """Something broke that should not break. The log has the cause."""

    reason = "INTERNAL"


BY_REASON: Final[dict[str, type[PorchlightError]]] = {
    error.reason: error
    for error in (
        InvalidField,
        UnreadableRequest,
        RequestIdReused,
        UnknownCaller,
        MethodNotAllowed,
        NotTheCaller,
        BadTicket,
        NotTheOwner,
        WrongHandoffState,
        StaleTurn,
        Contended,
        PolicyChanged,
        PromptChanged,
        ContactNotFound,
        HandoffNotFound,
        PolicyNotFound,
        PromptNotFound,
        AnswerNotFound,
        SalesSourceNotFound,
        BudgetExhausted,
        Overloaded,
        ModelUnavailable,
        StoreUnavailable,
        ServiceUnavailable,
        DeadlinePassed,
        Internal,
    )
}
