"""How long to wait after failures. No clock and no dice of its own: the caller brings the random number."""

from __future__ import annotations


def pause(failures: int, *, base: float, cap: float, random: float) -> float:
    """Seconds to wait after `failures` in a row: full jitter under a bound that doubles from `base` up to `cap`.

    `random` is uniform in [0, 1). Full jitter keeps what failed together from coming back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    # The exponent is bounded so that no count of failures overflows a float.
    return random * min(cap, base * 2.0 ** min(failures - 1, 30))
