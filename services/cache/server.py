"""Serves CacheService, and puts the parts of the process together."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc
from porchlight.prompt.v1 import prompt_service_pb2_grpc as prompt_grpc

from kit.clock import Clock, utc_now
from kit.errors import PorchlightError, StoreUnavailable
from kit.log import describe, get_logger
from kit.metrics import of
from kit.pg.pool import open_pool
from kit.process import Served
from kit.rest import rest
from kit.rpc import context
from services.cache import metrics, prompt_server, wire, wire_review
from services.cache.analyze import Analyses
from services.cache.complete import Answered, Completions
from services.cache.entry import Entry
from services.cache.generations import Generations
from services.cache.generations_pg import PgGenerationStore
from services.cache.journal import AnswerRow, Journal, JournalWriter
from services.cache.journal_pg import PgJournal
from services.cache.labels import LabelStore, LabelWriter
from services.cache.labels_pg import PgLabelStore
from services.cache.lease import Turns
from services.cache.lease_redis import RedisLeases
from services.cache.ledger import Ledger
from services.cache.ledger_pg import PgLedger
from services.cache.limiter import Limiter
from services.cache.limiter_redis import RedisBoard
from services.cache.link_redis import Link
from services.cache.model import Model
from services.cache.model_claude import ClaudeModel
from services.cache.money import Money
from services.cache.prompt_desk import PromptDesk
from services.cache.prompt_server import PromptService
from services.cache.prompts import Prompt, Prompts
from services.cache.prompts_pg import PgPromptStore
from services.cache.recorder import Recorder
from services.cache.review import Review
from services.cache.settings import CacheSettings
from services.cache.slots import Slots
from services.cache.student import NoStudent, Student
from services.cache.tier_memory import MemoryTier
from services.cache.tier_redis import RedisTier
from services.cache.tiers import Tiers
from services.cache.upstream import Upstream

log = get_logger()

SERVICE: Final = "porchlight.cache.v1.CacheService"
REFRESH_SECONDS: Final = 2.0
"""How old the known prompts and the day's total may be."""
MARGIN_SECONDS: Final = 0.1
"""Kept back of the caller's time, so that it hears from us and not from its own deadline."""
LAST_WRITE_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the service is put together from."""

    prompts: Prompts
    completions: Completions
    analyses: Analyses
    tiers: Tiers
    generations: Generations
    journal: Journal
    writer: JournalWriter
    ledger: Ledger


class CacheService(pb_grpc.CacheServiceServicer):
    """Answers prompts, from memory where it can."""

    def __init__(self, parts: Parts) -> None:
        self._prompts = parts.prompts
        self._completions = parts.completions
        self._analyses = parts.analyses
        self._tiers = parts.tiers
        self._generations = parts.generations
        self._journal = parts.journal
        self._writer = parts.writer
        self._ledger = parts.ledger
        self._review = Review(parts.journal, parts.writer, parts.generations, parts.tiers)

    async def Complete(self, request: pb.CompleteRequest, _context: Any) -> pb.CompleteResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        started = time.perf_counter()
        wanted = wire.complete_request(request)
        prompt = await self._prompts.get(wanted.prompt, wanted.label)
        wire.check_variables(wanted, prompt)
        try:
            answered = await self._completions.answer(
                wanted, prompt, request_id=context.request_id(), seconds=_seconds()
            )
        except PorchlightError as failure:
            _tell_failure(failure, prompt, started)
            raise
        self._note_soon(answered, wanted.tenant_id, prompt, started)
        return wire.complete_response(answered)

    async def Analyze(self, request: pb.AnalyzeRequest, _context: Any) -> pb.AnalyzeResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        started = time.perf_counter()
        wanted = wire.analyze_request(request)
        prompt = await self._prompts.get(wanted.prompt, wanted.label)
        try:
            analysed = await self._analyses.analyse(wanted, prompt, request_id=context.request_id(), seconds=_seconds())
        except PorchlightError as failure:
            _tell_failure(failure, prompt, started)
            raise
        shared = analysed.answered.content if analysed.shared else ""
        self._note_soon(analysed.answered, wanted.tenant_id, prompt, started, analysis=shared)
        return wire.analyze_response(analysed)

    async def Invalidate(self, request: pb.InvalidateRequest, _context: Any) -> pb.InvalidateResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        wanted, erase = wire.invalidate_request(request)
        generation = await self._generations.invalidate([wanted])
        if erase and not await self._tiers.erase(wanted):
            raise StoreUnavailable("redis does not answer", store="redis")
        log.info("entries.invalidated", generation=generation, kind=request.WhichOneof("target"))
        return pb.InvalidateResponse(generation=generation)

    async def Explain(self, request: pb.ExplainRequest, _context: Any) -> pb.ExplainResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        return wire_review.explain_response(await self._review.explain(*wire_review.named_answer(request)))

    async def Feedback(self, request: pb.FeedbackRequest, _context: Any) -> pb.FeedbackResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        tenant_id, answer_id = wire_review.named_answer(request)
        verdict = wire_review.verdict(request)
        changed = await self._review.judge(tenant_id, answer_id, verdict, by=context.caller())
        return pb.FeedbackResponse(changed=changed)

    async def GetStats(self, request: pb.GetStatsRequest, _context: Any) -> pb.GetStatsResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        tenant_id, prompt, hours = wire_review.stats_request(request)
        await self._writer.write()
        return wire_review.stats_response(await self._journal.sums(tenant_id, prompt, hours=hours))

    async def ListSpend(self, request: pb.ListSpendRequest, _context: Any) -> pb.ListSpendResponse:
        """See `protos/porchlight/cache/v1/cache_service.proto`."""
        tenant_id, days, after, size = wire_review.spend_request(request)
        found = await self._ledger.spends(tenant_id, days=days, after=after, most=size + 1)
        return wire_review.spend_response(found, size=size)

    def _note_soon(
        self, answered: Answered, tenant_id: str, prompt: Prompt, started: float, *, analysis: str = ""
    ) -> None:
        """Log, count and keep an answer once it is on its way, before anything else that its caller can ask."""
        seconds = time.perf_counter() - started
        asyncio.get_running_loop().call_soon(self._note, answered, tenant_id, prompt, seconds, analysis)

    def _note(self, answered: Answered, tenant_id: str, prompt: Prompt, seconds: float, analysis: str) -> None:
        _tell(answered, prompt.name, seconds)
        self._writer.add(
            AnswerRow(
                answer_id=answered.answer_id,
                tenant_id=tenant_id,
                key_id=answered.key_id,
                prompt_version=answered.prompt_version,
                tier=answered.tier,
                model=answered.model,
                score=answered.score,
                age_seconds=answered.age_seconds,
                cost_microusd=answered.cost_microusd,
                saved_microusd=answered.saved_microusd,
                fallback=answered.fallback,
                basis=answered.basis,
                analysis=analysis,
                request_id=context.request_id(),
                given_at=self._writer.now,
            )
        )


def _seconds() -> float | None:
    remaining = context.remaining_seconds()
    return None if remaining is None else max(0.001, remaining - MARGIN_SECONDS)


def _tell_failure(failure: PorchlightError, prompt: Prompt, started: float) -> None:
    metrics.FAILURES.labels(prompt.name, failure.reason).inc()
    log.warning(
        "completion.failed",
        prompt_version=prompt.prompt_version,
        reason=failure.reason,
        defect=failure.metadata.get("defect", failure.metadata.get("budget", "")),
        duration_ms=round((time.perf_counter() - started) * 1000, 1),
    )


async def build(settings: CacheSettings, stack: AsyncExitStack) -> Served:
    """Put the process together."""
    model: Model | None = None
    if settings.has_model:
        claude = ClaudeModel(
            api_key=settings.anthropic_api_key.get_secret_value(), base_url=settings.anthropic_base_url
        )
        stack.push_async_callback(claude.close)
        model = claude
    return await assemble(settings, stack, model=model, clock=utc_now)


async def assemble(settings: CacheSettings, stack: AsyncExitStack, *, model: Model | None, clock: Clock) -> Served:
    """Put the process together around a model and a clock."""
    pool = await open_pool(settings.database_url.get_secret_value(), name="cache")
    stack.push_async_callback(pool.close)
    ledger = PgLedger(pool)
    money = Money(
        ledger,
        total_microusd=settings.daily_microusd,
        tenant_microusd=settings.tenant_daily_microusd,
        replicas=settings.cache_replicas,
        clock=clock,
    )
    recorder, journal = Recorder(ledger, money), PgJournal(pool)
    notes = JournalWriter(journal)
    labels = PgLabelStore(pool)
    writer = LabelWriter(labels)
    for late in (recorder, notes, writer):
        stack.push_async_callback(_last_write, late)
    redis, board, leases = _in_redis(settings, stack)
    near: MemoryTier[Entry] = MemoryTier(settings.l1_bytes)
    generations = Generations(PgGenerationStore(pool), redis, seconds=time.monotonic, forget=near.clear)
    archive = PgPromptStore(pool)
    prompts = Prompts(archive, generations)
    # Jitter and back-off need no secrecy.
    tiers = Tiers(near, redis, clock=clock, luck=random.random, generations=generations)
    limiter = Limiter(
        board, limit=settings.minute_limit, replicas=settings.cache_replicas, replica=secrets.token_hex(8)
    )
    completions = Completions(
        tiers,
        _upstream(settings, model, limiter, money, recorder),
        total_seconds=settings.claude_total_seconds,
        turns=Turns(leases),
    )
    stack.push_async_callback(completions.close)
    student, teachers = await _student(settings, stack, labels, prompts)
    analyses = Analyses(completions, student, writer)
    stack.push_async_callback(analyses.close)
    parts = Parts(
        prompts=prompts,
        completions=completions,
        analyses=analyses,
        tiers=tiers,
        generations=generations,
        journal=journal,
        writer=notes,
        ledger=ledger,
    )
    with contextlib.suppress(StoreUnavailable):  # the workers try again
        await prompts.know()
        await recorder.know_spent()
        await generations.refresh()
    return Served(
        servicers=[
            (pb_grpc.add_CacheServiceServicer_to_server, CacheService(parts), SERVICE),
            _prompt_service(archive, generations),
        ],
        # Needed to begin with and not to go on: stored answers and known prompts outlive Postgres,
        # and channels do not ask a process that says it is not ready.
        checks={"postgres": prompts.know},
        workers=[
            recorder.run,
            limiter.run,
            writer.run,
            notes.run,
            generations.run,
            *teachers,
            lambda stop: _keep_fresh(prompts, recorder, stop),
        ],
    )


def _prompt_service(archive: PgPromptStore, generations: Generations) -> tuple[Any, PromptService, str]:
    service = PromptService(archive, PromptDesk(archive, generations))
    return prompt_grpc.add_PromptServiceServicer_to_server, service, prompt_server.SERVICE


def _in_redis(
    settings: CacheSettings, stack: AsyncExitStack
) -> tuple[RedisTier, RedisBoard, RedisLeases] | tuple[None, None, None]:
    """Return what replicas share; nothing without Redis."""
    if not settings.redis_url.get_secret_value():
        return None, None, None
    link = Link(settings.redis_url.get_secret_value(), seconds=settings.redis_milliseconds / 1_000)
    stack.push_async_callback(link.close)
    return RedisTier(link), RedisBoard(link), RedisLeases(link)


def _upstream(
    settings: CacheSettings, model: Model | None, limiter: Limiter, money: Money, recorder: Recorder
) -> Upstream:
    return Upstream(
        model,
        limiter=limiter,
        money=money,
        recorder=recorder,
        slots=Slots(settings.claude_concurrency),
        total_seconds=settings.claude_total_seconds,
        luck=random.random,
    )


async def _student(
    settings: CacheSettings, stack: AsyncExitStack, labels: LabelStore, prompts: Prompts
) -> tuple[Student, Sequence[Callable[[asyncio.Event], Awaitable[None]]]]:
    """Return who analyses before Claude is asked, and its worker."""
    if settings.student == "off":
        return NoStudent(), ()
    from services.cache.student_seeds import seeds
    from services.cache.student_taught import TaughtStudent
    from services.cache.student_train import train

    encoder = None
    if settings.student == "minilm":
        from services.cache.student_minilm import Batcher, MiniLm

        encoder = Batcher(await asyncio.to_thread(MiniLm))
        stack.push_async_callback(encoder.close)
    student = TaughtStudent(
        labels, train=train, encoder=encoder, seeds=lambda prompt_version: seeds(prompts.version(prompt_version))
    )
    return student, (student.run,)


async def _keep_fresh(prompts: Prompts, recorder: Recorder, stop: asyncio.Event) -> None:
    while not stop.is_set():
        for read in (prompts.refresh, recorder.read_spent):
            try:
                await read()
            except StoreUnavailable:
                pass  # the last known stays
            # Protects the process: a prompt or an answer of the database that this version
            # does not understand must not take the cached answers away too.
            except Exception as error:  # noqa: BLE001
                log.error("worker.failed", worker="refresh", **describe(error))
        await rest(stop, REFRESH_SECONDS)


async def _last_write(writer: Recorder | JournalWriter | LabelWriter) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WRITE_SECONDS):
            await writer.write()


def _tell(answered: Answered, prompt: str, seconds: float) -> None:
    of(metrics.ANSWERS, prompt, answered.tier).inc()
    of(metrics.SAVED, answered.tier).inc(answered.saved_microusd)
    log.info(
        "completion.answered",
        prompt_version=answered.prompt_version,
        model=answered.model,
        cache_tier=answered.tier,
        answer_id=answered.answer_id,
        key_id=answered.key_id,
        age_seconds=round(answered.age_seconds),
        score=round(answered.score, 3),
        cost_microusd=answered.cost_microusd,
        saved_microusd=answered.saved_microusd,
        duration_ms=round(seconds * 1000, 1),
    )
