"""Read places, and what a person asks of the bot itself. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from kit.bot import fairness
from kit.places import zips_of
from kit.text import fold, negated

# --- places

_ZIP: Final = re.compile(r"(?<![\d$#,.-])(?<!\d )\b\d{5}(?:-\d{4})?\b(?![,.]?\d|\s?(?:k\b|sq|dollars|usd|miles))")
_LEAD: Final = r"(?:in|near|around|to|at|by|outside(?: of)?|close to|next to|towards?)"
_NAME: Final = r"(?!(?:I|We|My|Our|It|It's|The|By|For|And|But|So|With|Is|If|To|ASAP|NOW)(?:'\w+)?\b)[A-Z][\w'.-]*[\w]"
_NAMED: Final = re.compile(
    rf"\b(?:[Ii]n|[Nn]ear|[Aa]round|[Oo]utside(?: of)?|[Cc]lose to|[Nn]ext to|[Mm]ov(?:e|ing) to|[Rr]elocating to|[Aa]rea is|[Aa]rea:|[Ee]n)\s+"
    rf"(?:the\s+|downtown\s+)?(?P<place>{_NAME}(?:\s+(?:(?:of|on|de|del|la|the)\s+)?{_NAME}){{0,3}})"
)
_LOWER: Final = re.compile(
    r"(?:\b(?:buy(?:ing)?|sell(?:ing)?|hous(?:es?)?|homes?|condos?|apartments?|place|propert(?:y|ies)|townhouses?|townhomes?|bed(?:room)?s?|br|look(?:ing)?|search(?:ing)?|live|living|located|something|anything|it'?s|it is|is)"
    r"(?: (?:a|an|one|something|homes?|houses?|here|anywhere|up|down)){0,2} |^\W*)"
    r"(?:in|near|around|outside of|close to) (?:the )?"
    # "In excellent shape" is a state, whatever word says which.
    r"(?!(?:[a-z'-]+ ){1,2}(?:shape|condition|repair|order|state|mood|hurry|rush)\b)(?P<place>[a-z][a-z'-]+(?: [a-z][a-z'-]+){0,2})"
)
_STREET: Final = re.compile(
    r"\b\d{1,6} (?:[NSEWnsew]{1,2}\.? )?(?:\w+ ){1,4}?(?i:st|street|ave|avenue|rd|road|dr|drive|ln|lane|way|blvd|boulevard|ct|court|pl|place|ter|terrace|cir|circle)\b"
    rf"|(?<=\bat )\d{{1,6}} {_NAME}(?: {_NAME}){{0,3}}"
)
_NO_PLACE: Final = frozenset(
    """a about advance all an and any april area asap august autumn because bed best better between buying case cash charge condition
    december decent details entire fact fair fall february few fine full future general good great half hand her here his home house hurry i
    it january july june least less life like love march market may me mind minute monday month months morning my myself need next no nothing
    november october one open order our perfect person place point possible price private process progress question quick range reality
    ready rent rough sale saturday selling september shape sight so some someone something soon spring stages state summer sunday terms
    that the their there these this three thursday time today tomorrow total touch town trouble tuesday two under us weeks week
    wednesday weekend winter work working writing year years you your
    houses homes condo condos apartment apartments property properties townhouse listings
    debt mourning recovery rehab remission retirement therapy transition treatment""".split()
)
_ENDS: Final = frozenset(
    """with for under over around by on at and or but because so if when where my our we i is are that which asap please before
    after within next this preferably ideally need needs want wants looking between up to now soon not no it its it's was
    sometime someday max maybe budget from until til would could right area""".split()
)
# What stands around a place in a short answer: "I think maybe the Ballard area".
_FILLER: Final = re.compile(
    r"^\W*(?:(?:hi|hey|ok|okay|yes|yeah|yep|sure|well|um|uh|oh|so|thanks|probably|maybe|i think|i guess|i'?d say|it'?s|it is|its|that'?s|"
    r"anywhere|somewhere|mostly|ideally|preferably|likely|the|in|en|(?:la )?(?:zona|ciudad) de|near|around|by|at|(?:the )?(?:home|house|place|condo|property) is(?: located)?(?: in| at)?|i live in|we live in|(?:i'?m|i am|we'?re|we are) (?:in|near|looking (?:in|at|around)))\b[\s,:]*)*"
)
_NO_ANSWER: Final = re.compile(
    r"\?|^\W*$|^(?:no|none|nope|nothing|later|anything|wherever|whatever|flexible|ok|okay|yes|yeah|yep|sure|thanks|thank you|hi|hello|hey|stop|help|why|what|who|when|how|not|ugh|ooh|wow|meh|nah|haha|both)\b"
    r"|\b(?:don'?t|do not|not sure|idk|no idea|unsure|anywhere|you|your|buy|buying|sell|selling|want|need|looking|bot|human|person|agent|months?|weeks?|years?|know|think|lol|month|asap|price|budget|rent|thanks|just|why|whatever|later|because|call|sorry|actually|soon|up to|under|over|meant|correction|h+m+|huh|test|cheap|expensive|nice|big|bigger|small|safe|quiet|good|great|fine|bad|cool|cash|loan|approved|excellent|perfect|fair|really|very|beds?|bedrooms?|baths?|brs?|rec[aá]maras?|habitaciones|ba[ñn]os?|hasta|until|till|20\d\d|llc|ira|trust|escrow|hoa|mls)\b|\$|\d{3}[-.) ]+\d{4}|\d\s?[km]\b|^\d+\s?[x%+]|^\d+$"
)
# Beside a place that is on our map no "in" is needed: "what about Queen Anne instead", "buy ballard 3br".
_TURNED_TO: Final = re.compile(
    r"\b(?:what about|how about|back to|switch(?:ing)? to|change (?:it |that )?to|make (?:it|that)|prefer|try|rather|buy|buying|sell|selling) (?P<place>[a-z][a-z'.-]+(?: [a-z][a-z'.-]+){0,2})"
)
# Who somebody is, is nowhere: "we are Catholic", "my son is deaf", "born in Vietnam", "I believe in God".
_OF_THEMSELVES: Final = re.compile(r"(?:i|we|my|our|he|she|they)\b")
_NOT_SOUGHT: Final = re.compile(
    r"\b(?:born|raised|grew up|grown up|serv(?:e|es|ed|ing)|enlisted|stationed|deployed|believ(?:e|es|ing)|works?|worked|working|speaks?|fluent|baptized|educated) $"
)
# "Not Ballard, Fremont" answers where with Fremont.
_NOT_THERE: Final = re.compile(
    r"^\W*(?:no,? )?not (?!sure|certain|really|yet|too|so|very|quite)(?:in )?[\w' ]{2,30}?(?:\s*[,;.]\s*(?:but )?|\s+but )"
)
_ANSWER_WORDS: Final = 5
LONGEST_PLACE: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A neighborhood, a city or a ZIP code, as the person wrote it."""

    name: str
    start: int
    end: int


def places(text: str, *, asked: bool = False) -> tuple[Place, ...]:
    """Find the places that are spoken of, in order.

    Args:
        text: What the person wrote, not folded: capitals tell names.
        asked: A place was asked for, so a short answer is one.

    >>> [each.name for each in places("selling my condo in Green Lake to buy in 98107, in June")]
    ['Green Lake', '98107']
    """
    found = [Place(name=each.group(), start=each.start(), end=each.end()) for each in _ZIP.finditer(text)]
    folded = fold(text)
    for each in _NAMED.finditer(text):
        named = each["place"].split()[0].lower().rstrip(".") not in _NO_PLACE
        if named and not negated(folded, each.start()) and not _NOT_SOUGHT.search(folded[: each.start()]):
            found.append(_trimmed(text, *each.span("place")))
    for each in _STREET.finditer(text):
        if not _covered(found, each.start()):
            found.append(_trimmed(text, *each.span()))
    for each in _LOWER.finditer(folded):
        words = _until_end(each["place"])
        if words and not _covered(found, each.start("place")) and not negated(folded, each.start()):
            found.append(_trimmed(text, each.start("place"), each.start("place") + len(words)))
    for each in _TURNED_TO.finditer(folded):
        said = each["place"].split(" ")
        known = next((n for n in range(len(said), 0, -1) if zips_of(" ".join(said[:n]))), 0)
        if known and not _covered(found, each.start("place")) and not negated(folded, each.start()):
            found.append(_trimmed(text, each.start("place"), each.start("place") + len(" ".join(said[:known]))))
    if not found and asked and (answer := _answer(text, folded)):
        found.append(answer)
    return tuple(sorted((each for each in found if 0 < len(each.name) <= LONGEST_PLACE), key=lambda each: each.start))


def names_a_place(said: str) -> bool:
    """Say whether words can be the name of a place, and are not a sentence about something else.

    >>> names_a_place("Queen Anne"), names_a_place("98107"), names_a_place("sorry, I meant I want to buy")
    (True, True, False)
    """
    folded = fold(said).strip(" .!,")
    if _ZIP.fullmatch(folded):
        return True
    if set(folded.split()) <= _NO_PLACE or folded.split()[:1] == ["one"] or fairness.asks_of_people(said):
        return False
    return len(folded) <= LONGEST_PLACE and len(folded.split()) <= _ANSWER_WORDS + 1 and not _NO_ANSWER.search(folded)


def _until_end(words: str) -> str:
    kept: list[str] = []
    for each in words.split(" "):
        if each in _ENDS or each in _NO_PLACE:
            break
        kept.append(each)
    return " ".join(kept)


def _covered(found: list[Place], at: int) -> bool:
    return any(each.start <= at < each.end for each in found)


def _trimmed(text: str, start: int, end: int) -> Place:
    name = text[start:end].rstrip(" .,-'")
    return Place(name=name, start=start, end=start + len(name))


def _answer(text: str, folded: str) -> Place | None:
    denial = _NOT_THERE.match(folded)
    begin = denial.end() if denial else 0
    start = begin + _FILLER.match(folded[begin:]).end()  # type: ignore[union-attr]
    head = re.split(r"[,.;!\n](?!\d)", folded[start:])[0]
    head = re.sub(r"\s+(?:area|neighborhood|please|thanks|mostly|i think|i guess)$", "", head.rstrip())
    if "?" in folded:
        return None
    short = re.search(r"[a-z]{3}", head) and len(head.split()) <= _ANSWER_WORDS and head.split()[0] not in _NO_PLACE
    if not short or _NO_ANSWER.search(head) or _OF_THEMSELVES.match(head):
        return _known(text)
    return _trimmed(text, start, start + len(head))


def _known(text: str) -> Place | None:
    """Return the first part of a text that is a place on our map and nothing else."""
    for each in re.finditer(r"[^,.;!\n]+", text):
        if zips_of(each.group()):
            return _trimmed(text, each.end() - len(each.group().lstrip()), each.end())
    return None


# --- what is asked of the bot

_IF_BOT: Final = re.compile(
    r"\b(?:are|r|is) (?:you|u|this|that|it)(?: even| really| actually| just)? an? (?:real |actual |live |legit )?(?:person|human)\b|^\W*(?:you|u) (?:an? )?(?:human|real|bot|robot)\b"
    r"|\b(?:are|r|is) (?:you|u|ya|this|that|it)(?: guys)?(?: just| even| really| actually| like)?(?: an?| some(?: kind of)?| the)?(?: \w+)? ?(?:bots?|robots?|chat ?bots?|ai|a\.i\.?|machine|computer|human|automated|program|chatgpt)\b"
    r"|\b(?:are|r|is) (?:you|u|this|that)(?: even| really| actually)? (?:an? )?(?:real|actual|live)\b(?: person| human| agent| one)?"
    r"|\bam i (?:talking|speaking|chatting|texting|writing)(?: to| with)? (?:an? )?(?:\w+ )?(?:bot|robot|ai|machine|computer|human|person|someone real)\b"
    r"|\b(?:you'?re|u r|you are|this is|is this)(?: just)? (?:an? )?(?:\w+ )?(?:bot|robot|ai|machine|computer|automated)\b"
    r"|\b(?:bot|robot|human) or (?:a |an )?(?:human|real|person|bot|robot|machine)|^\W*(?:a )?(?:bot|robot|ai)\s*\?|\bes (?:usted|un) (?:un )?(?:robot|bot)"
)
_WHO_IS_THIS: Final = re.compile(
    r"\bwho(?:'?s| is| are| r) (?:this|dis|you|u|ya|these texts|texting|messaging)\b|\bwho (?:this|dis|you|u)\W*$|\bwho am i (?:talking|texting|speaking|chatting|writing)\b|\b(?:what|which) (?:company|brokerage|agency)(?: is (?:this|it))?\W*$"
    r"|\b(?:are|r|is) (?:you|u|this) (?:guys )?(?:an? |the |my |some )?(?:\w+ )?(?:real ?estate )?(?:agents?|realtors?|brokers?|salesperson)\b"
    r"|\bis (?:this|it) (?:even |really |just )?(?:an? )?(?:scam|spam|legit|phishing)\b|\bqui[eé]n (?:es|eres|habla|escribe)\b"
)
# "Is this a real listing?" asks about the listing.
_OF_A_THING: Final = re.compile(
    r" (?:\w+ )?(?:listings?|estate|offers?|deals?|homes?|houses?|prices?|company|number)\b"
)
_FOR_HUMAN: Final = re.compile(
    r"\b(?:talk|speak|chat|text|connect|transfer|pass|put|get|reach|deal)(?:ing)?(?: me)?(?: directly)?(?: in touch)?(?: on the phone)? (?:to|with|through to|through|over to) (?:an? |some |the |your )?(?:\w+ )?(?:humans?|persons?|people|agents?|someone|somebody|realtors?|brokers?|reps?|representatives?|manager|boss|supervisor)\b"
    r"|\b(?:want|need|prefer|like|get me) (?:to (?:talk|speak|chat) (?:to|with) )?an? (?:real |actual |live )?(?:human|person|representative)\b|\b(?:human|real person|live agent|representative) please\b"
    r"|\b(?:can|could|would|will) (?:someone|somebody|you|u|an agent|anyone) (?:please )?(?:call|phone|ring) me\b|\b(?:please )?(?:call|phone) me\b(?! at \d* ?(?:a|it))|\bhablar con (?:una persona|alguien|un agente)"
    r"|\b(?:have|get|ask|tell|want|need|like|prefer) (?:someone|somebody|anyone|an? (?:agent|person|human)|(?:your|the) (?:agents?|broker|manager|boss|team)) (?:please )?(?:to |that can |who can )?(?:please )?(?:call|phone|ring|contact|reach)\b"
    # Whoever complains is for people, too.
    r"|\b(?:never|nobody|no one|didn'?t|hasn'?t|haven'?t|not) (?:\w+ )?(?:called|call|got|gotten|get|written|responded|answered|replied)(?: \w+)? back\b|\b(?:file|make|have) a complaint\b|\breport (?:you|u|this number)\b|\bsue (?:you|u)\b|\b(?:you|u)(?: people| guys)? (?:are |r )?(?:all )?scammers?\b"
    r"|\b(?:can|could) (?:we|i) (?:please )?(?:talk|speak|chat)(?: (?:on|by|over) the phone| by phone| live)?\W*$"
)
_UNSURE: Final = re.compile(
    r"\b(?:i|we)? ?(?:really )?(?:don'?t|do not|dont) (?:really |quite )?know\b|\bnot (?:really |quite |too |so )?(?:sure|certain)\b|\bno (?:idea|clue)\b|\bidk\b|\bunsure\b|\bundecided\b|\bcan'?t say\b|\bhard to say\b"
    r"|\bhaven'?t (?:decided|thought)\b|\bno (?:rush|hurry)\b|\bjust (?:looking|browsing|curious)\b|\bflexible\b|\bwhenever\b|\bwherever\b|\banywhere\b|\bsome ?day\b|\brather not say\b|\bprefer not\b|\bnot (?:going to|gonna) (?:say|tell)\b|\bno (?:lo )?s[eé]\b|^\W*(?:(?:no|nope|nah|neither|none|i said|not? really)\W+)*(?:no|nope|nah|neither|none)(?:\W+(?:thanks?|thank you|thx|ty))?\W*$|\bnone of your business\b"
)
_NO_TEXTS: Final = re.compile(
    r"\b(?:stop|quit) (?:calling (?:and|or) )?(?:texting|messaging|contacting|bothering|writing|sending)\b(?! (?:your |the |out )?(?:offers?|rent|checks?|letters?))|\b(?:fuck|f+|piss|bugger) ?off\b|\bfuck (?:you|u)\b|^\W*(?:just |please |pls )?(?:go away|get lost)\b|\b(?:leave|let) me alone\b|\b(?:take|get) me off (?!the market|work)|\bremove (?:me|my number)\b|\b(?:don'?t|do not|never) (?:ever )?(?:call(?: me)? (?:and|or) )?(?:text|contact|message|write(?: to)?) me\b"
    r"|\blose (?:my|this) number\b|\bopt(?:ing)? ?-?out\b|\bunsubscribe me\b|\bno more (?:texts?|messages)\b|\bwrong (?:number|person)\b|\brevoke\b.{0,20}\bconsent\b|\bstop please\b|\bplease stop\b(?! (?:by|in|over|at|here)\b)|\bnot interested\W{0,3}(?:please )?(?:stop|bye|leave)\b|\bno me (?:escriba|contacte)|\bno mas mensajes"
    r"|\b(?:f[u*#@_-]+c?k?|fk) ?(?:off|you|u)\b"
    # Only where nothing else is said: "not interested in condos" is a wish.
    r"|^\W*(?:(?:hi|hey|no|nah|sorry|thanks?|thank you|thx|actually|ok(?:ay)?|well|i'?m|i am|we'?re|we are|just|really)\W+)*(?:not|no longer) (?:really |at all )?interested"
    r"(?:\W+(?:any ?more|at all|right now|now|in this|thanks?|thank you|thx|ty|sorry|bye|please|but))*\W*$|^\W*no (?:me interesa|estoy interesad[oa])(?:\W+gracias)?\W*$"
)
# Whoever wants no calls wants none of us, unless it is said when, or that a text will do.
_NO_CALLS: Final = re.compile(
    r"\b(?:(?:stop|quit) calling|(?:don'?t|do not|never) (?:ever )?(?:call|phone|ring) me)\b"
    r"(?! (?:before|after|until|till|at|on|during|while|tonight|today|tomorrow|now|yet|late|early|between)\b)"
)
_BUT_WRITE: Final = re.compile(r"\b(?:text|message|write|e-?mail)(?:s|ing)?\b")
_OF_DATA: Final = re.compile(
    r"\b(?:delete|erase|wipe|forget|get rid of|remove)\b(?: \w+){0,4}? (?:my|our) (?:\w+ )?(?:data|info(?:rmation)?|records?|details|messages|texts|conversations?|history)\b"
    r"|\b(?:what|which) (?:\w+ )?(?:data|info(?:rmation)?|records?)(?: \w+){0,5} (?:about|on|of) (?:me|us)\b|\bwhat do (?:you|u) (?:have|know|keep|store)(?: \w+)? (?:about|on|of) (?:me|us)\b"
    r"|\b(?:borr(?:e|ar|en)|elimin(?:e|ar|en)) (?:mis|los) datos\b"
)
_COURTESY: Final = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|k|kk|thanks?(?: (?:you|u))?(?: (?:so much|very much|a lot))?|thx|ty|great|cool|perfect|awesome|nice|good|got it|sounds? (?:good|great)|will do|alright|sure|yes|yep|yeah|no|nope|bye|goodbye|see you|talk soon|gracias|very much|for (?:your|the) help|appreciate it|have a (?:good|nice|great) (?:day|one|evening))(?!\w)\W*)*$"
)
_STARTS: Final = r"\W*(?:(?:ok(?:ay)?|k|and|so|but|also|hi|hey|hello|well|great|thanks?|thx|lol|wait|yes|yeah|yep|no|oh|h+m+|um+|uh+|just curious)\W+)*"
# Most people leave the sign out: "whats the address", "ok is it a safe area".
_QUESTION: Final = re.compile(
    r"\?|^\W*(?:what|how|when|where|who|why|which|does|did|is there|are there|do you|can you (?:send|show|tell|give)|could you (?:send|show|tell|give)|show me|send me|tell me)\b"
    rf"|(?:^|[.!\n]){_STARTS}(?:what|how|where|when|who|why)(?:'?s|'?re|'?d)?\b"
    rf"|(?:^|[.!,\n]){_STARTS}(?:(?:is|are|was|were|can|could|should|would|will|does|did|has|isn'?t|aren'?t|doesn'?t)"
    r" (?:i|we|u|you|ya|it|they|he|she|that|this|these|those|there|the|my|our|your|their|any|anyone|someone)|(?:do|am|have|may|don'?t|can'?t) (?:i|we|u|you|they|these|those)"
    # "Is ballard a safe area", "are homes in kent cheap".
    r"|(?:is|are) [\w'-]+(?: [\w'-]+){0,2} (?:an?|the|safe|good|nice|ok|okay|far|close|near|expensive|cheap|cheaper|still|really))\b"
)
_GREETING: Final = re.compile(
    r"(?:\bhow (?:are|r) (?:you|u|ya|things)(?: all| guys)?(?: doing| today)*\b|\bhow'?s it going\b|\bwhat'?s up\b|\bqu[eé] tal\b|\bc[oó]mo est[aá]\w*)\W*"
)
_OFFER_QUESTION: Final = re.compile(
    r"\b(?:can|could|would|will|do) (?:you|u|someone|anyone|y'all)(?: guys)? (?:please )?(?:help|assist|buy|sell|work|do)\b|\bhow do (?:i|we) (?:start|begin|get started|sell|buy)\b|\b(?:how|what) about (?:buying|selling)\b"
)


def asks_if_bot(text: str) -> bool:
    """Say whether the person asks what they are talking to.

    >>> asks_if_bot("wait, is this a real person?"), asks_if_bot("is this a real listing for a condo?")
    (True, False)
    """
    folded = fold(text)
    found = _IF_BOT.search(folded)
    return found is not None and _OF_A_THING.match(folded[found.end() :]) is None


def asks_of_data(text: str) -> bool:
    """Say whether the person asks what is kept of them, or wants it deleted.

    >>> asks_of_data("please delete my info"), asks_of_data("delete the second one")
    (True, False)
    """
    return _OF_DATA.search(fold(text)) is not None


def asks_who(text: str) -> bool:
    """Say whether the person asks who writes to them.

    >>> asks_who("who dis"), asks_who("are you a real estate agent?"), asks_who("who is selling it")
    (True, True, False)
    """
    return _WHO_IS_THIS.search(fold(text)) is not None


def asks_for_human(text: str) -> bool:
    """Say whether the person wants to talk to a person."""
    folded = fold(text)
    found = _FOR_HUMAN.search(folded)
    return found is not None and not negated(folded, found.start())


def is_unsure(text: str) -> bool:
    """Say whether the person says that they do not know, or will not say."""
    return _UNSURE.search(fold(text)) is not None


def wants_no_texts(text: str) -> bool:
    """Say whether the person asks in their own words to be left alone. Whole-message STOP is the gateway's.

    >>> wants_no_texts("stop texting me"), wants_no_texts("don't call me, text me instead")
    (True, False)
    """
    folded = fold(text)
    no_calls = _NO_CALLS.search(folded) is not None and _BUT_WRITE.search(folded) is None
    return no_calls or _NO_TEXTS.search(folded) is not None


def is_courtesy(text: str) -> bool:
    """Say whether a message holds nothing but ok, thanks, a thumb up."""
    return _COURTESY.match(fold(text)) is not None


def asks_something(text: str) -> bool:
    """Say whether the person asks something that a bot without listings or prices cannot answer."""
    folded = _GREETING.sub(" ", fold(text))
    if asks_if_bot(text) or asks_who(text) or asks_for_human(text):
        return False
    return _QUESTION.search(folded) is not None and not _OFFER_QUESTION.search(folded)
