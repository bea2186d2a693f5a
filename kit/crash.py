"""Named points at which a process kills itself, so that tests can hit the worst instants.

Nothing is armed unless the setting `crash_at` says so, and then a point costs one
look-up in an empty dict.
"""

import os
import signal
from typing import Final

_armed: Final[dict[str, int]] = {}


def parse(spec: str) -> dict[str, int]:
    """Read `name` or `name:n`, comma separated; n is the pass at which the process dies, from 1.

    Raises:
        ValueError: A part is of no such form.

    >>> parse("gateway.after_claim, gateway.after_crm_post:3")
    {'gateway.after_claim': 1, 'gateway.after_crm_post': 3}
    """
    points = {}
    for part in filter(None, (part.strip() for part in spec.split(","))):
        name, _, passes = part.partition(":")
        if not name or (passes and not passes.isdecimal()) or passes == "0":
            raise ValueError(f"{part!r} is not of the form name or name:number")
        points[name] = int(passes or 1)
    return points


def arm(spec: str) -> None:
    """Arm points for the life of this process; once, at its start. "" arms none."""
    _armed.clear()
    _armed.update(parse(spec))


def crash_point(name: str) -> None:
    """Die here, as SIGKILL does it, when this pass of the point is the armed one."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
