"""What the guarantees rest on: each mechanism, its text in the source, and the tests that miss it.

`tests/unit/test_mechanisms.py` holds this table to the source and to the tests;
`python -m tools.mechanisms` takes each one out.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """One mechanism: `text` in the SQL function `function` or in `file`, replaced by `instead`."""

    guarantee: str
    name: str
    function: str = ""
    file: str = ""
    text: str
    instead: str
    tests: tuple[str, ...]


_LEDGER: Final = "tests/contract/test_ledger.py::test_"
_LANE: Final = "tests/contract/test_lane.py::test_"
_FENCE: Final = "tests/contract/test_fences.py::test_"
_ARBITER: Final = "tests/service/test_arbiter.py::test_"
_POLICY: Final = "tests/unit/test_policy.py::test_"
_TICKETS: Final = "tests/unit/test_tickets.py::test_"
_BOT: Final = "tests/service/test_bot.py::test_"

MECHANISMS: Final = (
    Mechanism(
        guarantee="G1",
        name="record_handoff: the contact's lock, in a statement of its own",
        function="record_handoff",
        text="contact_id = p->>'contact_id' for update;",
        instead="contact_id = p->>'contact_id';",
        tests=(f"{_LEDGER}decision_waits_for_whoever_is_changing_the_contact_and_is_then_sent_back",),
    ),
    Mechanism(
        guarantee="G1",
        name="record_handoff: the contact's version",
        function="record_handoff",
        text="if c.version is distinct from (p->>'expected_version')::bigint\n       or ",
        instead="if ",
        tests=(
            f"{_LEDGER}decision_on_an_older_contact_is_sent_back",
            f"{_LEDGER}second_of_two_decisions_on_the_same_contact_is_sent_back",
        ),
    ),
    Mechanism(
        guarantee="G1",
        name="quota rule: the hour",
        file="services/handoff/rules.py",
        text="if hourly >= policy.hourly_limit:",
        instead="if False:",
        tests=(
            f"{_POLICY}fourth_handoff_within_an_hour_is_blocked_by_quota_alone",
            f"{_POLICY}bots_that_always_want_to_hand_over_never_exceed_three_moves_in_any_hour",
        ),
    ),
    Mechanism(
        guarantee="G1",
        name="quota rule: the day",
        file="services/handoff/rules.py",
        text="if daily >= policy.daily_limit:",
        instead="if False:",
        tests=(f"{_POLICY}eleventh_handoff_within_a_day_is_blocked",),
    ),
    Mechanism(
        guarantee="G2",
        name="change_owner: the epoch goes up with every owner",
        function="change_owner",
        text="epoch = epoch + 1",
        instead="epoch = epoch",
        tests=(f"{_LEDGER}approval_makes_the_target_the_owner_at_the_next_epoch",),
    ),
    Mechanism(
        guarantee="G2",
        name="handoff_one_open: one handoff under way a contact",
        file="migrations/sql/0001_lane.sql",
        text="create unique index handoff_one_open on",
        instead="create index handoff_one_open on",
        tests=(f"{_FENCE}second_open_handoff_of_a_contact_is_refused_by_the_table_itself",),
    ),
    Mechanism(
        guarantee="G2",
        name="record_handoff: the turn",
        function="record_handoff",
        text="if v_turn_no <> 0 and not exists (",
        instead="if false and not exists (",
        tests=(f"{_LEDGER}handoff_of_a_turn_that_is_over_is_stale",),
    ),
    Mechanism(
        guarantee="G2",
        name="complete_turn: the owner",
        function="complete_turn",
        text="c.owner <> p_bot or ",
        instead="",
        tests=(f"{_FENCE}turn_is_completed_only_while_all_of_its_fence_holds",),
    ),
    Mechanism(
        guarantee="G2",
        name="complete_turn: the epoch",
        function="complete_turn",
        text="c.epoch <> p_epoch or ",
        instead="",
        tests=(f"{_FENCE}turn_is_completed_only_while_all_of_its_fence_holds",),
    ),
    Mechanism(
        guarantee="G2",
        name="complete_turn: the turn's number",
        function="complete_turn",
        text="c.turn_no <> p_turn_no or ",
        instead="",
        tests=(f"{_FENCE}turn_is_completed_only_while_all_of_its_fence_holds",),
    ),
    Mechanism(
        guarantee="G2",
        name="complete_turn: the turn's state",
        function="complete_turn",
        text=" or t.state is distinct from 'OPEN'",
        instead="",
        tests=(f"{_LANE}released_turn_cannot_be_completed",),
    ),
    Mechanism(
        guarantee="G2",
        name="complete_turn: the audit row of a stale turn",
        function="complete_turn",
        text="if c.contact_id is not null then",
        instead="if false then",
        tests=(f"{_LANE}lease_that_ran_out_gives_the_lane_to_another_and_refuses_the_first",),
    ),
    Mechanism(
        guarantee="G2",
        name="claim_outbox: the epoch",
        function="claim_outbox",
        text="when c.epoch <> o.epoch then 'STALE_EPOCH' end",
        instead="end",
        tests=(f"{_FENCE}reply_of_an_epoch_that_is_over_is_not_claimed_though_it_waits",),
    ),
    Mechanism(
        guarantee="G3",
        name="record_handoff: whoever comes second with a request id is sent back",
        function="record_handoff",
        text="if not found then\n        return 'RETRY';\n    end if;",
        instead="",
        tests=(f"{_FENCE}request_id_that_another_contact_is_using_at_this_very_moment_is_sent_back",),
    ),
    Mechanism(
        guarantee="G3",
        name="arbiter: the first answer is given again",
        file="services/handoff/arbiter.py",
        text="if reading.earlier is not None:",
        instead="if False:",
        tests=(
            f"{_ARBITER}retry_with_the_same_request_id_moves_the_contact_once",
            f"{_ARBITER}denial_is_replayed_as_it_was_though_the_world_has_changed",
        ),
    ),
    Mechanism(
        guarantee="G3",
        name="arbiter: the proposal's digest",
        file="services/handoff/arbiter.py",
        text="if earlier.request_digest != digest:",
        instead="if False:",
        tests=(f"{_ARBITER}request_id_for_another_proposal_is_refused",),
    ),
    Mechanism(
        guarantee="G4",
        name="ticket: the signature, checked offline",
        file="kit/tickets.py",
        text="key.verify(ticket.signature, ticket.payload)",
        instead="pass",
        tests=(
            f"{_TICKETS}ticket_of_another_key_under_a_known_name_is_refused",
            f"{_TICKETS}ten_thousand_altered_tickets_are_all_refused",
        ),
    ),
    Mechanism(
        guarantee="G4",
        name="ticket: the audience",
        file="kit/tickets.py",
        text="if audience is not None and payload.target_bot != audience:",
        instead="if False:",
        tests=(f"{_TICKETS}ticket_for_another_bot_is_refused",),
    ),
    Mechanism(
        guarantee="G4",
        name="ticket: the end of its life",
        file="kit/tickets.py",
        text="if now >= expires:",
        instead="if False:",
        tests=(f"{_TICKETS}ticket_ends_at_its_very_moment",),
    ),
    Mechanism(
        guarantee="G4",
        name="redeem_ticket: single use",
        function="redeem_ticket",
        text="state in ('PENDING', 'OFFERED') and expire_time > v_now\n       and c.pending_handoff_id = p_handoff_id and ",
        instead="expire_time > v_now\n       and ",
        tests=(f"{_LEDGER}ticket_is_redeemed_once", f"{_LEDGER}ticket_is_redeemed_once_by_many_at_once"),
    ),
    Mechanism(
        guarantee="G4",
        name="redeem_ticket: the epoch",
        function="redeem_ticket",
        text=" and c.epoch = p_epoch and epoch = p_epoch;",
        instead=";",
        tests=(f"{_LEDGER}ticket_of_another_epoch_is_not_redeemed",),
    ),
    Mechanism(
        guarantee="G4",
        name="redeem_ticket: the end of the offer",
        function="redeem_ticket",
        text=" and expire_time > v_now",
        instead="",
        tests=(f"{_LEDGER}ticket_cannot_be_redeemed_after_the_offer_ended",),
    ),
    Mechanism(
        guarantee="G5",
        name="cycle rule",
        file="services/handoff/rules.py",
        text='    if not left:\n        detail = f"{asked.target_bot} did not hand',
        instead='    if True:\n        detail = f"{asked.target_bot} did not hand',
        tests=(
            f"{_POLICY}handoff_straight_back_is_blocked_as_circular",
            f"{_POLICY}way_back_over_a_third_bot_is_circular_too",
            f"{_POLICY}bots_that_always_want_to_hand_over_come_to_rest_within_two_hops",
        ),
    ),
    Mechanism(
        guarantee="G5",
        name="handoff_override_once: a message overrides the cycle rule once",
        file="migrations/sql/0001_lane.sql",
        text="create unique index handoff_override_once on",
        instead="create index handoff_override_once on",
        tests=(f"{_FENCE}message_overrides_once_by_the_table_itself",),
    ),
    Mechanism(
        guarantee="G6",
        name="record_handoff: the turn ends with the approval",
        function="record_handoff",
        text="update turn set state = 'HANDED_OFF'",
        instead="update turn set state = 'OPEN'",
        tests=(f"{_ARBITER}approval_ends_the_turn_and_the_waiting_message_is_the_targets_next_turn",),
    ),
    Mechanism(
        guarantee="G6",
        name="claim_offers: an offer that a dead arbiter had claimed comes back",
        function="claim_offers",
        text="(offer_lease_time is null or offer_lease_time <= porchlight_now())",
        instead="offer_lease_time is null",
        tests=(f"{_LEDGER}offer_of_a_claimer_that_vanished_is_claimed_again",),
    ),
    Mechanism(
        guarantee="G6",
        name="compensate: the lane goes on with the source",
        function="compensate",
        text="perform wake_lane(h.tenant_id, h.contact_id, porchlight_now());",
        instead="",
        tests=(f"{_ARBITER}target_that_never_answers_loses_the_contact_and_is_not_asked_for_that_message_again",),
    ),
    Mechanism(
        guarantee="G6",
        name="claim_outbox: look before a text is sent again",
        function="claim_outbox",
        text="o.needs_read_back := o.needs_read_back or o.state = 'CLAIMED';",
        instead="",
        tests=(f"{_LANE}claim_that_ran_out_must_be_looked_up_before_it_is_sent_again",),
    ),
    Mechanism(
        guarantee="G6",
        name="outbox_kept_back: what a reply that never went out was about waits again",
        function="reopen_messages",
        text="update inbox i set outcome = 'WAITING', attempts = 0",
        instead="update inbox i set attempts = 0",
        tests=(f"{_ARBITER}message_whose_reply_is_not_out_when_the_contact_moves_is_answered_by_the_target",),
    ),
    Mechanism(
        guarantee="G7",
        name="ticket: the capsule's digest",
        file="kit/tickets.py",
        text="if capsule is not None and payload.capsule_digest != digest(capsule):",
        instead="if False:",
        tests=(
            f"{_TICKETS}capsule_that_is_not_the_one_decided_on_is_refused",
            f"{_BOT}ticket_that_is_not_good_is_refused",
        ),
    ),
    Mechanism(
        guarantee="G9",
        name="bot: without the arbiter it keeps the contact and answers",
        file="kit/bot/runtime.py",
        text='        except StaleTurn:\n            raise\n        except PorchlightError as error:\n            log.warning(\n                "handoff.blocked"',
        instead='        except PorchlightError as error:\n            raise\n            log.warning(\n                "handoff.blocked"',
        tests=(f"{_BOT}rules_answer_when_neither_arbiter_nor_cache_can_be_reached",),
    ),
    Mechanism(
        guarantee="G10",
        name="record_handoff: the policy's version",
        function="record_handoff",
        text="(h->>'policy_version')::bigint is distinct from (select max(version) from policy)",
        instead="false",
        tests=(f"{_LEDGER}decision_under_an_older_policy_is_sent_back",),
    ),
    Mechanism(
        guarantee="G11",
        name="give_to_human: the epoch ends a turn in progress",
        function="give_to_human",
        text="c := change_owner(c.tenant_id, c.contact_id, 'human', null, p_cause);",
        instead="update contact set owner = 'human' where tenant_id = c.tenant_id and contact_id = c.contact_id;",
        tests=(f"{_LANE}human_takeover_fences_an_open_turn",),
    ),
    Mechanism(
        guarantee="G12",
        name="routing: the deadline of an offer",
        file="services/handoff/routing.py",
        text="await call(target.OfferHandoff, request, seconds=self._call_seconds)",
        instead="await call(target.OfferHandoff, request, seconds=20)",
        tests=(f"{_ARBITER}target_that_hangs_once_is_asked_again_after_the_deadline_of_the_call",),
    ),
    Mechanism(
        guarantee="G12",
        name="routing: offers that nobody took are given back",
        file="services/handoff/routing.py",
        text="for handoff_id in await self._ledger.expire_offers(limit=OFFERS_AT_ONCE):",
        instead="for handoff_id in list[str]():",
        tests=(f"{_ARBITER}target_that_never_answers_loses_the_contact_and_is_not_asked_for_that_message_again",),
    ),
)
