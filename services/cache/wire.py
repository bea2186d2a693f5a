"""Between messages and values; checks every field."""

import re
from typing import Final

from google.protobuf.duration_pb2 import Duration
from porchlight.cache.v1 import cache_service_pb2 as pb

from kit import checks
from kit.errors import InvalidField
from kit.spans import OwnValue, SpanKind
from services.cache.analyze import VARIABLES, Analysed, Utterance
from services.cache.canonical import State, tag
from services.cache.complete import Answered, Wanted
from services.cache.prompts import PRODUCTION, Prompt

LONGEST_VARIABLE: Final = 20_000
MOST_VARIABLES: Final = 32
MOST_TAGS: Final = 8
MOST_TEXTS: Final = 20
LONGEST_TEXTS: Final = 12_000
MOST_KNOWN: Final = 32
MOST_OWN: Final = 16
LONGEST_OWN: Final = 200

_WORD: Final = re.compile(r"[a-z0-9_]{1,64}")
_KINDS: Final = {getattr(pb, f"SPAN_KIND_{kind}"): kind for kind in SpanKind}
_NUMBERS: Final = {kind: number for number, kind in _KINDS.items()}
_OWN_KINDS: Final = frozenset((SpanKind.NAME, SpanKind.ADDRESS, SpanKind.PHONE, SpanKind.EMAIL))

TIERS: Final = {
    "L1": pb.TIER_L1,
    "L2": pb.TIER_L2,
    "L3": pb.TIER_L3,
    "UPSTREAM": pb.TIER_UPSTREAM,
    "STUDENT": pb.TIER_STUDENT,
}


# A map of protobuf is read by its names and a list by a slice: items() and iterators of them cost several times as much.


def complete_request(request: pb.CompleteRequest) -> Wanted:
    """Read a request.

    Raises:
        InvalidField: A field is missing, malformed or over its limit.
    """
    given = request.variables
    checks.count("variables", list(given), most=MOST_VARIABLES)
    return Wanted(
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        prompt=checks.identifier("prompt", request.prompt),
        label=checks.identifier("label", request.label or PRODUCTION, longest=32),
        variables={
            # The name may be anything too, so it is not repeated in an error.
            name: checks.text("variables", given[name], longest=LONGEST_VARIABLE)
            for name in given
        },
        tags=tuple(
            checks.identifier(f"tags[{number}]", name)
            for number, name in enumerate(checks.count("tags", request.tags[:], most=MOST_TAGS))
        ),
    )


def check_variables(wanted: Wanted, prompt: Prompt) -> None:
    """Make sure that a request fills the prompt's placeholders, and nothing else.

    Raises:
        InvalidField: A variable is missing, or is none of the prompt's; or the prompt
            is for masked texts, which only Analyze makes.
    """
    if prompt.variables == VARIABLES:
        limit = "a prompt that is not for analyses"
        raise InvalidField(f"{prompt.prompt_version} takes masked texts; call Analyze", field="prompt", limit=limit)
    if wanted.variables.keys() != prompt.variables:
        limit = f"exactly {', '.join(sorted(prompt.variables))}" if prompt.variables else "none"
        raise InvalidField(
            f"variables are not those of {prompt.prompt_version}: {limit}", field="variables", limit=limit
        )


def complete_response(answered: Answered) -> pb.CompleteResponse:
    """Write a response."""
    return pb.CompleteResponse(
        content=answered.content,
        tier=TIERS[answered.tier],
        prompt_version=answered.prompt_version,
        model=answered.model,
        key_id=answered.key_id,
        age=duration(answered.age_seconds),
        cost_microusd=answered.cost_microusd,
        saved_microusd=answered.saved_microusd,
        input_tokens=answered.input_tokens,
        output_tokens=answered.output_tokens,
        fallback=fallback(answered.fallback, answered.tier),
        answer_id=answered.answer_id,
    )


def duration(seconds: float) -> Duration:
    """Write a span of time."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))


def analyze_request(request: pb.AnalyzeRequest) -> Utterance:
    """Read a request.

    Raises:
        InvalidField: A field is missing, malformed or over its limit.
    """
    texts = checks.count("texts", request.texts[:], most=MOST_TEXTS, least=1)
    for number, text in enumerate(texts):
        checks.text(f"texts[{number}]", text, longest=LONGEST_TEXTS)
    checks.integer("texts", sum(map(len, texts)), low=1, high=LONGEST_TEXTS)
    known = request.state.known
    checks.count("state.known", list(known), most=MOST_KNOWN)
    own_values = checks.count("own_values", request.own_values[:], most=MOST_OWN)
    return Utterance(
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        prompt=checks.identifier("prompt", request.prompt),
        label=checks.identifier("label", request.label or PRODUCTION, longest=32),
        texts=tuple(texts),
        state=State(
            asked=_word("state.asked", request.state.asked) if request.state.asked else "",
            known={
                _word("state.known", name): _word("state.known", known[name]) if known[name] else "" for name in known
            },
            opening=request.state.opening,
        ),
        own=tuple(_own(f"own_values[{number}]", each) for number, each in enumerate(own_values)),
    )


def _word(field: str, value: str) -> str:
    if not _WORD.fullmatch(value):
        limit = "1 to 64 lower-case letters, digits and _"
        raise InvalidField(f"{field} is no name of a slot or a choice: {limit}", field=field, limit=limit)
    return value


def _own(field: str, value: pb.OwnValue) -> OwnValue:
    kind = _KINDS.get(value.kind)
    if kind not in _OWN_KINDS:
        limit = "NAME, ADDRESS, PHONE or EMAIL"
        raise InvalidField(f"{field}.kind is none of {limit}", field=f"{field}.kind", limit=limit)
    assert kind is not None
    return OwnValue(kind=kind, value=checks.text(f"{field}.value", value.value, longest=LONGEST_OWN, shortest=1))


def analyze_response(analysed: Analysed) -> pb.AnalyzeResponse:
    """Write a response."""
    answered = analysed.answered
    return pb.AnalyzeResponse(
        analysis=answered.content,
        spans=[
            pb.Span(
                ref=span.ref,
                kind=_NUMBERS[span.kind],
                text=span.text,
                begin=span.start,
                end=span.end,
            )
            for span in analysed.masked.spans
        ],
        quotes=[
            pb.Quote(masked=words, text=place.text, begin=place.start, end=place.end)
            for words, place in analysed.quotes.items()
        ],
        tier=TIERS[answered.tier],
        score=answered.score,
        key_id=answered.key_id,
        prompt_version=answered.prompt_version,
        model=answered.model,
        shared=analysed.shared,
        age=duration(answered.age_seconds),
        cost_microusd=answered.cost_microusd,
        saved_microusd=answered.saved_microusd,
        input_tokens=answered.input_tokens,
        output_tokens=answered.output_tokens,
        fallback=fallback(answered.fallback, answered.tier),
        answer_id=answered.answer_id,
    )


def invalidate_request(request: pb.InvalidateRequest) -> tuple[str, bool]:
    """Read which tag is invalidated, and whether its bytes must go too.

    Raises:
        InvalidField: A field is missing, malformed or over its limit.
    """
    target = request.WhichOneof("target")
    if target is None or (target == "tenant" and not request.tenant):
        limit = "prompt, tag, contact_id or tenant = true"
        raise InvalidField(f"target is missing: {limit}", field="target", limit=limit)
    if target == "prompt":
        return tag("prompt", checks.identifier("prompt", request.prompt)), False
    tenant_id = checks.identifier("tenant_id", request.tenant_id)
    if target == "tenant":
        return tag("tenant", tenant_id), False
    kind = "contact" if target == "contact_id" else "tag"
    return tag(kind, tenant_id, checks.identifier(target, getattr(request, target))), kind == "contact"


def fallback(happened: bool, tier: str) -> "pb.Fallback.ValueType":
    """Write who answered in the place of the prompt's own model."""
    if not happened:
        return pb.FALLBACK_NONE
    return pb.FALLBACK_STUDENT if tier == "STUDENT" else pb.FALLBACK_SMALLER_MODEL
