"""Make, read and recognise the secrets by which callers are known.

A process holds its own token in a file and only the SHA-256 digests of everybody
else's: whoever reads `callers.json` can call nobody.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

import orjson


def new_token() -> str:
    """Return a fresh secret of 256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """Return what a callers file holds for a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_token(path: Path | None) -> str:
    """Read a process's own token or another secret; "" when it has none: every server refuses an empty token."""
    return "" if path is None else path.read_text(encoding="utf-8").strip()


def read_callers(path: Path | None) -> dict[str, str]:
    """Read who may call: name -> digest. Without a file nobody may.

    Raises:
        ValueError: The file is no JSON object of names and digests.
    """
    if path is None:
        return {}
    callers = orjson.loads(path.read_bytes())
    if not isinstance(callers, dict) or not all(isinstance(v, str) and len(v) == 64 for v in callers.values()):
        raise ValueError(f"{path} is no JSON object of names and SHA-256 digests")
    return callers


def write_callers(path: Path, callers: Mapping[str, str]) -> None:
    """Write a callers file for its owner's eyes only."""
    path.touch(mode=0o600)
    path.write_bytes(orjson.dumps(dict(callers), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def recognise(token: str, callers: Mapping[str, str]) -> str | None:
    """Return the name of whoever holds `token`, or None.

    Compares with every caller, each in constant time, so that the time taken says
    neither whose token was nearly right nor how nearly.
    """
    presented = digest(token)
    found = None
    for name, known in callers.items():
        if hmac.compare_digest(presented, known):
            found = name
    return found
