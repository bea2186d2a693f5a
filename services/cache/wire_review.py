"""Between messages and values of what people ask about answers."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from porchlight.cache.v1 import cache_service_pb2 as pb

from kit import checks, paging
from kit.errors import InvalidField
from kit.stamps import stamp
from services.cache import wire
from services.cache.journal import RIGHT, WRONG, Sums, TierSum
from services.cache.ledger import SpendLine, Spends
from services.cache.stats import wilson

MOST_HOURS: Final = 744
MOST_DAYS: Final = 366
MOST_LINES: Final = 1_000

_VERDICTS: Final = {"": pb.VERDICT_UNSPECIFIED, RIGHT: pb.VERDICT_RIGHT, WRONG: pb.VERDICT_WRONG}
_WORDS: Final = {number: word for word, number in _VERDICTS.items()}


def named_answer(request: pb.ExplainRequest | pb.FeedbackRequest) -> tuple[str, str]:
    """Read whose answer is meant, and which.

    Raises:
        InvalidField: A field is missing, malformed or over its limit.
    """
    return (
        checks.identifier("tenant_id", request.tenant_id),
        checks.identifier("answer_id", request.answer_id, shortest=32, longest=32),
    )


def verdict(request: pb.FeedbackRequest) -> str:
    """Read what a person says.

    Raises:
        InvalidField: It is neither right nor wrong.
    """
    word = _WORDS.get(request.verdict, "")
    if not word:
        limit = "VERDICT_RIGHT or VERDICT_WRONG"
        raise InvalidField(f"verdict is none: {limit}", field="verdict", limit=limit)
    return word


def explain_response(known: Mapping[str, Any]) -> pb.ExplainResponse:
    """Write what is known of an answer."""
    call = known["call"]
    return pb.ExplainResponse(
        answer_id=known["answer_id"],
        answer_time=stamp(known["answer_time"]),
        request_id=known["request_id"],
        tier=wire.TIERS[known["tier"]],
        key_id=known["key_id"],
        key=_key_fields(known["basis"]),
        prompt_version=known["prompt_version"],
        model=known["model"],
        age=wire.duration(known["age_seconds"]),
        score=known["score"],
        fallback=wire.fallback(known["fallback"], known["tier"]),
        cost_microusd=known["cost_microusd"],
        saved_microusd=known["saved_microusd"],
        call=None if call is None else _call(call),
        labels=[pb.LabelSource(**each) for each in known["labels"]],
        verdict=_VERDICTS[known["verdict"]],
        verdict_by=known["verdict_by"],
    )


def _key_fields(basis: Mapping[str, Any]) -> pb.KeyFields:
    state = basis.get("state")
    return pb.KeyFields(
        scope=basis["scope"],
        model=basis["model"],
        max_tokens=basis["max_tokens"],
        effort=basis["effort"],
        schema_hash=basis["schema_hash"],
        state=None if state is None else pb.DialogueState(**state),
        masked=basis.get("masked", ""),
    )


def _call(call: Mapping[str, Any]) -> pb.ModelCall:
    same = ("call_id", "model", "attempt", "output_tokens", "cost_microusd", "price_version")
    return pb.ModelCall(
        **{name: call[name] for name in same},
        end_time=stamp(call["end_time"]),
        input_tokens=call["input_tokens"] + call["cache_write_tokens"] + call["cache_read_tokens"],
    )


def stats_request(request: pb.GetStatsRequest) -> tuple[str, str, int]:
    """Read tenant, prompt and hours.

    Raises:
        InvalidField: A field is malformed or over its limit.
    """
    return (
        checks.identifier("tenant_id", request.tenant_id, shortest=0),
        checks.identifier("prompt", request.prompt, shortest=0),
        checks.integer("hours", request.hours, low=0, high=MOST_HOURS) or 24,
    )


def stats_response(sums: Sums) -> pb.GetStatsResponse:
    """Write sums, and what they say together."""
    tiers = sums.tiers
    answers = sum(each.answers for each in tiers)
    return pb.GetStatsResponse(
        start_time=stamp(sums.start_time),
        tiers=[_tier(each) for each in tiers],
        answers=answers,
        hits=answers - sum(each.answers for each in tiers if each.tier == "UPSTREAM"),
        upstream_calls=sums.upstream_calls,
        cost_microusd=sums.cost_microusd,
        saved_microusd=sum(each.saved_microusd for each in tiers),
        audited=_share(sum(each.audits_wrong for each in tiers), sum(each.audits for each in tiers)),
        feedback=_share(
            sum(each.said_wrong for each in tiers), sum(each.said_wrong + each.said_right for each in tiers)
        ),
    )


def _tier(each: TierSum) -> pb.TierStats:
    return pb.TierStats(
        prompt_version=each.prompt_version,
        tier=wire.TIERS[each.tier],
        answers=each.answers,
        saved_microusd=each.saved_microusd,
        right=each.said_right,
        wrong=each.said_wrong,
        audits=each.audits,
        audits_wrong=each.audits_wrong,
    )


def _share(wrong: int, judged: int) -> pb.WrongShare:
    low, high = wilson(wrong, judged)
    return pb.WrongShare(judged=judged, wrong=wrong, share=wrong / judged if judged else 0.0, low=low, high=high)


def spend_request(request: pb.ListSpendRequest) -> tuple[str, int, Sequence[str], int]:
    """Read tenant, days, the last line of the page before, and how many lines.

    Raises:
        InvalidField: A field is malformed or over its limit.
    """
    return (
        checks.identifier("tenant_id", request.tenant_id, shortest=0),
        checks.integer("days", request.days, low=0, high=MOST_DAYS) or 30,
        paging.decode(request.page_token, parts=4) if request.page_token else (),
        checks.page_size(request.page_size, default=200, most=MOST_LINES),
    )


def spend_response(found: Spends, *, size: int) -> pb.ListSpendResponse:
    """Write a page of `size` lines; one more than that says that there is another page."""
    shown = found.spends[:size]
    return pb.ListSpendResponse(
        spends=[_spend(line) for line in shown],
        next_page_token=paging.encode(*shown[-1].place) if len(found.spends) > size else "",
        total_microusd=found.total_microusd,
    )


def _spend(line: SpendLine) -> pb.Spend:
    return pb.Spend(**{field.name: getattr(line, field.name) for field in pb.Spend.DESCRIPTOR.fields})
