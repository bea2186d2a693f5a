"""Turns the HTML of an e-mail into what the person wrote. Pure, and linear in the length of what it is given."""

import html
import re
from typing import Final

# Stops at the next "<", so that a thousand of them cost no more than one.
_TAG: Final = re.compile(r"(<[^<>]*>)")
_NAME: Final = re.compile(r"</?\s*([a-zA-Z0-9]+)")
_BLOCKS: Final = frozenset(["br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol"])
# A quoted message is not what the person wrote now.
_SILENT: Final = frozenset(["script", "style", "head", "title", "blockquote"])
_QUOTED: Final = re.compile(r"^\s*(On .{1,200} wrote:|El .{1,200} escribi[oó]:|-{2,} ?Original Message ?-{2,})\s*$")


def html_to_text(source: str, *, longest: int) -> str:
    """Return the words of an HTML body, without what it quotes, at most `longest` characters.

    >>> html_to_text("<div>Stop</div><blockquote>Hi, this is Porchlight</blockquote>", longest=100)
    'Stop'
    """
    words: list[str] = []
    silent: list[str] = []
    for part in _TAG.split(source):
        if not part.startswith("<") or (name := _NAME.match(part)) is None:
            if not silent:
                words.append(part)
            continue
        tag = name.group(1).lower()
        if tag in _SILENT:
            if not part.startswith("</"):
                silent.append(tag)
            elif tag in silent:
                del silent[silent.index(tag) :]
        elif tag in _BLOCKS and not silent:
            words.append("\n")
    return unquoted(html.unescape("".join(words)))[:longest].rstrip()


def unquoted(text: str) -> str:
    """Return a mail's text up to the message it quotes, blank lines and outer spaces removed."""
    kept = []
    for line in text.replace("\xa0", " ").splitlines():
        if _QUOTED.match(line):
            break
        if line.strip() and not line.lstrip().startswith(">"):
            kept.append(" ".join(line.split()))
    return "\n".join(kept)
