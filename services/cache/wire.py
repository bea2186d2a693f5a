"""Between messages and values; checks every field."""

from typing import Final

from google.protobuf.duration_pb2 import Duration
from porchlight.cache.v1 import cache_service_pb2 as pb

from kit import checks
from kit.errors import InvalidField
from services.cache.complete import Answered, Wanted
from services.cache.prompts import PRODUCTION, Prompt

LONGEST_VARIABLE: Final = 20_000
MOST_VARIABLES: Final = 32

_TIERS: Final = {
    "L1": pb.TIER_L1,
    "L2": pb.TIER_L2,
    "L3": pb.TIER_L3,
    "UPSTREAM": pb.TIER_UPSTREAM,
}


def complete_request(request: pb.CompleteRequest) -> Wanted:
    """Read a request.

    Raises:
        InvalidField: A field is missing, malformed or over its limit.
    """
    checks.count("variables", list(request.variables), most=MOST_VARIABLES)
    return Wanted(
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        prompt=checks.identifier("prompt", request.prompt),
        label=checks.identifier("label", request.label or PRODUCTION, longest=32),
        variables={
            # The name may be anything too, so it is not repeated in an error.
            name: checks.text("variables", value, longest=LONGEST_VARIABLE)
            for name, value in request.variables.items()
        },
    )


def check_variables(wanted: Wanted, prompt: Prompt) -> None:
    """Make sure that a request fills the prompt's placeholders, and nothing else.

    Raises:
        InvalidField: A variable is missing, or is none of the prompt's.
    """
    if wanted.variables.keys() != prompt.variables:
        limit = f"exactly {', '.join(sorted(prompt.variables))}" if prompt.variables else "none"
        raise InvalidField(
            f"variables are not those of {prompt.prompt_version}: {limit}", field="variables", limit=limit
        )


def complete_response(answered: Answered) -> pb.CompleteResponse:
    """Write a response."""
    return pb.CompleteResponse(
        content=answered.content,
        tier=_TIERS[answered.tier],
        prompt_version=answered.prompt_version,
        model=answered.model,
        key_id=answered.key_id,
        age=_duration(answered.age_seconds),
        cost_microusd=answered.cost_microusd,
        saved_microusd=answered.saved_microusd,
        input_tokens=answered.input_tokens,
        output_tokens=answered.output_tokens,
    )


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))
