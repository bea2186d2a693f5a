"""Read whether a person wants to buy or to sell a home, and how they put it. Pure."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from kit.text import REACH, fold, negated, sentence

Side = Literal["buy", "sell"]

_HOME: Final = r"(?:hous(?:es?)?|homes?|condos?|apartments?|places?|propert(?:y|ies)|townhouses?|townhomes?|duplex(?:es)?|bungalows?|casas?)"
_SELL: Final = re.compile(
    rf"\bsell(?:ing)?\b(?! (?:you|me|us)\b)|\bput(?:ting)? (?:my|our|the|it)[\w ]{{0,24}}on the market"
    rf"|\blist(?:ing)? (?:(?:my|our) (?:\w+ ){{0,2}}|(?:the|a) ){_HOME}\b|\blist it\b|\bget rid of (?:my|our) (?:\w+ )?{_HOME}"
    r"|\b(?:down|up)siz(?:e|ing) (?:from|out of) (?:my|our|this|the)\b"
    rf"|\bhow much (?:is|are|would|could|can)[\w ]{{0,20}}\b(?:my|our) (?:\w+ )?{_HOME}"
    rf"|\b(?:look at|come see|appraise|evaluate|price) (?:my|our) (?:\w+ )?{_HOME}|\bcu[aá]nto (?:vale|valdr[ií]a|cuesta) (?:mi|nuestra) (?:casa|propiedad|condo)"
    rf"|\bwhat(?:'s| is| are)? (?:my|our) (?:\w+ )?{_HOME}(?: is| are)? worth"
    rf"|\b(?:buy|buying|purchase|offer (?:on|for)) (?:my|our) (?!first|next|dream|new|own|forever)(?:\w+ )?{_HOME}"
    r"|\bvend(?:er|o|emos|iendo)\b|\bponer (?:en|a la) venta (?:mi|nuestra|la|el)\b"
)
_BUY: Final = re.compile(
    rf"\bbuy(?:ing)?\b|\bpurchas(?:e|ing)\b|\bhouse[- ]?hunting\b|\bfirst[- ]time (?:home ?)?buyer"
    rf"|\b(?:wanna|want to|need to|looking to|gotta) by an? (?:\w+ )?{_HOME}\b|\bto something (?:bigger|smaller|larger)\b"
    r"|\b(?:find|finding|looking for|searching for) (?:something|a place|a spot)\b"
    rf"|\b(?:look|search|shop|hunt)(?:ing?|in)? (?:for|at|4) (?:(?!(?:my|our|buyers?|agents?|realtors?|someone|rent)\b)[\w$,+/.-]+ ){{0,6}}(?:{_HOME}|fixers?(?:[- ]?uppers?)?|\d[ -]?(?:bed(?:room)?s?|br))\b"
    rf"|\b(?:find|want|need|get|see) (?:me |us )?(?:an?|another|some|our first|my first|our next|my next) (?:(?!rent)[\w-]+ ){{0,3}}(?:houses?|homes?|condos?|propert(?:y|ies)|townhouses?|townhomes?|duplex(?:es)?)\b"
    rf"|\bcompr(?:ar|o|amos|ando)\b|\bbusc(?:o|amos|ando) (?:\w+ ){{0,2}}{_HOME}"
)
# "sell my car" and "a place to rent" are no business of a home's seller or buyer.
_NO_HOME: Final = re.compile(
    r"\s+(?:(?:my|our|a|an|the|some|his|her|this|old) ){0,2}(?:\w+ )?"
    r"(?:cars?|trucks?|boats?|furniture|couch|phone|business|company|stocks?|shares|tickets?|insurance|groceries|lunch|dinner|coffee|gifts?|clothes|time)\b"
)
_TO_RENT: Final = re.compile(r"\s*(?:\w+ ){0,3}(?:to|for) rent\b|\s*rental")
_OTHERS: Final = re.compile(
    r"(?:\b(?:you|they|he|she|people|others|neighbou?rs?|owners?|sellers?|buyers?|who|parents|friends?|agents?)\b"
    r"(?: (?:guys|all|also|even|actually|just|want|wants|need|needs|to|do|does|did|are|is|would|can|could|will)){0,3}\s*)$"
)
_MINE_AFTER: Final = re.compile(r"\s+(?:it|(?:my|our)\b)")

_CLEAR: Final = re.compile(
    r"\b(?:want(?:ed|ing)?(?: to)?|need(?:ing)?(?: to)?|looking(?: to| into)?|ready to|going to|gonna|have to|must|trying to|plan(?:ning)? (?:to|on)|would like to|'d like to"
    r"|would love to|'d love to|hoping to|decided to|interested in|meant|mean|help (?:me|us)(?: to)?|quiero|queremos|necesito)\W+(?:\w+\W+){0,4}$"
)
_PLEASE: Final = re.compile(
    r"\b(?:i'?m|i am|we'?re|we are|can i|can we|how do i|how do we|i'?ll be|we'?ll be)\W+(?:\w+\W+){0,2}$"
)
_SOFT: Final = re.compile(r"\bthinking (?:about|of)\b|\bconsidering\b|\bcurious\b|\bexploring\b|\bpensando\b")
_HEDGED: Final = re.compile(
    r"\bmaybe\b|\bmight\b|\bperhaps\b|\bpossibly\b|\bsome ?day\b|\bone day\b|\beventually\b|\bdown the road\b|\bnot sure\b|\bnot certain\b"
    r"|\b(?:don'?t|do not) (?:really )?know (?:if|whether)\b|\bwondering (?:if|whether)\b|\bif (?:i|we) (?:decide|ever)\b|\bnot decided\b|\bhaven'?t decided\b|\bquizas?\b|\btal vez\b"
)
_URGENT: Final = re.compile(
    r"\ba\.?s\.?a\.?p\b|\bas soon as\b|\bright away\b|\burgent|\bimmediately\b|\bright now\b|\bquickly\b|\bfast\b|\bthis (?:week|month)\b"
)
_STRONG: Final = re.compile(
    r"\b(?:i|we) (?:actually |really )?(?:meant|mean)\b|\bmeant to (?:say|write|type)\b|\bcorrection\b|\bscratch that\b|\bchanged (?:my|our) minds?\b|\btypo\b|\bmistyped\b"
    r"|\bmisspoke\b|\bgot (?:me|it|that|this) wrong\b|\bmisunderstood\b|\bmisunderstanding\b|\binstead\b|\bby mistake\b|\bquise decir\b"
)
_WEAK: Final = re.compile(r"^\W*(?:(?:oh|oops|hey|hi|um|uh),?\W+)?(?:sorry|actually|no|nope|wait|wrong|oops)\b")
_ALSO: Final = re.compile(
    r"\balso\b|\btoo\b|\bas well\b|\bin addition\b|\bon top of\b|\bat the same time\b|\bboth\b|\bthen\b|\bafter(?:wards?|ward)?\b|\bonce\b|\beventually\b|\blater\b"
    r"|\b(?:bigger|larger|smaller|replacement)\b|\btambien\b"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """One mention of buying or selling a home."""

    side: Side
    start: int
    end: int
    denied: bool
    """"I do not want to sell"."""
    corrects: bool
    """"sorry, I meant buy": takes the place of what was wished before."""
    adds: bool
    """"and I also want to buy something bigger": stands beside it."""
    confidence: float
    """In [0.0, 1.0]; see `_confidence`."""


def wishes(text: str) -> tuple[Wish, ...]:
    """Return every mention of buying or selling a home, in order; of one side the clearest per sentence."""
    folded = fold(text)
    found: list[Wish] = []
    for side, pattern in (("sell", _SELL), ("buy", _BUY)):
        for match in pattern.finditer(folded):
            if not _is_meant(folded, match, side):
                continue
            start, end = sentence(folded, match.start())
            before, around = folded[start : match.start()], folded[start:end]
            strong = _STRONG.search(folded, max(0, start - REACH), max(end, match.end()))
            found.append(
                Wish(
                    side="sell" if side == "sell" else "buy",
                    start=match.start(),
                    end=match.end(),
                    denied=negated(folded, match.start()),
                    corrects=bool(strong or _WEAK.search(folded)),
                    adds=bool(_ALSO.search(around)),
                    confidence=_confidence(before, around),
                )
            )
    return tuple(sorted(_without_shadows(found), key=lambda each: each.start))


def _is_meant(folded: str, match: re.Match[str], side: str) -> bool:
    after = folded[match.end() : match.end() + REACH]
    before = folded[max(0, match.start() - REACH) : match.start()]
    if _NO_HOME.match(after) or (side == "buy" and (_TO_RENT.match(after) or match.group().endswith("rent"))):
        return False
    if before.endswith("="):
        # "intent=sell" is an order to a machine, not what a person wants.
        return False
    mine = bool(re.search(r"\b(?:my|our|it)\b", match.group()) or _MINE_AFTER.match(after))
    return (mine and side == "sell") or not _OTHERS.search(before)


def _without_shadows(found: list[Wish]) -> list[Wish]:
    """Drop "buy my house", which asks for a buyer, where it was also read as a wish to buy."""
    sells = [each for each in found if each.side == "sell"]
    return [
        each
        for each in found
        if each.side == "sell"
        or not any(sell.start <= each.start < sell.end or each.start <= sell.start < each.end for sell in sells)
    ]


def _confidence(before: str, around: str) -> float:
    """Say how sure a mention is, by points.

    A clear wish ("want to", "need to", "meant") is .92, a plain statement ("I am
    selling") .88, the bare words .82; urgency adds .03. "Thinking about" costs it
    down to .78, and maybe, might, someday or not sure to .69, below every bot's
    threshold but one: the person is asked first.
    """
    if _HEDGED.search(around):
        return 0.69
    if _SOFT.search(around):
        return 0.78
    base = 0.92 if _CLEAR.search(before) else 0.88 if _PLEASE.search(before) else 0.82
    return round(base + (0.03 if _URGENT.search(around) else 0.0), 2)
