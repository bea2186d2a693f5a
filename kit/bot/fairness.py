"""Hear what fair housing law keeps a bot from answering, and what is said instead; one answer for all. Pure."""

import re
from typing import Final

from kit.text import fold

OF_PEOPLE: Final = (
    "I go by the home, never by who lives around it, and do not rate areas, safety or schools. "
    "The police and the school district publish figures."
)
OF_BUYERS: Final = "A home is offered to everybody alike: fair housing law lets nobody choose buyers by who they are."

_WHO: Final = (
    r"(?:people|persons?|folks|neighbou?rs|famil(?:y|ies)|couples?|kids|children|teens|men|women|mothers|parents|singles|seniors|elderly|retirees|students|professionals|veterans"
    r"|immigrants|foreigners|refugees|renters|blacks|whites|asians|hispanics|latin[oax]s|indians|mexicans|jews|muslims|christians|catholics|hindus|buddhists|sikhs|mormons|gays|lesbians)"
)
_HERE: Final = r"(?:there|here|nearby|around|close by|next door|in the|in that|in this)\b"
# By how it is asked and not by who is meant: a list of groups would answer some of them otherwise than others.
_PEOPLE: Final = re.compile(
    r"\bsafe(?:ty|r|st)?\b|\bcrime\b|\bdangerous\b|\bschools?\b|\bdemographics?\b|\bwho lives\b|\b(?:diverse|diversity|ethnic|racial)\b|\b(?:be|feel) welcome\b|\bwelcoming\b"
    r"|\b(?:barrio|zona|vecindario|colonia|[aá]rea|es|muy) (?:muy )?segur[oa]\b|\bescuelas?\b|\bpeligros[oa]s?\b|\bdelincuencia\b|\bqu[eé] (?:tipo|clase) de gente\b"
    r"|\b(?:kind|type|sort)s? of (?:people|neighbou?rs|families|folks)\b|\bfamily[- ]friendly\b|\bfor famil(?:y|ies)\b|\bpeople like (?:me|us)\b"
    r"|\b(?:good|great|nice|right|best|ok|okay|bad|perfect|suitable) (?:areas?|neighbou?rhoods?|streets?|communit(?:y|ies)|parts? of town|blocks?) for\b"
    r"|\b(?:black|white|asian|african[- ]american|hispanic|latin[oax]|indian|chinese|mexican|jewish|christian|catholic|muslim|hindu|gay|lesbian|lgbtq?\+?|immigrant)s? (?:\w+ )?(?:areas?|neighbou?rhoods?|communit(?:y|ies)|neighbou?rs)\b"
    rf"|\b(?:good|great|nice|right|best|ok|okay|bad|perfect|suitable|safe) for (?:an? |the |my |our )?(?:[\w-]+ ){{0,2}}{_WHO}\b|\b(?:mostly|mainly|lots of|full of|majority) (?:[\w-]+ ){{0,2}}{_WHO}\b"
    rf"|\b{_WHO}(?: [\w-]+){{0,3}} {_HERE}|\b(?:no|without|adults only|away from) (?:[\w-]+ ){{0,3}}{_WHO} (?:[\w-]+ ){{0,3}}(?:live|living|{_HERE})|\b(?:many|mostly|no) (?:[\w-]+ ){{1,4}}live\b"
)
# Family may well be meant: "sell it to my kids".
_BUYERS: Final = re.compile(
    rf"\b(?:sell|show|rent|offer|market|advertise)(?:ing)? (?:it |this |them |(?:my|our|the) \w+ )?(?:only )?to (?:(?!my\b|our\b)[\w-]+ ){{0,3}}{_WHO}\b"
    rf"|\b(?:no|not|don'?t want) (?:any |to (?:any )?)?(?:\w+ )?{_WHO} (?:buyers?|buying|to buy)\b"
)


def asks_of_people(text: str) -> bool:
    """Say whether the person speaks of who lives somewhere, of safety or of schools."""
    return _PEOPLE.search(fold(text)) is not None


def chooses_buyers(text: str) -> bool:
    """Say whether the person wants a home sold or shown by who the buyers are.

    >>> chooses_buyers("can you only show it to christians"), chooses_buyers("I'd sell it to my kids")
    (True, False)
    """
    return _BUYERS.search(fold(text)) is not None
