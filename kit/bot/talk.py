"""What all bots have in common when they decide and speak. Pure."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from kit import sms
from kit.bot import fairness, words
from kit.bot.gate import SHOWN
from kit.bot.plan import Part, fixed, said
from kit.bot.spec import Move, MoveKind, Signals, Situation, SlotKind, SlotSpec
from kit.effects import Pause, Task
from kit.lane import Fact, InboundMessage
from kit.text import fold

LONGEST_REPLY: Final = 306
"""Two SMS segments of the GSM alphabet, 153 characters each."""
ASKED_MOST: Final = 2
"""A question that was not answered twice is left."""
_NOTED_MOST: Final = 3
_VALUE: Final = re.compile(r"\{value[^}]*\}")
_WHEN: Final = re.compile(r"\bwhen\b|\bhow soon\b|\btime ?(?:line|frame)\b")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z' -]{0,19}")


def hear_signals(messages: Sequence[InboundMessage]) -> Signals:
    """Read what the person says to the bot itself."""
    texts = [message.text for message in messages]
    question = any(map(words.asks_something, texts))
    return Signals(
        if_bot=any(words.asks_if_bot(each) or words.asks_who(each) for each in texts),
        human=any(map(words.asks_for_human, texts)),
        unsure=any(map(words.is_unsure, texts)),
        unsure_when=any(words.is_unsure(each) and _WHEN.search(fold(each)) for each in texts),
        no_texts=any(map(words.wants_no_texts, texts)),
        courtesy=all(map(words.is_courtesy, texts)),
        question=question,
        of_data=any(map(words.asks_of_data, texts)),
        of_people=question and any(map(fairness.asks_of_people, texts)),
        chooses_buyers=any(map(fairness.chooses_buyers, texts)),
    )


def first_name(profile: object) -> str:
    """Return a name that can be said: plain letters, so that no text can be put in our mouth; else nothing.

    >>> first_name({"first_name": "Jos\u00e9"}), first_name({"first_name": "visit x.example"})
    ('Jose', '')
    """
    name = profile.get("first_name") if isinstance(profile, dict) else None
    if not isinstance(name, str):
        return ""
    plain, whole = sms.plain(name), unicodedata.normalize("NFC", name.strip())
    # A letter without a plain form would be left out, and nobody is called "ukasz".
    return plain if len(plain) == len(whole) and _NAME.fullmatch(plain) else ""


def next_question(situation: Situation, order: Sequence[str]) -> str:
    """Return the first slot of `order` that is unknown and still worth asking for; "" when there is none."""
    for name in order:
        given_up = situation.times_asked.get(name, 0) >= ASKED_MOST or name in _left_open(situation)
        if name not in situation.known and not given_up:
            return name
    return ""


def say_value(slot: SlotSpec, fact: Fact) -> str:
    """Say a value back; "" for what is not said.

    >>> say_value(SlotSpec(name="price_max_usd", kind=SlotKind.INTEGER, meaning="", said="up to ${value:,}"),
    ...           Fact(name="price_max_usd", value=500000, extractor="rules", confidence=1.0))
    'up to $500,000'
    """
    value = fact.value
    if slot.kind is SlotKind.CHOICE:
        value = slot.choices.get(str(value), "")
    if isinstance(value, str):
        value = " ".join(value.split())[:SHOWN]
    return slot.said.format(value=value) if slot.said and value != "" else ""


def noted(slots: Sequence[SlotSpec], facts: Sequence[Fact]) -> tuple[Part, ...]:
    """Acknowledge facts in one short sentence; nothing when none is said back."""
    by_name = {fact.name: fact for fact in facts}
    values = {
        slot.name: said for slot in slots if slot.name in by_name and (said := say_value(slot, by_name[slot.name]))
    }
    values = dict(list(values.items())[:_NOTED_MOST])
    if not values:
        return ()
    written = f"Got it: {', '.join(f'{{{name}}}' for name in values)}."
    reads = {slot.name: _VALUE.sub("...", slot.said) for slot in slots if slot.name in values}
    return (Part(name="noted", written=written, values=values, reads=reads),)


def summary(slots: Sequence[SlotSpec], situation: Situation) -> str:
    """Say in plain sentences what the next bot must know, without what is private."""
    known = situation.known
    said = [f"{slot.name}: {known[slot.name].value}" for slot in slots if slot.name in known and not slot.private_to]
    return ("Known: " + "; ".join(said) + ".")[:1_800] if said else "Nothing is known yet."


def disclosure(situation: Situation) -> str:
    """Say who writes, that it is a machine, and how to end it; opens the first message to a contact."""
    name = f" {situation.first_name}" if situation.first_name else ""
    return f"Hi{name}! This is the automated assistant of {situation.brokerage}. Reply STOP to opt out."


def truth(situation: Situation) -> str:
    """Answer whether this is a person."""
    if situation.first_reply:
        return "No person is typing here."
    return f"I am an automated assistant of {situation.brokerage}, not a person."


def agent_reads(situation: Situation) -> str:
    """Say how a person comes in; promises no call, since nobody has promised one."""
    return f"An agent of {situation.brokerage} can read this conversation and take over at any time."


def agent(situation: Situation) -> Part:
    """Say how a person comes in; no model words a promise of people."""
    return fixed("agent", agent_reads(situation))


def head(situation: Situation) -> tuple[Part, ...]:
    """Open the first message to a contact; later ones need none."""
    return (fixed("disclosure", disclosure(situation)),) if situation.first_reply else ()


WANTS_A_PERSON: Final = Task(
    title="Wants to talk to a person",
    text="The person asked the automated assistant for a person. Writing to them from the CRM takes the contact over.",
    due_hours=4,
)
ASKS_OF_DATA: Final = Task(
    title="Asks about their data",
    text="The person asks what is kept of them, or wants it deleted. They were told that this is noted, not that it is"
    " done. DeleteContact erases a contact.",
)
HEARD_OF_DATA: Final = fixed("of_data", "I have noted your request about your data for a person to act on.")
HEARD_A_PERSON_IS_WANTED: Final = fixed("wants_a_person", "I have noted that you want to talk to a person.")
OF_PEOPLE: Final = fixed("of_people", fairness.OF_PEOPLE)
OF_BUYERS: Final = fixed("of_buyers", fairness.OF_BUYERS)
CANNOT_ANSWER: Final = Part(name="cannot_answer", written="I cannot answer that reliably myself.")


def converse(
    situation: Situation,
    slots: Sequence[SlotSpec],
    order: Sequence[str],
    *,
    opening: Sequence[Part] = (),
    closing: Sequence[Part],
    question: str = "",
) -> Move:
    """Answer what was asked of the bot, acknowledge what was learned, ask the next question.

    Args:
        situation: See there.
        slots: The bot's slots.
        order: Which slots to ask for, in this order.
        opening: What comes first, such as "I can help you sell."; may be empty.
        closing: What is said once nothing is left to ask.
        question: Other words for the next question, should there be one; empty for the slot's own.
    """
    signals = situation.signals
    if signals.no_texts:
        return Move(kind=MoveKind.STAY_SILENT, effects=(Pause(),))
    answers: list[Part] = []
    if signals.if_bot:
        answers.append(fixed("truth", truth(situation)))
    if signals.human:
        answers.append(HEARD_A_PERSON_IS_WANTED)
    if signals.human or signals.if_bot:
        answers.append(agent(situation))
    elif signals.of_data:
        answers.append(HEARD_OF_DATA)
    elif signals.of_people or signals.chooses_buyers:
        # An agent could not answer these either.
        answers.append(OF_BUYERS if signals.chooses_buyers else OF_PEOPLE)
    elif signals.question:
        answers += [CANNOT_ANSWER, agent(situation)]
    name = next_question(situation, order)
    done = not name
    if done and situation.closed and not answers and not opening:
        if signals.courtesy and not situation.learned:
            return Move(kind=MoveKind.STAY_SILENT)
        ending: Sequence[Part] = (agent(situation),)
    elif name:
        ending = (Part(name="question", written=question) if question else ask(slots, name, situation),)
    else:
        ending = () if situation.closed else closing
    if answers:
        # Nothing is rounded off right after "I cannot answer that".
        ending = [each for each in ending if each.name not in ("agent", "closing")]
    acknowledged = noted(slots, situation.learned if not situation.opening else _all_known(slots, situation))
    parts = _fit(head(situation), [*opening, *acknowledged], [*answers, *ending])
    kind = MoveKind.ANSWER if answers or done else MoveKind.ASK
    effects = (*((WANTS_A_PERSON,) if signals.human else ()), *((ASKS_OF_DATA,) if signals.of_data else ()))
    return Move(kind=kind, reply=said(parts), parts=parts, question=name, closing=done, effects=effects)


def count_asked(situation: Situation, move: Move) -> dict[str, int]:
    """Return how often each slot was asked for by now, for the bot's next turn.

    Who asks back has not left a question unanswered; who says "I don't know" has
    answered it for good.
    """
    counts = dict(situation.times_asked)
    if move.question and move.kind is MoveKind.ASK:
        counts[move.question] = counts.get(move.question, 0) + 1
    return counts | {name: ASKED_MOST for name in _left_open(situation) - set(situation.known)}


def _left_open(situation: Situation) -> set[str]:
    """Return the slots that the person says they cannot fill: the one asked for, and when, asked or not."""
    left = {situation.asked} if situation.signals.unsure and situation.asked else set()
    return left | ({"timeline"} if situation.signals.unsure_when else set())


def _all_known(slots: Sequence[SlotSpec], situation: Situation) -> tuple[Fact, ...]:
    """After a handoff everything known is said back once, so that the person need not wonder."""
    return tuple(situation.known[slot.name] for slot in slots if slot.name in situation.known)


def ask(slots: Sequence[SlotSpec], name: str, situation: Situation) -> Part:
    """Return the words that ask for a slot, other ones the second time."""
    slot = next(slot for slot in slots if slot.name == name)
    again = slot.again and situation.times_asked.get(name, 0)
    return Part(name="question", written=slot.again if again else slot.question)


def _fit(heads: Sequence[Part], courtesies: Sequence[Part], needed: Sequence[Part]) -> tuple[Part, ...]:
    """Join the parts; courtesies give way, last first, where two SMS segments are not enough."""
    kept = list(courtesies)
    while len(said([*heads, *kept, *needed])) > LONGEST_REPLY and kept:
        kept.pop()
    return (*heads, *kept, *needed)
