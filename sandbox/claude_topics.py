"""Which reading a property of a schema asks for, told from its name and description. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from sandbox import claude_lexicon as lexicon
from sandbox.claude_lexicon import Reading

Reader = Callable[[str], Reading | None]

HOME = r"(?:house|home|condo|apartment|place|property|townhouse|townhome|duplex|casa|propiedad|departamento|piso)"
SELL = re.compile(
    rf"\b(?:sell(?:ing)?|sold|vend(?:er|o|iendo|emos)|valuation|cma|home value|buyer for (?:my|our)"
    rf"|list(?:ing)? (?:my|our) (?:\w+ )?{HOME}|put (?:my|our|the|it)[\w ]{{0,20}} on the market"
    rf"|what(?:['’]?s| is| are)? (?:my|our)[\w ]{{1,20}} worth|get rid of (?:my|our) {HOME}"
    rf"|(?:buy|offer (?:on|for)) (?:my|our) (?!first|next|dream|new|own|forever)(?:\w+ )?{HOME}|cu[aá]nto vale mi)\b",
    re.IGNORECASE,
)
BUY = re.compile(
    rf"\b(?:buy(?:ing)?|purchas(?:e|ing)|compr(?:ar|o|ando)|house[- ]?hunting|first[- ]time (?:home ?)?buyer"
    rf"|(?:looking|searching|shopping|hunting) (?:for|at)\b[\w\s,$./-]{{0,40}}?(?:{HOME}|homes|houses|bed(?:room)?s?|br)"
    rf"|busc(?:o|ando|amos)\b[\w ]{{0,20}}{HOME}"
    rf"|(?:find|need|want|get) (?:a|another|an|our first|my first|us a|me a)(?: \w+){{0,2}} {HOME})\b",
    re.IGNORECASE,
)
BUY_HINT = re.compile(
    r"\b(?:tour|showing|see (?:it|that one|this one)|still available|for sale|pre-?approv\w+|open house|moving to|relocating to"
    r"|(?:need|want|at least)[\w ,]{0,20}\d[ -]?(?:bed|br)\w*)\b",
    re.IGNORECASE,
)
OTHERS = re.compile(
    r"\b(?:they|owners?|sellers?|why (?:is|are) \w+|people|who is|dueñ[oa]s?)\s+(?:(?:are|is)\s+)?$", re.I
)


def _said(pattern: re.Pattern[str], text: str) -> str | None:
    """Give the last undenied match that speaks of the person, not of others."""
    words = None
    for found in pattern.finditer(text):
        if not lexicon.denied(text, found.start()) and not OTHERS.search(text[: found.start()]):
            words = _widened(text, found)
    return words


BEFORE = re.compile(
    r"(?:(?:\bI|\bwe)(?:['’]d| would)?\s+)?(?:\b(?:need|want|wanna|like|love|have|looking|trying|hoping|plan(?:ning)?|ready|quiero"
    r"|necesito|queremos)\s+)(?:to\s+)?$",
    re.IGNORECASE,
)
AFTER = re.compile(rf"\s+(?:(?:my|our|a|an|the|mi|nuestra|una?)\s+)(?:\w+\s+)?{HOME}\b", re.IGNORECASE)


def _widened(text: str, found: re.Match[str]) -> str:
    """Take the verb's neighbours in, so that the words can be read alone: "need to sell my house"."""
    before, after = BEFORE.search(text[: found.start()]), AFTER.match(text, found.end())
    return text[before.start() if before else found.start() : after.end() if after else found.end()]


def intents(text: str) -> dict[str, Reading]:
    """Find whether the person wants to buy, to sell, or both; a correction wins over what came before it.

    >>> sorted(intents("I need to sell my house")), sorted(intents("sorry, I meant I want to buy, not sell"))
    (['sell'], ['buy'])
    """
    corrected = lexicon.after_correction(text)
    if corrected and (found := intents(text[corrected:])):
        return found
    sure = 0.62 if lexicon.HEDGE.search(text) else 0.93
    found = {}
    sell, buy = _said(SELL, text), _said(BUY, text)
    if buy and sell and buy in sell:
        # "would you buy my house" is a seller's sentence.
        buy = None
    if sell:
        found["sell"] = Reading(value="sell", words=sell, sure=sure)
    if buy:
        found["buy"] = Reading(value="buy", words=buy, sure=sure)
    if not found and (hint := _said(BUY_HINT, text)):
        found["buy"] = Reading(value="buy", words=hint, sure=0.65)
    return found


# --- yes or no -----------------------------------------------------------------------------------------------------

YES_OR_NO: tuple[tuple[str, str], ...] = (
    (r"pre_?-?approv|preapproved|pre_?qualif|lender|mortgage|financ",
     r"pre-?\s?approv\w*|pre-?\s?qualif\w*|lender letter|preaprobad[oa]|financing (?:is )?(?:lined up|in place)"),
    (r"\bcash|all_cash", r"\b(?:all[- ])?cash\b|efectivo|al contado"),
    (r"home_to_sell|house_to_sell|property_to_sell|to_sell|sell first|also.{0,20}sell",
     SELL.pattern + r"|\bown (?:a|our|my) (?:house|home|condo)"),
    (r"\blisted|already_listed|on the market",
     r"\b(?:already )?listed\b|on the market|with (?:another|a) (?:listing )?(?:agent|broker)"),
    (r"agent|realtor|represent|broker",
     r"(?:have|with|using|got|signed with|working with|mi|tengo) (?:an? |our |my |another )?(?:buyer['’]?s )?(?:agent|realtor|broker|agente)"
     r"|(?:my|our) (?:agent|realtor|broker)\b"),
    (r"human|person|handoff_human|speak|call_?back|escalat",
     r"(?:talk|speak|chat) (?:to|with) (?:a |an |some)?(?:real |actual |live )?(?:human|person|agent|someone|one|somebody)"
     r"|(?:real|live|actual) (?:person|human)|call me|hablar con (?:una persona|alguien)|ll[aá]m[ea]me"),
    (r"opt_?out|stop|unsubscrib|do_not_contact|dnd",
     r"\bunsubscribe\b|stop (?:texting|messaging|contacting)|remove me|leave me alone|no me (?:escriba|contacte)|^\W*stop\W*$"),
    (r"tour|showing|visit|view|appointment|meet",
     r"\btour|\bshowing|see (?:it|the|that|this|some|a)|\bvisit|\bview(?:ing)?\b|appointment|meet\b|walk[- ]?through|cita|visitar"),
    (r"urgent|urgency|hurry|asap", r"\basap\b|urgent|as soon as possible|right away|immediately|need to move fast|lo antes posible|cuanto antes"),
    (r"first_time|first time", r"first[- ]time|first (?:home|house)|never (?:bought|owned)|primera casa"),
    (r"valuation|estimate|worth|cma", r"\bworth\b|valuation|estimate|\bcma\b|apprais|cu[aá]nto vale|home value"),
    (r"rent|lease|tenant", r"\brent(?:ing|al|er)?\b|\blease\b|alquil"),
    (r"pool", r"\bpool\b|piscina|alberca"),
    (r"garage|parking", r"\bgarage|\bparking|cochera"),
    (r"yard|garden", r"\byard|\bgarden|jard[ií]n|patio"),
    (r"repair|work|fix", r"\brepairs?\b|needs? (?:some |a lot of )?work|fixer|reparac"),
    (r"vacant|occup", r"\bvacant|\bempty\b|nobody lives|vac[ií]a"),
    (r"angry|upset|complain|frustrat", r"\bangry|frustrat|ridiculous|terrible|worst|unacceptable|scam|mad at|molest[oa]"),
    (r"question|asks", r"\?|^\W*(?:what|how|when|where|who|why|which|can|could|do|does|is|are|qu[eé]|cu[aá]nto|c[oó]mo)\b"),
    (r"greet", r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|hola|buen[oa]s)\b"),
    (r"thank", r"\bthank|\bthx|\bgracias"),
)  # fmt: skip


def said_by(wanted: str) -> str:
    """Give the pattern of what a person says when they speak of `wanted`."""
    return next(says for asks, says in YES_OR_NO if re.search(asks, wanted))


def yes_or_no(text: str, wanted: str) -> Reading | None:
    """Find whether the person affirms or denies what a property asks; None when they do not speak of it.

    Args:
        text: The person's words.
        wanted: The property's name and description.
    """
    for asks, says in YES_OR_NO:
        if not re.search(asks, wanted, re.IGNORECASE):
            continue
        found = list(re.finditer(says, text, re.IGNORECASE))
        if not found:
            continue
        last = found[-1]
        no = lexicon.denied(text, last.start())
        start = max(0, last.start() - 24) if no else last.start()
        words = text[start : last.end()].strip()
        return Reading(value=not no, words=words.split("\n")[-1].strip())
    return None


# --- which reading a property wants ------------------------------------------------------------------------------


def _money(part: str) -> Reader:
    def read(text: str) -> Reading | None:
        amounts = list(lexicon.money(text))
        for amount in reversed(amounts):
            value = {
                "low": amount.low or amount.plain or amount.high,
                "min": amount.low,
                "max": amount.high or amount.plain,
                "any": amount.plain or amount.high or amount.low,
            }[part]
            if value is not None:
                return Reading(value=value, words=amount.words)
        return None

    return read


def _time_words(text: str) -> Reading | None:
    found = lexicon.time_frame(text)
    return found[0] if found else None


def _time_in(unit_per_month: float) -> Reader:
    def read(text: str) -> Reading | None:
        found = lexicon.time_frame(text)
        return Reading(value=round(found[1] * unit_per_month), words=found[0].words) if found else None

    return read


def _count(noun: str) -> Reader:
    return lambda text: lexicon.count_of(text, noun)


def _beds_and_baths(part: int) -> Reader:
    noun = (
        r"bed(?:room)?s?\b|br\b|bd\b|bdrms?\b|habitaci(?:ón|ones)|rec[aá]maras?|dormitorios?",
        r"bath(?:room)?s?\b|ba\b|baños?",
    )[part]

    def read(text: str) -> Reading | None:
        if found := lexicon.count_of(text, noun):
            return found
        pair = re.search(r"\b([1-9])\s?/\s?([1-9](?:\.5)?)\b(?!/)", text)
        if not pair:
            return None
        number = float(pair[part + 1])
        return Reading(value=int(number) if number.is_integer() else number, words=pair.group(), sure=0.8)

    return read


def _intent(text: str) -> Reading | None:
    found = intents(text)
    if len(found) == 2:
        return Reading(value="both", words=found["sell"].words, sure=min(each.sure for each in found.values()))
    return next(iter(found.values()), None)


def _language(text: str) -> Reading | None:
    return Reading(value=lexicon.language(text), words="", sure=0.9) if text.strip() else None


SELL_CUE = re.compile(rf"{SELL.pattern}|\b(?:my|our|mi|nuestra) (?:\w+ )?{HOME}", re.IGNORECASE)


def place(text: str) -> Reading | None:
    """Give the first place that is spoken of."""
    return next((reading for _, reading in lexicon.places(text)), None)


def side_of(description: str) -> str:
    """Say whether a property is about the home to `buy` or the one to `sell`; empty when it does not say."""
    buys, sells = (re.search(rf"\b{verb}", description, re.IGNORECASE) for verb in ("buy", "sell"))
    return "buy" if buys and not sells else "sell" if sells and not buys else ""


def place_of(text: str, side: str, context: str, *, otherwise: str) -> Reading | None:
    """Give the place of the home to buy, or of the one to sell.

    A place belongs to the verb before it ("sell our condo in Tacoma and buy near Ballard"), else to the next one,
    else to what is known from before, else to the side `otherwise`.
    """
    cues = sorted(
        [(cue.start(), "sell") for cue in SELL_CUE.finditer(text)]
        + [(cue.start(), "buy") for cue in BUY.finditer(text)]
    )
    known = intents(context)
    for start, reading in lexicon.places(text):
        before = [kind for at, kind in cues if at <= start]
        after = [kind for at, kind in cues if at > start]
        belongs = before[-1] if before else after[0] if after else next(iter(known)) if len(known) == 1 else otherwise
        if belongs == side:
            return reading
    return None


MIN = r"min(?:imum)?(?:_|\b)|(?:_|\b)min|lowest|least|(?:_|\b)low(?:_|\b)|lower|floor"
MAX = r"max(?:imum)?(?:_|\b)|(?:_|\b)max|highest|most(?:_|\b)|(?:_|\b)high(?:_|\b)|upper|ceiling|up to"
PRICE = r"price|spend|budget|cost|amount|usd|dollar|offer|payment|income|money|worth|presupuesto|precio"
# Narrow first: "price_min_usd" must not be read as any amount, and "bathrooms" not as rooms.
TOPICS: tuple[tuple[str, str, Reader], ...] = (
    ("intent", r"intent|wants_to|buy_or_sell|goal|purpose", _intent),
    ("price_min", rf"(?:{PRICE}).*(?:{MIN})|(?:{MIN}).*(?:{PRICE})", _money("min")),
    ("price_max", rf"(?:{PRICE}).*(?:{MAX})|(?:{MAX}).*(?:{PRICE})|budget", _money("max")),
    ("bathrooms", r"bath|baño", _beds_and_baths(1)),
    ("bedrooms", r"bed|rooms|habitacion|recamara", _beds_and_baths(0)),
    ("square_feet", r"sq_?ft|square|living_area|area_sqft|\bsize", lexicon.square_feet),
    ("price", rf"(?:{PRICE}).*lower end|(?:expect|hope|asking).*(?:{PRICE})|(?:{PRICE})_expect", _money("low")),
    ("price", PRICE, _money("any")),
    ("area", r"_(?:area|city|town|neighbou?rhood|location)$", place),
    ("area", r"neighbou?rhood|\bcity\b", place),
    ("zip", r"(?:^|_|\b)zip|postal", lexicon.zip_code),
    ("email", r"e_?-?mail", lexicon.email),
    ("phone", r"phone|mobile|telephone", lexicon.phone),
    ("address", r"address|street", lexicon.address),
    ("months", r"(?:time|move|horizon|when|within|close).*months?|months?(?:_|$)", _time_in(1.0)),
    ("weeks", r"weeks?(?:_|$)", _time_in(4.0)),
    ("days", r"days?(?:_|$)", _time_in(30.0)),
    ("timeline", r"timeline|time_?frame|timing|when|horizon|move_?in|move_by|how soon|deadline|urgency", _time_words),
    ("area", r"area|location|place|neighbou?rhood|city|town|where|region|suburb|zona|barrio", place),
    ("year_built", r"year_built|built", lexicon.pattern_reader(r"\b(?:built in|from) ((?:18|19|20)\d\d)\b", group=1)),
    ("stories", r"stor(?:y|ies)|floors", _count(r"stor(?:y|ies)|floors?\b")),
    ("name", r"(?:^|_|\b)(?:first_|full_|last_|person_)?name$|their name|person's name", lexicon.person_name),
    ("reason", r"motivat|reason|why|because|what makes you|think of selling", lexicon.reason),
    ("language", r"language|locale|idioma", _language),
    ("financing", r"financ|mortgage|lender|pre.?approv|would you pay", lexicon.pattern_reader(
        r"(?:all[- ])?cash\b|pre-?\s?approv\w*|pre-?\s?qualif\w*|\b(?:FHA|VA|USDA) loan|conventional loan|efectivo|preaprobad[oa]")),
    ("property_type", r"property_type|home_type|type_of_(?:home|property)|kind of (?:home|property)", lexicon.pattern_reader(
        r"\b(?:single[- ]family(?: home)?|condo|town ?(?:house|home)|duplex|apartment|land|lot|ranch|house|casa|departamento)\b")),
    ("condition", r"condition|state of the home", lexicon.pattern_reader(
        r"(?:move[- ]in ready|(?:good|great|excellent|fair|poor|rough|bad|perfect|decent) (?:shape|condition)|needs? (?:some |a lot of |a little )?(?:work|repairs?|updates?|updating)"
        r"|fixer(?:[- ]upper)?|(?:newly |recently )?(?:remodel|renovat|updat)ed|buen estado)")),
)  # fmt: skip


def topic_of(name: str, description: str = "") -> tuple[str, Reader] | None:
    """Find what a property asks for: first by its name, then by the first sentence of its description."""
    plain = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    for wanted in (plain, description.split(". ", maxsplit=1)[0].lower()):
        for topic, pattern, reader in TOPICS:
            if wanted and re.search(pattern, wanted):
                return topic, reader
    return None


def asked_about(question: str) -> tuple[str, Reader] | None:
    """Find what the last question before the person's words was about."""
    return topic_of("", question) if question else None
