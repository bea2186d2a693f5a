"""The table of who may call what."""

import pytest

from kit.rpc import access

BOTS = ("lead", "buyer", "seller")
# Written down a second time on purpose: a slip in the table must not pass unseen.
WHO_MAY = """
BotService HandleTurn                   gateway
BotService OfferHandoff                 handoff
BotService PreviewTurn                  operator
BuyerService MatchListings              console operator
BuyerService AssessReadiness            console operator
HandoffService EvaluateHandoff          bot operator
HandoffService RequestHandoff           bot operator
HandoffService EscalateToHuman          bot gateway console operator
HandoffService ReturnFromHuman          console operator
HandoffService AcceptHandoff            bot operator
HandoffService DeclineHandoff           bot operator
HandoffService GetOwner                 bot gateway console operator
HandoffService GetHandoff               bot gateway console operator
HandoffService ListHandoffs             bot gateway console operator
HandoffService ExplainHandoff           console operator
HandoffService WatchHandoffs            gateway console operator
HandoffService GetPolicy                console operator
HandoffService UpdatePolicy             operator
HandoffService SimulatePolicy           operator
CacheService Complete                   bot operator
CacheService Analyze                    bot operator
CacheService Invalidate                 gateway operator
CacheService Explain                    console operator
CacheService Feedback                   bot console operator
CacheService GetStats                   console operator
CacheService ListSpend                  console operator
PromptService ListPrompts               console operator
PromptService GetPrompt                 console operator
PromptService ListVersions              console operator
PromptService DiffVersions              console operator
PromptService CreateVersion             operator
PromptService SetLabel                  operator
PromptService Rollback                  operator
LeadService GetQualification            console operator
LeadService ScoreContact                console operator
SellerService EstimateValue             console operator
SellerService EstimateNetProceeds       console operator
ContactService GetTimeline              console operator
ContactService PauseContact              console operator
ContactService ResumeContact              console operator
ContactService DeleteContact                      operator
OpsService ListLanes                    console operator
Health Check                            *
Health Watch                            *
Health List                             *
ServerReflection ServerReflectionInfo   *
Channelz GetTopChannels                 operator
Channelz GetServers                     operator
Channelz GetServer                      operator
Channelz GetServerSockets               operator
Channelz GetChannel                     operator
Channelz GetSubchannel                  operator
Channelz GetSocket                      operator
"""
IDENTITIES = {"gateway", "handoff", "cache", "console", "operator", access.BOT, access.ANYBODY}


def may(caller: str, method: str) -> bool:
    return access.allowed(method, caller, bots=BOTS)


def test_the_table_is_what_was_decided():
    rows = {tuple(words[:2]): set(words[2:]) for words in map(str.split, WHO_MAY.strip().splitlines())}
    table = {tuple(method.split(".")[-1].split("/")): set(who) for method, who in access.ACCESS.items()}
    assert table == rows


def test_a_method_without_a_row_is_for_nobody():
    assert not any(may(caller, "/porchlight.bot.v1.BotService/DeleteEverything") for caller in (*IDENTITIES, *BOTS))


def test_any_bot_may_ask_for_a_handoff():
    assert all(may(bot, "/porchlight.handoff.v1.HandoffService/RequestHandoff") for bot in BOTS)


def test_a_bot_that_nobody_configured_is_no_bot():
    assert not may("renter", "/porchlight.handoff.v1.HandoffService/RequestHandoff")


def test_a_caller_called_bot_is_not_every_bot():
    assert not may("bot", "/porchlight.handoff.v1.HandoffService/RequestHandoff")


def test_only_the_gateway_hands_out_turns():
    method = "/porchlight.bot.v1.BotService/HandleTurn"
    assert [caller for caller in (*IDENTITIES, *BOTS) if may(caller, method)] == ["gateway"]


def test_only_the_arbiter_offers():
    method = "/porchlight.bot.v1.BotService/OfferHandoff"
    assert [caller for caller in (*IDENTITIES, *BOTS) if may(caller, method)] == ["handoff"]


def test_rows_name_known_identities_only():
    assert frozenset().union(*access.ACCESS.values()) <= IDENTITIES


def test_only_health_and_reflection_are_open():
    open_methods = [method for method in access.ACCESS if access.is_open(method)]
    assert all(method.startswith(("/grpc.health.", "/grpc.reflection.")) for method in open_methods)


@pytest.mark.parametrize("caller", ["gateway", "lead", "operator"])
def test_channelz_is_for_the_operator(caller):
    assert may(caller, "/grpc.channelz.v1.Channelz/GetServers") is (caller == "operator")


def test_time_limits_are_for_methods_that_exist():
    assert set(access.SECONDS) <= set(access.ACCESS)


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 2.0), (0.5, 0.5), (30.0, 30.0), (1e9, access.MOST_SECONDS), (-1.0, -1.0)]
)
def test_a_call_has_its_callers_deadline_or_the_methods(asked, seconds):
    assert access.allowed_seconds("/porchlight.handoff.v1.HandoffService/RequestHandoff", asked) == seconds
