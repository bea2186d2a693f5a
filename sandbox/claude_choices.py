"""Which of a schema's choices a person's words speak of. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sandbox import claude_lexicon as lexicon
from sandbox.claude_lexicon import Reading
from sandbox.claude_topics import intents, said_by

UNKNOWN = frozenset(
    "unknown none unclear other unspecified undecided not_stated not_said neither n/a unsure null general".split()
)
BOTH = frozenset(("both", "buy_and_sell", "sell_and_buy", "buyer_and_seller", "buy_sell"))
SYNONYMS: tuple[tuple[str, str], ...] = (
    (r"^(?:buy|buyer|buying|purchase|purchasing|home_?buyer)(?:_|$)", "buy"),
    (r"^(?:sell|seller|selling|list|home_?seller)(?:_|$)", "sell"),
    (r"^(?:rent|renter|renting|lease)", r"\brent(?:ing|al)?\b|\blease\b|alquil"),
    (r"(?:^|_)(?:human|agent|person)(?:_|$)|^speak", said_by("human")),
    (r"^(?:opt_?out|stop|unsubscribe)", said_by("unsubscribe")),
    (r"(?:^|_)(?:tour|showing|visit|appointment|book|schedule|view)", said_by("tour")),
    (r"valuation|estimate|(?:^|_)(?:cma|worth)|price_my", said_by("valuation")),
    (r"greet|hello", said_by("greet")),
    (r"thank", said_by("thank")),
    (r"complain|angry|negative|upset|frustrat", said_by("complain")),
    (r"^(?:positive|happy|excited)", r"\b(?:great|love|excited|happy|perfect|awesome|thanks|wonderful)\b|!"),
    (r"^(?:cash|all_cash)", r"\b(?:all[- ])?cash\b|efectivo|al contado"),
    (r"^pre_?-?approv", r"pre-?\s?approv\w*|preaprobad[oa]"),
    (r"^pre_?-?qualif", r"pre-?\s?qualif\w*"),
    (r"^(?:mortgage|loan|financ)", r"\bmortgage|\bloan|financ|hipoteca"),
    (r"^(?:single|house|sfh|detached)", r"\bhouse\b|single[- ]family|\bcasa\b"),
    (r"^(?:condo|apartment)", r"\bcondo|\bapartment|\bflat\b|departamento"),
    (r"^town", r"\btown ?(?:house|home)"),
    (r"^(?:land|lot)", r"\bland\b|\blots?\b|\bacre"),
    (r"^excellent", r"excellent|great (?:shape|condition)|immaculate|perfect (?:shape|condition)|move[- ]in ready"),
    (r"^good$", r"\bgood\b(?! (?:morning|afternoon|evening|luck|question|day))|well[- ](?:kept|maintained)|buen estado"),
    (r"needs?_work|^poor|fixer", r"needs? (?:\w+ ){0,3}(?:work|repairs?|updat\w+)|fixer|rough (?:shape|condition)|\btlc\b"),
    (r"correct|change_of_mind|contradict", lexicon.CORRECTION.pattern),
    (r"^(?:ask_(?:a_)?)?questions?$|^asks?$", said_by("question")),
    (r"^(?:affirm|yes|confirm|agree|accept)", lexicon.YES.pattern),
    (r"^(?:deny|no|reject|refuse|decline)(?:_|$)", lexicon.NOPE.pattern),
)  # fmt: skip


def choices(text: str, values: Sequence[str], *, name: str = "", description: str = "") -> list[tuple[str, Reading]]:
    """Find which of `values` the person's words speak of, in the order of `values`.

    A value is recognised by what it commonly means, then by its own words, then by the words that the
    property's description gives for it ("tour: wants to see a home").
    """
    by_time = _time_choices(text, values)
    if by_time is not None:
        return by_time
    if re.search(r"language|locale", name.lower()):
        return [
            (each, Reading(value=each, words="")) for each in values if each.lower().startswith(lexicon.language(text))
        ][:1]
    found: list[tuple[str, Reading]] = []
    wants = intents(text)
    for value in values:
        plain = value.strip().lower().replace("-", "_").replace(" ", "_")
        reading = None if plain in UNKNOWN or plain in BOTH else _speaks_of(text, plain, wants, description)
        if reading:
            found.append((value, reading))
    no = next((value for value in values if re.match(r"not?_|un|needs_", value.lower().replace("-", "_"))), None)
    if not found and no is not None and (denied := _denied(text, values)):
        return [(no, denied)]
    return found


def _denied(text: str, values: Sequence[str]) -> Reading | None:
    """Find a choice that the person says no to: "not pre-approved" where `pre_approved` and `not_yet` can be chosen."""
    for value in values:
        means = next((means for names, means in SYNONYMS if re.search(names, value.lower())), None)
        for match in re.finditer(means, text, re.IGNORECASE) if means not in (None, "buy", "sell") else ():
            said = re.search(rf"(?:{lexicon.NO.pattern})[\w ]{{0,24}}$", text[: match.start()], re.IGNORECASE)
            if said:
                return Reading(value=value, words=text[said.start() : match.end()], sure=0.9)
    return None


def _speaks_of(text: str, plain: str, wants: dict[str, Reading], description: str) -> Reading | None:
    known = next((means for names, means in SYNONYMS if re.search(names, plain)), None)
    if known in ("buy", "sell"):
        return wants.get(known)
    spoken = known or r"\b" + r"[\s_-]?".join(re.escape(_stem(word)) for word in plain.split("_") if word) + r"\w*"
    for match in re.finditer(spoken, text, re.IGNORECASE):
        if not lexicon.denied(text, match.start()):
            return Reading(value=plain, words=match.group().strip(), sure=0.9)
    return None if known else _described(text, plain, description)


def _described(text: str, plain: str, description: str) -> Reading | None:
    said = re.search(
        rf"[`'\"]?\b{re.escape(plain)}\b[`'\"]?\s*(?:[:=(–—-]|means|when|if)\s*([^;.\n)]+)", description, re.IGNORECASE
    )
    for word in re.findall(r"[a-záéíóúñ]{5,}", said[1].lower()) if said else ():
        match = re.search(rf"\b{re.escape(_stem(word))}\w*", text, re.IGNORECASE)
        if match and word not in DULL and not lexicon.denied(text, match.start()):
            return Reading(value=plain, words=match.group(), sure=0.75)
    return None


DULL = frozenset(
    "person about their wants which where there would other anything something message someone known says".split()
)


def _stem(word: str) -> str:
    return re.sub(r"(?:ing|ed|es|s|e)$", "", word) if len(word) > 4 else word


def _months_of(value: str) -> tuple[float, float] | None:
    """Read a choice such as `1-3_months`, `asap`, `over_12_months`, `0_30_days`, `just_looking` as a span of months."""
    plain = value.lower()
    numbers = [float(number) for number in re.findall(r"\d+", plain)]
    unit = (
        1 / 30 if re.search(r"day|\d_?-?d\b", plain) else 0.25 if "week" in plain else 12.0 if "year" in plain else 1.0
    )
    if re.search(r"\basap\b|^(?:now|immediate|urgent|right_away|today)", plain):
        return 0.0, 1.0
    if re.search(r"just_?(?:looking|browsing)|no_(?:rush|hurry)|someday|long_?term|later", plain):
        return 12.01, 999.0
    if not numbers or not re.search(r"day|week|month|year|mo\b|\d_?m\b|\dd\b|\dm\b", plain):
        return None
    if re.search(r"over|more|plus|\+|>|beyond|after", plain):
        return numbers[-1] * unit + 0.01, 999.0
    low = numbers[0] if len(numbers) > 1 else 0.0
    return low * unit, numbers[-1] * unit


def _time_choices(text: str, values: Sequence[str]) -> list[tuple[str, Reading]] | None:
    spans = [(value, span) for value in values if (span := _months_of(value))]
    if len(spans) < 2:
        return None
    said = lexicon.time_frame(text)
    if not said:
        return []
    fitting = [(span[1], value) for value, span in spans if span[0] <= said[1] <= span[1]]
    # A figure between two spans belongs to the later one; past all of them, to the last.
    later = [(span[1], value) for value, span in spans if said[1] <= span[1]]
    best = min(fitting or later or [max((span[1], value) for value, span in spans)])
    return [(best[1], said[0])]
