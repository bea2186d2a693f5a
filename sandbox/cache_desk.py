"""What `porchlight cache` prints: answers explained and judged, statistics, spend; asked of the cache service."""

import argparse
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import grpc
from google.protobuf import json_format
from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit.rpc.client import call, open_channel
from kit.tokens import read_token
from sandbox.keys import token_path

SECONDS = 5.0
DOLLAR = 1_000_000


async def run(
    given: argparse.Namespace, state_dir: Path, target: str, credentials: grpc.ChannelCredentials | None = None
) -> list[str]:
    """Run one of the commands and return what it prints, as lines.

    Raises:
        FileNotFoundError: There is no operator token in the state directory.
        PorchlightError: The cache service refused, or cannot be reached.
    """
    token = read_token(token_path(state_dir, "operator"))
    async with open_channel(target, token=token, service="cache", credentials=credentials) as channel:
        stub = pb_grpc.CacheServiceStub(channel)
        if given.what == "stats":
            asked = pb.GetStatsRequest(tenant_id=given.tenant, prompt=given.prompt, hours=given.hours)
            return stats_lines(await call(stub.GetStats, asked, seconds=SECONDS))
        if given.what == "spend":
            lines: list[pb.Spend] = []
            total = 0
            async for page in _spend(stub, given):
                lines += page.spends
                total = page.total_microusd
            return spend_lines(lines, total)
        if given.what == "explain":
            why = await call(
                stub.Explain, pb.ExplainRequest(tenant_id=given.tenant, answer_id=given.answer_id), seconds=SECONDS
            )
            return json_format.MessageToJson(why, preserving_proto_field_name=True).splitlines()
        verdict = pb.VERDICT_RIGHT if given.verdict == "right" else pb.VERDICT_WRONG
        said = pb.FeedbackRequest(tenant_id=given.tenant, answer_id=given.answer_id, verdict=verdict)
        changed = (await call(stub.Feedback, said, seconds=SECONDS)).changed
        return ["noted" if changed else "was known"]


async def _spend(stub: pb_grpc.CacheServiceStub, given: argparse.Namespace) -> AsyncIterator[pb.ListSpendResponse]:
    token = ""
    while True:
        page = await call(
            stub.ListSpend,
            pb.ListSpendRequest(tenant_id=given.tenant, days=given.days, page_size=1_000, page_token=token),
            seconds=SECONDS,
        )
        yield page
        token = page.next_page_token
        if not token:
            return


def stats_lines(stats: pb.GetStatsResponse) -> list[str]:
    """Lay statistics out: a table by prompt version and tier, then what they come to."""
    if not stats.answers:
        return ["no answers in that time"]
    cells = [("prompt", "tier", "answers", "share", "saved $", "said right", "said wrong", "audits", "wrong")]
    cells += [
        (
            each.prompt_version,
            pb.Tier.Name(each.tier).removeprefix("TIER_"),
            str(each.answers),
            f"{each.answers / stats.answers:.1%}",
            _dollars(each.saved_microusd),
            str(each.right),
            str(each.wrong),
            str(each.audits),
            str(each.audits_wrong),
        )
        for each in stats.tiers
    ]
    return [
        *table(cells),
        f"{stats.hits} of {stats.answers} answers without Claude ({stats.hits / stats.answers:.1%}),"
        f" {stats.upstream_calls} calls to Claude",
        f"spent ${_dollars(stats.cost_microusd)}, saved ${_dollars(stats.saved_microusd)}",
        f"wrong by audits: {_share(stats.audited)}; by what people said: {_share(stats.feedback)}",
    ]


def spend_lines(spends: Sequence[pb.Spend], total: int) -> list[str]:
    """Lay spend out: a line a day, tenant, prompt and model, then the sum."""
    if not spends:
        return ["nothing was spent in that time"]
    cells = [
        (
            "day (UTC)",
            "tenant",
            "prompt",
            "model",
            "calls",
            "answered",
            "tokens in",
            "tokens out",
            "$",
            "of it estimated",
        )
    ]
    cells += [
        (
            each.day,
            each.tenant_id,
            each.prompt,
            each.model,
            str(each.calls),
            str(each.answered_calls),
            str(each.input_tokens + each.cache_write_tokens + each.cache_read_tokens),
            str(each.output_tokens),
            _dollars(each.cost_microusd),
            _dollars(each.estimated_microusd),
        )
        for each in spends
    ]
    return [*table(cells), f"${_dollars(total)} in all"]


def table(cells: Iterable[Sequence[str]]) -> list[str]:
    """Lay rows out in columns."""
    rows = list(cells)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _dollars(microusd: int) -> str:
    """Write micro-dollars exactly.

    >>> _dollars(1_000_015), _dollars(0)
    ('1.000015', '0.000000')
    """
    return f"{microusd // DOLLAR}.{microusd % DOLLAR:06d}"


def _share(seen: pb.WrongShare) -> str:
    if not seen.judged:
        return "nobody looked"
    return f"{seen.wrong} of {seen.judged} ({seen.share:.1%}, 95 % interval {seen.low:.1%} to {seen.high:.1%})"
