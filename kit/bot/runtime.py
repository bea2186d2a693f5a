"""Serve BotService for a bot that is given as data."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import DecodeError
from porchlight.bot.v1 import bot_service_pb2 as pb
from porchlight.bot.v1 import bot_service_pb2_grpc as pb_grpc
from porchlight.cache.v1 import cache_service_pb2_grpc as cache_grpc
from porchlight.handoff.v1 import handoff_service_pb2 as handoff_pb
from porchlight.handoff.v1 import handoff_service_pb2_grpc as handoff_grpc

from kit import process, tickets
from kit.bot import outbound, reading, talk, wire
from kit.bot.extract import Extracted, Extractor
from kit.bot.settings import BotSettings
from kit.bot.spec import BotSpec, Heard, Move, MoveKind, Situation
from kit.bot.speech import Speaker, Spoken
from kit.bot.wire import TurnKey
from kit.bot.wording import Worded, Wordings
from kit.clock import Clock, utc_now
from kit.crash import crash_point
from kit.errors import ContactNotFound, NotTheOwner, PorchlightError, StaleTurn, UnreadableRequest
from kit.lane import CompleteStatus, Fact, InboundMessage, Lane, OpenedTurn, OpenStatus
from kit.log import get_logger
from kit.pg.lane import PgLane
from kit.pg.pool import Pool, open_pool, ping
from kit.rpc import client, tls
from kit.rpc.context import remaining_seconds
from kit.rpc.server import Servicers
from kit.tokens import read_token

log = get_logger()

ARBITER_SECONDS: Final = 2.0
_OPEN_QUESTION_CHARS: Final = 500
_PREVIEW_TENANT: Final = "preview"
# What is read of one message, and of all messages of a turn: nobody texts more, a mail's
# tail is quotes, and rules run on the event loop.
_READ_CHARS: Final = 1_600
_READ_CHARS_OF_ALL: Final = 6_000

Context = grpc.aio.ServicerContext[Any, Any]
S = TypeVar("S", bound=BotSettings)

LookUp = Callable[[str, Situation], Awaitable[Mapping[str, Any]]]
"""Fetches for a tenant what a decision may need: given the situation, returns `Situation.found`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speciality:
    """What one bot has beside what every bot has."""

    servicers: Servicers = ()
    look_up: LookUp | None = None
    workers: Sequence[process.Worker] = ()
    """What runs beside the server, as `process.Served` says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thought:
    """What a bot makes of messages before it does anything."""

    situation: Situation
    extracted: Extracted
    move: Move


class BotService(pb_grpc.BotServiceServicer):
    """One bot.

    Args:
        spec: What makes it this bot.
        settings: What it was told from outside.
        lane: Where turns are opened and completed.
        cache: The way to the model, for reading and for wording.
        arbiter: The way to the handoff service.
        keys: The arbiter's public keys.
        look_up: What the bot looks up before it decides, if anything.
        clock: The process's clock, for tickets.
    """

    def __init__(
        self,
        spec: BotSpec,
        settings: BotSettings,
        *,
        lane: Lane,
        cache: cache_grpc.CacheServiceStub,
        arbiter: handoff_grpc.HandoffServiceStub,
        keys: tickets.PublicKeys,
        look_up: LookUp | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._spec = spec
        self._lane = lane
        self._extractor = Extractor(spec, cache, use_model=settings.use_model)
        wording = settings.use_model and settings.wording == "model"
        self._speaker = Speaker(spec, Wordings(spec.reply_prompt, cache, turned_on=wording))
        self._arbiter = arbiter
        self._keys = keys
        self._brokerage = settings.brokerage_name
        self._look_up = look_up
        self._clock = clock

    async def HandleTurn(self, request: pb.HandleTurnRequest, context: Context) -> pb.HandleTurnResponse:
        """Answer the messages of one turn, or ask the arbiter to move the contact."""
        began = time.perf_counter()
        key = wire.turn_key(request)
        opened = await self._open(key)
        if opened.status is OpenStatus.FINISHED:
            log.info("turn.replayed", bot=self._spec.name, contact_id=key.contact_id, turn_no=key.turn_no)
            return wire.finished(opened, replayed=True)
        thought = await self._think(key.tenant_id, key.contact_id, opened)
        move, learned = thought.move, thought.situation.learned
        situation = thought.situation
        while move.kind is MoveKind.HAND_OFF:
            handoff = await self._request_handoff(key, move, situation, record(move, thought.extracted, situation))
            if handoff is not None:
                crash_point("bot.after_hand_off")
                self._log(key, thought.extracted, move, began, handoff_id=handoff)
                return pb.HandleTurnResponse(outcome=pb.TURN_OUTCOME_HANDED_OFF, handoff_id=handoff)
            # Refused or unreachable: the person still gets an answer, from us.
            situation = replace(situation, denied_targets=situation.denied_targets | {move.target})
            move = self._spec.decide(situation)
        spoken = await self._speaker.speak(
            key.tenant_id, key.contact_id, situation, move, model_away=thought.extracted.fallback_cause
        )
        move = spoken.move
        kept = record(move, thought.extracted, situation)
        kept |= spoken.record(kept["cost_microusd"])
        response = await self._complete(key, move, learned, kept)
        self._log(key, thought.extracted, move, began, handoff_id=response.handoff_id, spoken=spoken)
        return response

    async def OfferHandoff(self, request: pb.OfferHandoffRequest, context: Context) -> pb.OfferHandoffResponse:
        """Check a ticket offline and say whether this bot takes the contact. Changes nothing."""
        wire.check_capsule_size(request.capsule)
        tickets.verify(
            request.ticket, keys=self._keys, audience=self._spec.name, now=self._clock(), capsule=request.capsule
        )
        try:
            capsule = pb.Capsule.FromString(request.capsule)
        except DecodeError as error:
            raise UnreadableRequest("capsule is no Capsule") from error
        if capsule.schema_version not in self._spec.capsule_versions:
            reason = f"capsule version {capsule.schema_version} is not understood"
            return pb.OfferHandoffResponse(answer=pb.OFFER_ANSWER_DECLINE, reason=reason)
        crash_point("bot.before_offer_answer")
        return pb.OfferHandoffResponse(answer=pb.OFFER_ANSWER_ACCEPT)

    async def PreviewTurn(self, request: pb.PreviewTurnRequest, context: Context) -> pb.PreviewTurnResponse:
        """Show what the bot would do with a text. Stores nothing, sends nothing."""
        said, facts = wire.preview(request)
        digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
        message = InboundMessage(
            message_id="preview", text=said, channel="SMS", write_time=self._clock().astimezone(UTC)
        )
        opened = OpenedTurn(status=OpenStatus.OPEN, facts=facts, messages=(message,), turns_before=1 if facts else 0)
        thought = await self._think(_PREVIEW_TENANT, f"preview_{digest[:16]}", opened)
        admitted = outbound.admit(self._spec, thought.situation, thought.move)
        return wire.preview_response(admitted.move, thought.situation.learned)

    async def _open(self, key: TurnKey) -> OpenedTurn:
        opened = await self._lane.open_turn(
            self._spec.name, key.tenant_id, key.contact_id, epoch=key.epoch, turn_no=key.turn_no
        )
        match opened.status:
            case OpenStatus.UNKNOWN_CONTACT:
                raise ContactNotFound(f"nothing is known of contact {key.contact_id}", contact_id=key.contact_id)
            case OpenStatus.NOT_THE_OWNER:
                raise NotTheOwner(
                    f"{self._spec.name} was asked to answer {key.contact_id}, which {opened.owner} owns",
                    bot=self._spec.name,
                    contact_id=key.contact_id,
                    owner_bot=opened.owner,
                )
            case OpenStatus.STALE:
                raise _stale(key)
        return opened

    async def _think(self, tenant_id: str, contact_id: str, opened: OpenedTurn) -> Thought:
        """Read the messages with rules and model, and decide."""
        known = {fact.name: fact for fact in opened.facts}
        last: Mapping[str, Any] = opened.last_record or {}
        handoff: Mapping[str, Any] = opened.handoff or {}
        most = min(_READ_CHARS, _READ_CHARS_OF_ALL // max(1, len(opened.messages)))
        messages = tuple(replace(each, text=each.text[:most]) for each in opened.messages)
        asked = str(last.get("question", "")) if self._spec.slot(str(last.get("question", ""))) else ""
        situation = Situation(
            brokerage=self._brokerage,
            first_name=talk.first_name(opened.profile),
            messages=messages,
            before=known,
            signals=talk.hear_signals(messages),
            asked=asked,
            times_asked={name: times for name, times in dict(last.get("asked", {})).items() if isinstance(times, int)},
            first_reply=opened.turns_before == 0,
            opening=handoff.get("state") == "ACCEPTED",
            source_bot=str(handoff.get("source_bot", "")),
            closed=bool(last.get("closing", False)),
            denied_targets=opened.denied_targets,
            memory=dict(last.get("memory") or {}),
        )
        if not messages:
            # The person took everything back meanwhile, by opting out for instance.
            return Thought(situation=situation, extracted=Extracted(), move=Move(kind=MoveKind.STAY_SILENT))
        # The rules in a thread: a text made to be hard to read takes a second, which other turns must not wait for.
        # gather, since a task group would hide the model's refusals in a group of exceptions.
        rules, extracted = await asyncio.gather(
            asyncio.to_thread(self._spec.read, Heard(messages=messages, asked=asked, known=known)),
            self._extractor.extract(
                tenant_id,
                contact_id,
                messages,
                asked=asked,
                known=known,
                opening=situation.opening,
                profile=opened.profile,
            ),
        )
        situation = replace(situation, learned=reading.settle(self._spec.slots, known, rules, extracted.facts))
        situation = replace(situation, found=await self._find(tenant_id, contact_id, situation))
        return Thought(situation=situation, extracted=extracted, move=self._spec.decide(situation))

    async def _find(self, tenant_id: str, contact_id: str, situation: Situation) -> Mapping[str, Any]:
        if self._look_up is None:
            return {}
        try:
            return await self._look_up(tenant_id, situation)
        except PorchlightError as error:
            # The person still gets an answer, of what is known without it.
            log.warning("lookup.failed", bot=self._spec.name, contact_id=contact_id, cause=error.reason)
            return {}

    async def _request_handoff(
        self, key: TurnKey, move: Move, situation: Situation, turn_record: Mapping[str, Any]
    ) -> str | None:
        """Ask the arbiter; return the handoff's id when the contact moves, None when this bot must answer.

        Raises:
            StaleTurn: The turn is not ours any more.
        """
        asked = self._spec.slot(situation.asked)
        unanswered = asked.question if asked and asked.name not in situation.known else ""
        request = wire.handoff_request(
            self._spec.name,
            key,
            move,
            request_id=request_id(key, move.target),
            facts=situation.learned,
            open_question=unanswered[:_OPEN_QUESTION_CHARS],
            turn_record=turn_record,
        )
        left = remaining_seconds()
        seconds = ARBITER_SECONDS if left is None else min(ARBITER_SECONDS, left / 2)
        crash_point("bot.before_request_handoff")
        try:
            response: handoff_pb.RequestHandoffResponse = await client.call(
                self._arbiter.RequestHandoff, request, seconds=seconds
            )
        except StaleTurn:
            raise
        except PorchlightError as error:
            log.warning(
                "handoff.blocked", contact_id=key.contact_id, source_bot=self._spec.name, target_bot=move.target,
                cause=error.reason,
            )  # fmt: skip
            return None
        return response.handoff.handoff_id if response.approved else None

    async def _complete(
        self, key: TurnKey, move: Move, learned: tuple[Fact, ...], kept: Mapping[str, Any]
    ) -> pb.HandleTurnResponse:
        crash_point("bot.before_complete_turn")
        status = await self._lane.complete_turn(
            self._spec.name,
            key.tenant_id,
            key.contact_id,
            epoch=key.epoch,
            turn_no=key.turn_no,
            reply=move.reply or None,
            facts=learned,
            record=kept,
            effects=move.effects,
        )
        crash_point("bot.after_complete_turn")
        if status is CompleteStatus.STALE:
            raise _stale(key)
        if status is CompleteStatus.FINISHED:
            # Another call of the same turn was first, or an arbiter whose yes never reached us.
            return wire.finished(await self._open(key), replayed=True)
        outcome = pb.TURN_OUTCOME_REPLIED if move.reply else pb.TURN_OUTCOME_SILENT
        return pb.HandleTurnResponse(outcome=outcome)

    def _log(
        self,
        key: TurnKey,
        extracted: Extracted,
        move: Move,
        began: float,
        *,
        handoff_id: str,
        spoken: Spoken | None = None,
    ) -> None:
        worded = spoken.worded if spoken else Worded()
        log.info(
            "turn.completed",
            bot=self._spec.name,
            tenant_id=key.tenant_id,
            contact_id=key.contact_id,
            turn_no=key.turn_no,
            move=move.kind.value,
            extractor=extracted.extractor,
            cache_tier=extracted.cache_tier,
            cost_microusd=extracted.cost_microusd + worded.cost_microusd,
            fallback_cause=extracted.fallback_cause,
            wording=spoken.wording if spoken else "",
            wording_cause=worded.cause,
            wording_prompt=worded.prompt_version,
            wording_tier=worded.cache_tier,
            handoff_id=handoff_id,
            text_chars=len(move.reply),
            duration_ms=round((time.perf_counter() - began) * 1_000, 1),
        )


def record(move: Move, extracted: Extracted, situation: Situation) -> dict[str, Any]:
    """Return what a turn's row says of how it was decided; the bot's next turn reads it too."""
    return {
        "move": move.kind.value,
        "extractor": extracted.extractor,
        "cache_tier": extracted.cache_tier,
        "cost_microusd": extracted.cost_microusd,
        "fallback_cause": extracted.fallback_cause,
        "answer_id": extracted.answer_id,
        "question": move.question or (situation.asked if move.kind is MoveKind.STAY_SILENT else ""),
        "asked": talk.count_asked(situation, move),
        "closing": move.closing or situation.closed,
        "memory": dict(situation.memory if move.memory is None else move.memory),
    }


def request_id(key: TurnKey, target: str) -> str:
    """Return the idempotency key of a handoff: a turn asks for a target once, however often it is tried."""
    parts = (key.tenant_id, key.contact_id, str(key.turn_no), target)
    named = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _stale(key: TurnKey) -> StaleTurn:
    return StaleTurn(
        f"turn {key.turn_no} of {key.contact_id} at epoch {key.epoch} is not the current one",
        contact_id=key.contact_id,
        epoch=key.epoch,
        turn_no=key.turn_no,
    )


def no_speciality(pool: Pool, settings: BotSettings) -> Speciality:
    """Return nothing beside what every bot has."""
    return Speciality()


def main(
    spec: BotSpec,
    speciality: Callable[[Pool, S], Speciality] = no_speciality,
    settings_type: type[S] = BotSettings,  # type: ignore[assignment]
) -> None:
    """Be the process of a bot."""

    async def build(settings: S, stack: AsyncExitStack) -> process.Served:
        return await build_bot(spec, settings, stack, speciality)

    process.main(spec.name, build, settings_type)


async def build_bot(
    spec: BotSpec, settings: S, stack: AsyncExitStack, speciality: Callable[[Pool, S], Speciality] = no_speciality
) -> process.Served:
    """Connect a bot with its neighbours; what must be closed goes on the stack."""
    pool = await open_pool(settings.database_url.get_secret_value(), name=spec.name)
    stack.push_async_callback(pool.close)
    token = read_token(settings.token_file) if settings.token_file else ""
    credentials = tls.channel_credentials(settings)
    cache = await stack.enter_async_context(
        client.open_channel(settings.cache_target, token=token, service="cache", credentials=credentials)
    )
    handoff = await stack.enter_async_context(
        client.open_channel(settings.handoff_target, token=token, service="handoff", credentials=credentials)
    )
    special = speciality(pool, settings)
    keys_file = settings.ticket_public_keys_file
    service = BotService(
        spec,
        settings,
        lane=PgLane(pool),
        cache=cache_grpc.CacheServiceStub(cache),
        arbiter=handoff_grpc.HandoffServiceStub(handoff),
        keys=tickets.read_public_keys(keys_file) if keys_file else {},
        look_up=special.look_up,
    )
    return process.Served(
        servicers=(
            (pb_grpc.add_BotServiceServicer_to_server, service, "porchlight.bot.v1.BotService"),
            *special.servicers,
        ),
        checks={"postgres": lambda: ping(pool)},
        workers=special.workers,
    )
