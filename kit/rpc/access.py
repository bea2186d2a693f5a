"""Who may call what, and for how long. Pure. What is not listed here nobody may call."""

from collections.abc import Collection
from typing import Final

BOT: Final = "bot"
"""Stands for every bot, whatever its name."""

ANYBODY: Final = "*"
"""Stands for every caller, those without a token too."""

_OPEN: Final = frozenset({ANYBODY})
_OPERATOR: Final = frozenset({"operator"})
_BOTS: Final = frozenset({BOT, "operator"})
_READERS: Final = frozenset({BOT, "gateway", "console", "operator"})
_DESK: Final = frozenset({"console", "operator"})

ACCESS: Final[dict[str, frozenset[str]]] = {
    "/porchlight.bot.v1.BotService/HandleTurn": frozenset({"gateway"}),
    "/porchlight.bot.v1.BotService/OfferHandoff": frozenset({"handoff"}),
    "/porchlight.bot.v1.BotService/PreviewTurn": _OPERATOR,
    "/porchlight.buyer.v1.BuyerService/MatchListings": _DESK,
    "/porchlight.buyer.v1.BuyerService/AssessReadiness": _DESK,
    "/porchlight.handoff.v1.HandoffService/EvaluateHandoff": _BOTS,
    "/porchlight.handoff.v1.HandoffService/RequestHandoff": _BOTS,
    "/porchlight.handoff.v1.HandoffService/EscalateToHuman": _READERS,
    "/porchlight.handoff.v1.HandoffService/ReturnFromHuman": _DESK,
    "/porchlight.handoff.v1.HandoffService/AcceptHandoff": _BOTS,
    "/porchlight.handoff.v1.HandoffService/DeclineHandoff": _BOTS,
    "/porchlight.handoff.v1.HandoffService/GetOwner": _READERS,
    "/porchlight.handoff.v1.HandoffService/GetHandoff": _READERS,
    "/porchlight.handoff.v1.HandoffService/ListHandoffs": _READERS,
    "/porchlight.handoff.v1.HandoffService/ExplainHandoff": _DESK,
    "/porchlight.handoff.v1.HandoffService/WatchHandoffs": frozenset({"gateway", "console", "operator"}),
    "/porchlight.handoff.v1.HandoffService/GetPolicy": _DESK,
    "/porchlight.handoff.v1.HandoffService/UpdatePolicy": _OPERATOR,
    "/porchlight.handoff.v1.HandoffService/SimulatePolicy": _OPERATOR,
    "/porchlight.cache.v1.CacheService/Complete": _BOTS,
    "/porchlight.cache.v1.CacheService/Analyze": _BOTS,
    "/porchlight.cache.v1.CacheService/Invalidate": frozenset({"gateway", "operator"}),
    "/porchlight.cache.v1.CacheService/Explain": _DESK,
    # Bots too: their check refuses templates that people never see.
    "/porchlight.cache.v1.CacheService/Feedback": frozenset({BOT, "console", "operator"}),
    "/porchlight.cache.v1.CacheService/GetStats": _DESK,
    "/porchlight.cache.v1.CacheService/ListSpend": _DESK,
    "/porchlight.prompt.v1.PromptService/ListPrompts": _DESK,
    "/porchlight.prompt.v1.PromptService/GetPrompt": _DESK,
    "/porchlight.prompt.v1.PromptService/ListVersions": _DESK,
    "/porchlight.prompt.v1.PromptService/DiffVersions": _DESK,
    "/porchlight.prompt.v1.PromptService/CreateVersion": _OPERATOR,
    "/porchlight.prompt.v1.PromptService/SetLabel": _OPERATOR,
    "/porchlight.prompt.v1.PromptService/Rollback": _OPERATOR,
    "/porchlight.lead.v1.LeadService/GetQualification": _DESK,
    "/porchlight.lead.v1.LeadService/ScoreContact": _DESK,
    "/porchlight.seller.v1.SellerService/EstimateValue": _DESK,
    "/porchlight.seller.v1.SellerService/EstimateNetProceeds": _DESK,
    "/porchlight.contact.v1.ContactService/GetTimeline": _DESK,
    "/porchlight.contact.v1.ContactService/PauseContact": _DESK,
    "/porchlight.contact.v1.ContactService/ResumeContact": _DESK,
    "/porchlight.contact.v1.ContactService/DeleteContact": _OPERATOR,
    "/porchlight.ops.v1.OpsService/ListLanes": _DESK,
    # Open on purpose: orchestrators' probes and channels that check health carry
    # no secret, and the answer says nothing but whether the process serves.
    "/grpc.health.v1.Health/Check": _OPEN,
    "/grpc.health.v1.Health/Watch": _OPEN,
    "/grpc.health.v1.Health/List": _OPEN,
    # Open on purpose: grpcurl and buf curl ask before they send a token, and the
    # schema is public anyway.
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPEN,
    # Shows peers' addresses and call counts.
    "/grpc.channelz.v1.Channelz/GetTopChannels": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServers": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServer": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetServerSockets": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetChannel": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetSubchannel": _OPERATOR,
    "/grpc.channelz.v1.Channelz/GetSocket": _OPERATOR,
}

SECONDS: Final[dict[str, float]] = {
    "/porchlight.bot.v1.BotService/HandleTurn": 20.0,
    "/porchlight.bot.v1.BotService/OfferHandoff": 1.0,
    "/porchlight.bot.v1.BotService/PreviewTurn": 20.0,
    "/porchlight.handoff.v1.HandoffService/EvaluateHandoff": 2.0,
    "/porchlight.handoff.v1.HandoffService/RequestHandoff": 2.0,
    "/porchlight.handoff.v1.HandoffService/EscalateToHuman": 2.0,
    "/porchlight.handoff.v1.HandoffService/WatchHandoffs": 60.0,
    "/porchlight.cache.v1.CacheService/Complete": 15.0,
    "/porchlight.cache.v1.CacheService/Analyze": 15.0,
    # The first call of a source reads its sales and makes a market.
    "/porchlight.seller.v1.SellerService/EstimateValue": 20.0,
}
"""How long a call may take whose caller set no deadline. What a turn calls fits into the turn's 20 seconds."""

OTHER_SECONDS: Final = 5.0
"""For methods that are not in `SECONDS`."""

MOST_SECONDS: Final = 60.0
"""What a longer deadline is cut to."""


def is_open(method: str) -> bool:
    """Say whether anybody may call a method, without a token too."""
    return ANYBODY in ACCESS.get(method, frozenset())


def allowed(method: str, caller: str, *, bots: Collection[str]) -> bool:
    """Say whether a known caller may call a method.

    Args:
        method: Full name with slashes.
        caller: Identity that a token proved.
        bots: Names of all bots.
    """
    identities = ACCESS.get(method, frozenset())
    return ANYBODY in identities or caller in identities - {BOT} or (BOT in identities and caller in bots)


def allowed_seconds(method: str, asked: float | None) -> float:
    """Return how long a call may take: what the caller asked for, within bounds."""
    return SECONDS.get(method, OTHER_SECONDS) if asked is None else min(asked, MOST_SECONDS)
