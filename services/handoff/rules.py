"""The rules. Pure: each looks at one snapshot and gives one verdict.

Windows are half open: what is exactly as old as the window no longer counts, so a
return is possible at 30:00 and not at 29:59.999999. A time after `now`, which a
clock that was set back can leave behind, counts as recent.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from kit.lane import Fact
from services.handoff.routes import Policy
from services.handoff.values import (
    CAPSULE_VERSION,
    CONSOLE,
    COUNTED,
    GATEWAY,
    GIVEN_BACK,
    HUMAN,
    OPERATOR,
    Kind,
    Outcome,
    PastHandoff,
    Proposal,
    Rule,
    Snapshot,
    TargetSeen,
    Verdict,
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(hours=24)
INTENT: Final = "intent"


def may_ask(asked: Proposal) -> tuple[str, ...]:
    """Return who may ask for this: for a person anybody who sees the need, for a bot's move the bot."""
    match asked.kind:
        case Kind.HANDOFF:
            return (asked.source_bot, OPERATOR)
        case Kind.ESCALATION:
            return (asked.source_bot, GATEWAY, CONSOLE, OPERATOR)
        case Kind.RETURN:
            return (CONSOLE, OPERATOR)


def identity(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The caller is the source bot, or somebody who may act for it."""
    limit = " or ".join(may_ask(asked))
    if asked.caller in may_ask(asked):
        return _passed(Rule.IDENTITY, asked.caller, limit, f"{asked.caller} may ask for {asked.source_bot}.")
    detail = f"{asked.caller} may not ask in the name of {asked.source_bot}."
    return _failed(Rule.IDENTITY, asked.caller, limit, detail)


def ownership(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The source owns the contact, at the epoch it believes in, and nothing is pending.

    A person preempts what is pending.
    """
    pending = seen.pending_handoff_id is not None and asked.kind is not Kind.ESCALATION
    observed = f"{seen.owner} at epoch {seen.epoch}" + (", a handoff pending" if seen.pending_handoff_id else "")
    epoch = f" at epoch {asked.expected_epoch}" if asked.expected_epoch else ""
    limit = f"{asked.source_bot}{epoch}" + ("" if asked.kind is Kind.ESCALATION else ", nothing pending")
    if pending:
        detail = f"A handoff to {seen.owner} is still under way."
    elif seen.owner == HUMAN and asked.kind is not Kind.RETURN:
        detail = "A person of the brokerage has this contact."
    elif seen.owner != asked.source_bot:
        detail = f"{seen.owner} owns the contact, not {asked.source_bot}."
    elif asked.expected_epoch not in (0, seen.epoch):
        detail = f"The contact changed hands since epoch {asked.expected_epoch}; it is now {seen.epoch}."
    else:
        return _passed(Rule.OWNERSHIP, observed, limit, f"{asked.source_bot} owns the contact.")
    return _failed(Rule.OWNERSHIP, observed, limit, detail)


def route(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The route exists, and the target reads our capsules and did not just refuse one of these messages."""
    name = f"{asked.source_bot} to {asked.target_bot}"
    limit = f"{asked.source_bot} to {' or '.join(policy.targets(asked.source_bot)) or 'nobody'}"
    if policy.threshold(asked.source_bot, asked.target_bot) is None:
        return _failed(Rule.ROUTE, name, limit, f"There is no route from {name}.")
    versions = policy.capsule_versions.get(asked.target_bot, (CAPSULE_VERSION,))
    if CAPSULE_VERSION not in versions:
        detail = f"{asked.target_bot} does not read capsules of version {CAPSULE_VERSION}."
        return _failed(Rule.ROUTE, f"{name}, capsule {CAPSULE_VERSION}", f"capsule {_either(versions)}", detail)
    waiting = set(seen.waiting_message_ids)
    for past in reversed(seen.history):
        same = (past.source_bot, past.target_bot) == (
            asked.source_bot,
            asked.target_bot,
        )
        if same and past.state in GIVEN_BACK and waiting.intersection(past.message_ids):
            what = "declined" if past.state.value == "DECLINED" else "did not take"
            detail = f"{asked.target_bot} {what} this contact with the message that still waits."
            return _failed(Rule.ROUTE, f"{name}, {past.state.value.lower()} before", limit, detail)
    return _passed(Rule.ROUTE, name, limit, f"The route from {name} is open.")


def known_bot(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The bot that a person gives the contact back to is one that some route names."""
    limit = _either(policy.bots)
    if asked.target_bot in policy.bots:
        return _passed(Rule.ROUTE, asked.target_bot, limit, f"{asked.target_bot} is a bot of the policy.")
    return _failed(Rule.ROUTE, asked.target_bot, limit, f"There is no bot called {asked.target_bot}.")


def consent(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The person has not opted out and may be contacted."""
    limit = "no opt-out, no do-not-disturb"
    if seen.opted_out:
        return _failed(Rule.CONSENT, "opted out", limit, "The person asked for no more messages.")
    if seen.dnd:
        return _failed(
            Rule.CONSENT,
            "do not disturb",
            limit,
            "The CRM marks the person as do-not-disturb.",
        )
    return _passed(Rule.CONSENT, "may be contacted", limit, "The person may be contacted.")


def cycle(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The target did not hand this contact over within the cycle window.

    Every bot that had the contact and gave it away within the window is closed, so
    A > B > C > A is seen like A > B > A. The person's own newer words override it.
    """
    minutes = policy.cycle_window // timedelta(minutes=1)
    limit = f"not within {minutes} minutes after {asked.target_bot} handed over"
    left = [past.decide_time for past in _counted(seen, policy.cycle_window) if past.source_bot == asked.target_bot]
    if not left:
        detail = f"{asked.target_bot} did not hand this contact over in the last {minutes} minutes."
        return _passed(Rule.CYCLE, "not left in the window", limit, detail)
    observed = f"handed over {_age(seen.now - max(left))} ago"
    if overrides(policy, seen, asked):
        detail = "A circular handoff, which the person's own newer message asks for."
        return Verdict(
            rule=Rule.CYCLE,
            outcome=Outcome.OVERRIDDEN,
            observed=observed,
            limit=limit,
            detail=detail,
        )
    detail = f"A circular handoff: {asked.target_bot} {observed}; a return needs {minutes} minutes or new words."
    return _failed(Rule.CYCLE, observed, limit, detail)


def quota(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """Fewer handoffs than the limits, in any sliding hour and any sliding 24 hours."""
    hourly, daily = len(_counted(seen, HOUR)), len(_counted(seen, DAY))
    observed = f"{hourly} in the last hour, {daily} in the last 24 hours"
    limit = f"fewer than {policy.hourly_limit} in an hour, fewer than {policy.daily_limit} in 24 hours"
    if hourly >= policy.hourly_limit:
        detail = f"The contact was moved {hourly} times in the last hour; {policy.hourly_limit} are allowed."
        return _failed(Rule.QUOTA, observed, limit, detail)
    if daily >= policy.daily_limit:
        detail = f"The contact was moved {daily} times in the last 24 hours; {policy.daily_limit} are allowed."
        return _failed(Rule.QUOTA, observed, limit, detail)
    return _passed(Rule.QUOTA, observed, limit, "The contact has moves left.")


def evidence(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The confidence is a number that reaches the route's threshold."""
    threshold = policy.threshold(asked.source_bot, asked.target_bot)
    if threshold is None:
        return _failed(
            Rule.EVIDENCE,
            f"{asked.confidence:g}",
            "a route",
            "Without a route there is no threshold.",
        )
    limit = f"{threshold:g} to 1"
    # Written so that NaN, for which every comparison is False, is refused.
    if math.isfinite(asked.confidence) and threshold <= asked.confidence <= 1.0:
        return _passed(
            Rule.EVIDENCE,
            f"{asked.confidence:g}",
            limit,
            f"The source is sure enough for {threshold:g}.",
        )
    detail = f"The source is not sure enough: {asked.confidence:g} where {threshold:g} is asked."
    return _failed(Rule.EVIDENCE, f"{asked.confidence:g}", limit, detail)


def health(policy: Policy, seen: Snapshot, asked: Proposal) -> Verdict:
    """The target answers, mostly and soon. Not having looked yet is no reason to refuse.

    A target that is down or sick puts the request off. When nobody has asked a sick one
    for the cool-down, one request goes through: what becomes of it says how it is.
    """
    target, limits, bot = seen.target, policy.target_limits, asked.target_bot
    limit = f"answers, at most {limits.error_share:.0%} errors, p95 at most {limits.p95_ms} ms"
    if not target.known:
        return _failed(Rule.HEALTH, "no address", limit, f"This arbiter knows no way to {bot}.")
    if target.answers is False:
        return _put_off("no answer", limit, f"{bot} does not answer at the moment.")
    observed = "not looked yet" if target.answers is None else "answers"
    if target.samples:
        observed += f", {target.errors} of {target.samples} calls failed, p95 {target.p95_ms} ms"
    if not _sick(policy, target):
        return _passed(Rule.HEALTH, observed, limit, f"Nothing is known against {bot}.")
    if timedelta(seconds=target.quiet_seconds) >= limits.cool_down:
        return _passed(Rule.HEALTH, f"{observed}, quiet", limit, f"{bot} was sick; this request tries it.")
    return _put_off(observed, limit, f"{bot} is sick and not to be given more for now.")


def retry_wait(policy: Policy, seen: Snapshot) -> timedelta:
    """Return how long a request that was put off is to wait."""
    cool_down = policy.target_limits.cool_down
    if seen.target.answers is False:
        return cool_down
    return max(timedelta(0), cool_down - timedelta(seconds=seen.target.quiet_seconds))


def is_probe(policy: Policy, seen: Snapshot) -> bool:
    """Say whether an approval tries a target that was sick."""
    return seen.target.answers is not False and _sick(policy, seen.target)


def _sick(policy: Policy, target: TargetSeen) -> bool:
    limits = policy.target_limits
    many = target.samples >= limits.least_samples
    return many and (target.errors > limits.error_share * target.samples or target.p95_ms > limits.p95_ms)


def overrides(policy: Policy, seen: Snapshot, asked: Proposal) -> bool:
    """Say whether the message that the proposal names overrides the cycle rule.

    It must be stored, newer than the last handoff, unused, and the proposal must
    carry an intent whose words stand in it and which the source does not serve.
    """
    message = seen.override
    if message is None or message.message_id != asked.override_message_id or message.used:
        return False
    last = max(
        (past.decide_time for past in seen.history if past.state in COUNTED),
        default=None,
    )
    if last is not None and message.receive_time <= last:
        return False
    return any(
        fact.name == INTENT
        and fact.message_id == message.message_id
        and _occurs(fact.words, message.text)
        and _contradicts(policy, fact, asked.source_bot)
        for fact in asked.facts
    )


def _contradicts(policy: Policy, fact: Fact, source_bot: str) -> bool:
    wanted = policy.intent_bots.get(fact.value) if isinstance(fact.value, str) else None
    return wanted is not None and wanted != source_bot


def _occurs(words: str, text: str) -> bool:
    folded = _fold(words)
    return bool(folded) and folded in _fold(text)


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _counted(seen: Snapshot, window: timedelta) -> list[PastHandoff]:
    # What moves from or to a person is no visit: it is exempt from both rules that count.
    return [
        past
        for past in seen.history
        if past.state in COUNTED
        and HUMAN not in (past.source_bot, past.target_bot)
        and _within(past.decide_time, seen.now, window)
    ]


def _within(moment: datetime, now: datetime, window: timedelta) -> bool:
    return now - moment < window


def _age(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    return f"{seconds // 60} min {seconds % 60} s"


def _either(names: Iterable[object]) -> str:
    return " or ".join(map(str, names)) or "nothing"


def _put_off(observed: str, limit: str, detail: str) -> Verdict:
    return Verdict(rule=Rule.HEALTH, outcome=Outcome.DEFER, observed=observed, limit=limit, detail=detail)


def _passed(rule: Rule, observed: str, limit: str, detail: str) -> Verdict:
    return Verdict(rule=rule, outcome=Outcome.PASS, observed=observed, limit=limit, detail=detail)


def _failed(rule: Rule, observed: str, limit: str, detail: str) -> Verdict:
    return Verdict(rule=rule, outcome=Outcome.FAIL, observed=observed, limit=limit, detail=detail)
