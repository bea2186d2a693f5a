"""Which ZIP codes a place name of King County, Washington, stands for. Pure.

Written from general knowledge; no official border or postal file was consulted. ZIP codes
of cities that the Postal Service delivers to by name were compared with simplisticated/
zip-monster (washington.ts), most of Seattle's neighborhoods with one public seed list of
such pairs. A test holds 15 of the names to a distance from where their ZIP codes' sales
lie; the others are not checked. Neighborhoods have no fixed borders: ask for the ZIP code
where it matters.
"""

import re
from difflib import get_close_matches
from typing import Final

_CITIES: Final = """
auburn 98001 98002 98092
beaux arts 98004
bellevue 98004 98005 98006 98007 98008
black diamond 98010
bothell 98011
burien 98146 98148 98166 98168
carnation 98014
clyde hill 98004
covington 98042
des moines 98198
duvall 98019
enumclaw 98022
fall city 98024
federal way 98003 98023
hunts point 98004
issaquah 98027 98029
kenmore 98028
kent 98030 98031 98032 98042
kirkland 98033 98034
lake forest park 98155
maple valley 98038
medina 98039
mercer island 98040
newcastle 98056 98059
normandy park 98166 98148
north bend 98045
redmond 98052 98053
renton 98055 98056 98058 98059
sammamish 98074 98075
seatac 98148 98168 98188 98198
shoreline 98133 98155 98177
snoqualmie 98065
tukwila 98168 98178 98188
vashon 98070
vashon island 98070
white center 98106 98146
woodinville 98072 98077
yarrow point 98004
"""

_NEIGHBORHOODS: Final = """
admiral 98116
alki 98116
arbor heights 98146 98136
ballard 98107 98117
beacon hill 98144 98108
bitter lake 98133
blue ridge 98117
broadview 98177
bryant 98115 98105
capitol hill 98102 98112 98122
cedar park 98125
central district 98122
columbia city 98118
crown hill 98117
delridge 98106 98126
denny blaine 98112
eastlake 98102
fauntleroy 98136
fremont 98103 98107
georgetown 98108
green lake 98103 98115
greenwood 98103 98117 98133
haller lake 98133
hawthorne hills 98105 98115
high point 98126
highland park 98106
interbay 98119
lake city 98125
laurelhurst 98105
leschi 98122 98144
lower queen anne 98109 98119
loyal heights 98117
madison park 98112
madison valley 98112
madrona 98122
magnolia 98199
maple leaf 98115
matthews beach 98125
montlake 98112
mount baker 98144
north beach 98117
northgate 98125 98133
phinney ridge 98103
queen anne 98109 98119
rainier beach 98118
rainier valley 98118 98144
ravenna 98105 98115
roosevelt 98115
sand point 98115
seward park 98118
south park 98108
sunset hill 98117
u district 98105
university district 98105
view ridge 98115
wallingford 98103
wedgwood 98115
west seattle 98106 98116 98126 98136
whittier heights 98117
windermere 98105
crossroads 98008
education hill 98052
finn hill 98034
juanita 98034
lake hills 98007 98008
newport hills 98006
somerset 98006
totem lake 98034
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    rows = (re.findall(r"\d{5}|\D+(?= )", line) for line in table.strip().splitlines())
    return {name.strip(): tuple(zips) for name, *zips in rows}


ZIPS_OF_PLACE: Final = _read(_CITIES) | _read(_NEIGHBORHOODS)
"""Place name in lower case to its ZIP codes, the most typical first. Seattle as a whole is missing on purpose:
its neighborhoods differ by a factor of three in price."""

_ABBREVIATED: Final = {"mt": "mount", "n": "north", "s": "south", "w": "west", "e": "east", "univ": "university"}
_SPELLED_FROM: Final = 5
_CLOSE: Final = 0.9
_ZIP: Final = re.compile(r"\d{5}(?:-\d{4})?")


def is_zip(text: str) -> bool:
    """Say whether a text is a ZIP code, with or without the four digits after it.

    >>> is_zip("98107"), is_zip("98107-1234"), is_zip("9810")
    (True, True, False)
    """
    return text.isascii() and _ZIP.fullmatch(text.strip()) is not None


def zips_of(name: str) -> tuple[str, ...]:
    """Return the ZIP codes of a place; itself for a ZIP code; none for a place that is not in the table.

    Case, dots, a leading "the", a trailing "Seattle, WA" and a slip of the finger do not matter.

    >>> zips_of("Ballard"), zips_of("98052-1111"), zips_of("mt. baker, Seattle"), zips_of("Atlantis")
    (('98107', '98117'), ('98052',), ('98144',), ())
    """
    if is_zip(name):
        return (name.strip()[:5],)
    words = re.sub(r"[^\w\s]", " ", name.casefold()).split()
    while (
        words
        and words[-1] in ("wa", "washington", "seattle", "area", "neighborhood")
        and _joined(words) not in ZIPS_OF_PLACE
    ):
        words.pop()
    if words[:1] == ["the"]:
        words = words[1:]
    name = _joined(words)
    return ZIPS_OF_PLACE.get(name) or ZIPS_OF_PLACE.get(_meant(name), ())


def _meant(name: str) -> str:
    """Return the one place of the table that a misspelled name stands for: "capital hill"; "" for none.

    Close means one letter or so of seven, and the same first letter: Apple Valley is not Maple Valley.
    """
    same = [each for each in ZIPS_OF_PLACE if each[:1] == name[:1]] if len(name) >= _SPELLED_FROM else []
    return next(iter(get_close_matches(name, same, n=1, cutoff=_CLOSE)), "")


def _joined(words: list[str]) -> str:
    return " ".join(_ABBREVIATED.get(word, word) for word in words)
