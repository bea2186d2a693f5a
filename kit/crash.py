"""Named points at which a process kills or stops itself, so that tests can hit the worst instants.

Nothing is armed unless the setting `crash_at` says so, and then a point costs a
look-up in an empty dict and one in an empty list.
"""

import os
import signal
from pathlib import Path
from typing import Final

_armed: Final[dict[str, int]] = {}
_traps: Final[list[Path]] = []
"""What the names of this process's traps begin with; one at most."""


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


def arm(spec: str, *, process: str = "") -> None:
    """Arm points for the life of this process; once, at its start. "" arms none.

    The path of a directory, which begins with "/", arms every point for which somebody
    sets a trap there later: the file `<process>@<point>`, which says SIGKILL or SIGSTOP.
    A trap is used up by whoever it catches.
    """
    _armed.clear()
    _traps.clear()
    if spec.startswith("/"):
        _traps.append(Path(spec) / process)
    else:
        _armed.update(parse(spec))


def crash_point(name: str) -> None:
    """Die or stop here, when this pass of the point is the armed one."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    for beginning in _traps:
        _spring(beginning.with_name(f"{beginning.name}@{name}"))


def _spring(trap: Path) -> None:
    try:
        number = signal.Signals[trap.read_text()]
        # Before the signal: whoever removes it is the one that is caught.
        trap.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), number)
