"""Which ZIP codes a neighborhood has. Pure."""

import re
from typing import Final

# Neighborhood names are the city's, ZIP codes the post office's: a ZIP that is
# mostly in the neighborhood counts as its own.
_ZIPS: Final = {
    "ballard": ("98107", "98117"),
    "bellevue": ("98004", "98005", "98006", "98007", "98008"),
    "capitol hill": ("98102", "98112", "98122"),
    "fremont": ("98103",),
    "queen anne": ("98109", "98119"),
}
_ZIP: Final = re.compile(r"\d{5}")


def is_zip(name: str) -> bool:
    """Say whether a name is a five-digit ZIP code."""
    return _ZIP.fullmatch(name) is not None


def zips_of(name: str) -> tuple[str, ...]:
    """Return the ZIP codes of a neighborhood, a city or a ZIP code; empty when the place is unknown.

    >>> zips_of("Ballard"), zips_of("98107"), zips_of("Atlantis")
    (('98107', '98117'), ('98107',), ())
    """
    plain = name.strip().lower()
    return (plain,) if is_zip(plain) else _ZIPS.get(plain, ())
