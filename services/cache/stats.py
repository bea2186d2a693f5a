"""What a share that was seen says of the share there is. Pure."""

import math
from typing import Final

_Z: Final = 1.959964
"""Of the 95 % interval."""


def wilson(wrong: int, judged: int) -> tuple[float, float]:
    """Return the 95 % interval of a share.

    Wilson's, since the usual one says 0 to 0 when no wrong one was seen yet.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).

    >>> [round(end, 3) for end in wilson(0, 20)]
    [0.0, 0.161]
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if judged == 0:
        return 0.0, 1.0
    share, square = wrong / judged, _Z * _Z
    middle = share + square / (2 * judged)
    half = _Z * math.sqrt(share * (1 - share) / judged + square / (4 * judged * judged))
    whole = 1 + square / judged
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)
