"""Pairs of texts that differ in one thing, asked one after the other: does the second one's writer get what they said?

`python -m tests.support.near_duplicates --pairs 10000 --seed 7` prints what became of
them and exits with 1 when anybody got an answer that does not say what they wrote.

The first text of a pair is answered by an oracle that knows what was written. The
second goes the same way through masking, key and memory of the real Analyze; where it
shares the first one's answer, that is bound to its own values, as a bot does, and
compared with what its writer said. The judge knows texts by how they were made and
has no line of the masking or the key.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from kit.prompt_file import parse
from kit.spans import OwnValue, SpanKind, mask
from services.cache.analyze import Analysed, Analyses, Utterance
from services.cache.canonical import State
from services.cache.complete import Completions
from services.cache.labels import LabelWriter, MemoryLabelStore
from services.cache.lease import Turns
from services.cache.pricing import Tokens
from services.cache.prompts import make_prompt
from services.cache.student import NoStudent
from services.cache.tier_memory import MemoryTier
from services.cache.tiers import Tiers
from services.cache.upstream import Call, Written

NOON: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
SIDES: Final = ("buy", "sell", "both")
SLOTS: Final = ("most", "least", "beds", "baths", "area", "home", "when", "name")
"""What a person may give a value of."""

_VALUE = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["side", "denied", "loan", "asks", *SLOTS],
    "properties": {
        "side": {"anyOf": [{"type": "string", "enum": list(SIDES)}, {"type": "null"}]},
        "denied": {"type": "boolean"},
        "loan": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        "asks": {"type": "boolean"},
        **dict.fromkeys(SLOTS, _VALUE),
    },
}
PROMPT: Final = make_prompt(
    1,
    parse(
        "+++\n"
        'name = "lead.extract"\nmodel = "claude-haiku-5-5"\nmax_tokens = 400\nscope = "tenant"\n'
        f"schema = '''{json.dumps(_SCHEMA)}'''\n"
        "+++\nYou say what a masked text means.\n+++\n"
        "<asked>{asked}</asked><known>{known}</known><turn>{turn}</turn><messages>{messages}</messages>\n"
    ).body,
)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What somebody means, before it is put into words."""

    side: str | None = "buy"
    denied: bool = False
    """They do not want it."""
    loan: bool | None = None
    """Whether they have a loan."""
    asks: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    """Slot to the value in the words in which it is written."""
    asked: str = "intent"
    known: Mapping[str, str] = field(default_factory=dict)
    short: bool = False
    """Whether they only answer what was asked."""


# --- words

_MONEY = ("450k", "$520,000", "610 thousand", "$700k", "835000", "1.2 million", "$999k", "half a million", "480K")
_BEDS = ("2", "3", "4", "5", "two", "three", "four")
_AREAS = (
    "Ballard",
    "Fremont",
    "98107",
    "Green Lake",
    "98115",
    "Queen Anne",
    "West Seattle",
    "Magnolia",
    "Capitol Hill",
)
_WHEN = ("3 months", "six weeks", "2 weeks", "a year", "10 months", "45 days")
_NAMES = ("Zorvane", "Quillarth", "Brixomel", "Tavendro", "Maryx", "Okonjelu")
_WISH = {
    False: ("I want to {0}", "we'd like to {0}", "looking to {0}", "hoping to {0}", "I need to {0}", "we are ready to {0}", "thinking I should {0}"),
    True: ("I don't want to {0}", "I do not want to {0}", "we never want to {0}", "not looking to {0}", "I am not ready to {0}"),
}  # fmt: skip
_SIDE = {
    "buy": ("buy a house", "purchase a home", "find a place", "buy a condo", "get a townhouse"),
    "sell": ("sell my house", "list our home", "sell the condo", "put the place on the market", "get rid of this house"),
    "both": ("sell my house and buy another", "buy a home and sell ours", "sell ours then buy", "buy first then sell our home"),
}  # fmt: skip
_PART = {
    "most": ("under {0}", "at most {0}", "up to {0}", "no more than {0}", "budget tops out at {0}"),
    "least": ("over {0}", "at least {0}", "no less than {0}", "nothing below {0}", "from {0} up"),
    "beds": ("{0} bedrooms", "with {0} beds", "{0} br"),
    "baths": ("{0} bathrooms", "with {0} baths", "{0} ba"),
    "area": ("in {0}", "around {0}", "near {0}"),
    "home": ("ours is in {0}", "my current place is in {0}", "we live in {0}"),
    "when": ("within {0}", "in {0}", "in the next {0}"),
    "name": ("this is {0}", "{0} here", "my name is {0}"),
}
_LOAN = {
    True: ("I'm pre-approved", "we are already approved for a loan", "I have a pre-approval"),
    False: ("I'm not pre-approved", "we are not approved for a loan yet", "I don't have a pre-approval"),
}
_ASKS = ("can you help?", "what is it worth?", "is that possible?", "what do you think?")
_POOLS: Final = {
    "most": _MONEY,
    "least": _MONEY,
    "beds": _BEDS,
    "baths": _BEDS,
    "area": _AREAS,
    "home": _AREAS,
    "when": _WHEN,
    "name": _NAMES,
}


def written(said: Said, luck: random.Random) -> str:
    """Put into words what somebody means."""
    if said.short:
        return noisy(next(iter(said.values.values()), "yes" if not said.denied else "no"), luck)
    parts = []
    if said.side is not None:
        parts.append(luck.choice(_WISH[said.denied]).format(luck.choice(_SIDE[said.side])))
    parts += [luck.choice(_PART[slot]).format(value) for slot, value in said.values.items()]
    if said.loan is not None:
        parts.append(luck.choice(_LOAN[said.loan]))
    if said.asks:
        parts.append(luck.choice(_ASKS))
    return noisy(", ".join(parts), luck)


def noisy(text: str, luck: random.Random) -> str:
    """Write it as people write: another case, spaces, a greeting, no end."""
    if luck.random() < 0.3:
        text = luck.choice(("Hi, ", "hello! ", "Hey ", "um, ")) + text
    if luck.random() < 0.2:
        text = text.replace(", ", luck.choice((",  ", " , ", ". ", "\n")))
    return text + luck.choice(("", "", ".", "!", " please", " thanks"))


# --- pairs

Change = Callable[[Said, random.Random], Said]


def a_meaning(luck: random.Random) -> Said:
    """Draw something that somebody might mean."""
    side = luck.choice(SIDES)
    slots = luck.sample(SLOTS, luck.randint(0, 3))
    if luck.random() < 0.15:
        slot = luck.choice(("most", "beds", "area", "when"))
        return Said(side=None, short=True, asked=slot, values={slot: luck.choice(_POOLS[slot])})
    return Said(
        side=side,
        denied=luck.random() < 0.15,
        loan=luck.choice((None, None, True, False)),
        asks=luck.random() < 0.2,
        values={slot: luck.choice(_POOLS[slot]) for slot in slots},
        asked=luck.choice(("", "intent", "most", "area")),
        known={"intent": luck.choice(("buy", "sell"))} if luck.random() < 0.3 else {},
    )


def _other(pool: tuple[Any, ...], value: Any, luck: random.Random) -> Any:
    return luck.choice([each for each in pool if each != value])


def _long(**changed: Callable[[Said, random.Random], Any]) -> Change:
    """Change what is said in a whole sentence; who only answered a question says a sentence now."""

    def change(said: Said, luck: random.Random) -> Said:
        whole = replace(said, short=False, side=said.side or "buy")
        return replace(whole, **{name: make(whole, luck) for name, make in changed.items()})

    return change


def _value_of(*slots: str) -> Change:
    """Another value for one of these slots, or of the one that was asked for."""

    def change(said: Said, luck: random.Random) -> Said:
        there = [slot for slot in said.values if said.short or slot in slots]
        slot = luck.choice(there or slots)
        return replace(said, values={**said.values, slot: _other(_POOLS[slot], said.values.get(slot), luck)})

    return change


def _swap(one: str, other: str) -> Change:
    """What was said of one slot is said of the other."""

    def change(said: Said, luck: random.Random) -> Said:
        names = {one: other, other: one}
        swapped = {names.get(slot, slot): value for slot, value in said.values.items()}
        return replace(said, values=swapped, asked=next(iter(swapped)) if said.short else said.asked)

    return change


def _asked(said: Said, luck: random.Random) -> Said:
    """The same words after another question."""
    if not said.short:
        return replace(said, asked=_other(("", "intent", "most", "area"), said.asked, luck))
    slot = _other(SLOTS, said.asked, luck)
    return replace(said, asked=slot, values={slot: next(iter(said.values.values()))})


CHANGES: Final[Mapping[str, Change]] = {
    "intent": _long(side=lambda said, luck: _other(SIDES, said.side, luck)),
    "negation": _long(denied=lambda said, luck: not said.denied),
    "loan": _long(loan=lambda said, luck: not said.loan),
    "question": _long(asks=lambda said, luck: not said.asks),
    "number": _value_of("most", "least", "beds", "baths"),
    "limit": _swap("most", "least"),
    "rooms": _swap("beds", "baths"),
    "place": _value_of("area", "home"),
    "whose place": _swap("area", "home"),
    "date": _value_of("when"),
    "name": _value_of("name"),
    "asked": _asked,
    "known": lambda said, luck: replace(
        said, known={"intent": _other(("buy", "sell"), said.known.get("intent"), luck)}
    ),
    "order": lambda said, luck: replace(said, values=dict(reversed(list(said.values.items())))),
    "words": lambda said, luck: said,
}
"""What the second text of a pair has changed; with `words` it means the same in other words."""


# --- the way of the real Analyze


class Inexpressible(Exception):
    """A value was not masked, so no reference stands for it; its text is its own key then."""


class Oracle:
    """Stands for Claude: says of a text, in references, what its writer meant."""

    def __init__(self) -> None:
        self.said = Said()
        self.spans: Mapping[str, str] = {}
        """Reference to the words, of the text that is asked about."""

    async def ask(self, call: Call, seconds_left: Callable[[], float]) -> Written:
        """Answer as Claude would that understands everything."""
        refs: dict[str, str | None] = dict.fromkeys(SLOTS)
        left = dict(self.spans)
        for slot, value in self.said.values.items():  # in the order of the text, as the references are
            ref = next((ref for ref, words in left.items() if same(words, value)), None)
            if ref is None:
                raise Inexpressible(value)
            del left[ref]
            refs[slot] = ref
        answer = json.dumps({**meant(self.said), **refs})
        return Written(content=answer, tokens=Tokens(input=1, output=1), cost_microusd=1)


def same(words: str, value: str) -> bool:
    """Say whether a span is a value; it may take a word beside it along, such as "next"."""
    return value in words or (words in value and len(words) > len(value) / 2)


def meant(said: Said) -> dict[str, Any]:
    """Return what an answer must say beside the values."""
    return {"side": said.side, "denied": said.denied, "loan": said.loan, "asks": said.asks}


class Way:
    """Masking, key, memory and single flight as the service has them, with an oracle in Claude's place."""

    def __init__(self) -> None:
        self.oracle = Oracle()
        tiers = Tiers(MemoryTier(256 * 1024 * 1024), None, clock=lambda: NOON, luck=lambda: 0.0)
        completions = Completions(tiers, self.oracle, total_seconds=10.0, turns=Turns(None))  # type: ignore[arg-type]
        self._analyses = Analyses(completions, NoStudent(), LabelWriter(MemoryLabelStore()))

    async def ask(self, said: Said, text: str, *, contact_id: str) -> Analysed:
        """Ask what a text means, as a bot does."""
        own = tuple(OwnValue(kind=SpanKind.NAME, value=value) for slot, value in said.values.items() if slot == "name")
        wanted = Utterance(
            tenant_id="loc_1",
            contact_id=contact_id,
            prompt=PROMPT.name,
            label="production",
            texts=(text,),
            state=State(asked=said.asked, known=said.known),
            own=own,
        )
        self.oracle.said = said
        self.oracle.spans = {span.ref: text[span.start : span.end] for span in mask([text], own).spans}
        return await self._analyses.analyse(wanted, PROMPT, request_id="r", seconds=None)


def is_right(analysed: Analysed, said: Said, text: str) -> bool:
    """Say whether an answer, its references bound to the writer's own words, is what the writer meant."""
    answer = json.loads(analysed.answered.content)
    words = {span.ref: text[span.start : span.end] for span in analysed.masked.spans}
    bound = {slot: words[answer[slot]] for slot in SLOTS if answer[slot] is not None}
    return (
        {name: answer[name] for name in meant(said)} == meant(said)
        and bound.keys() == said.values.keys()
        and all(same(bound[slot], value) for slot, value in said.values.items())
    )


@dataclass
class Outcome:
    """What became of all pairs."""

    pairs: Counter[str] = field(default_factory=Counter)
    one_key: Counter[str] = field(default_factory=Counter)
    """Pairs whose two texts share a key."""
    hits: int = 0
    """Texts that got an answer that was written for another one."""
    inexpressible: int = 0
    """Texts with a value that was not masked: they share nothing, or only with the same words."""
    wrong: list[str] = field(default_factory=list)


async def run(pairs: int, seed: int) -> Outcome:
    """Ask pairs of one tenant, whose texts meet all those before them in the memory."""
    luck, outcome, way = random.Random(seed), Outcome(), Way()
    names = list(CHANGES)
    for number in range(pairs):
        change = names[number % len(names)]
        one = a_meaning(luck)
        other = CHANGES[change](one, luck)
        outcome.pairs[change] += 1
        keys = []
        # The same choices of words, so that nothing else differs; other ones where that is the difference.
        seed_of_words = luck.random()
        for place, said in enumerate((one, other)):
            text = written(said, random.Random(f"{seed_of_words} {place if change == 'words' else ''}"))
            try:
                analysed = await way.ask(said, text, contact_id=f"c_{number}_{place}")
            except Inexpressible:
                outcome.inexpressible += 1
                continue
            keys.append(analysed.answered.key_id)
            outcome.hits += analysed.answered.tier != "UPSTREAM"
            if not is_right(analysed, said, text):
                outcome.wrong.append(f"{change}: {said} wrote {text!r} and got {analysed.answered.content}")
        outcome.one_key[change] += len(keys) == 2 and keys[0] == keys[1]
    return outcome


def main(arguments: list[str] | None = None) -> int:
    """Print what became of the pairs; 1 when an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    given = parser.parse_args(arguments)
    sys.stdout.write(f"seed {given.seed}\n")
    outcome = asyncio.run(run(given.pairs, given.seed))
    for change, count in outcome.pairs.items():
        sys.stdout.write(f"{change:12} {count:6} pairs, {outcome.one_key[change]:6} of one key\n")
    for each in outcome.wrong[:20]:
        sys.stdout.write(f"WRONG {each}\n")
    sys.stdout.write(
        f"{given.pairs} pairs: {outcome.hits} texts got an answer written for another one, {len(outcome.wrong)} wrongly;"
        f" {outcome.inexpressible} texts with a value that no reference stands for\n"
    )
    return 1 if outcome.wrong or not outcome.hits else 0


if __name__ == "__main__":
    sys.exit(main())
