"""What a CLI says a round has used. No I/O.

What must be true: it is what was said and never a guess; of a CLI that says nothing nothing is known. What stands in a
CLI's own output may be there because it worked on such a text, so the figure is for people, and nothing depends on it.
"""

from __future__ import annotations

import re

MOST = 10**12
"""Tokens that one round is believed to have used."""

_SCALES = {"k": 1_000, "M": 1_000_000}


def tokens_in(pattern: str, text: str) -> int | None:
    """The numbers that the groups of a pattern find in a text, added up; None when there are none.

    A number may have commas, and `k` or `M` behind it: `12,345`, `2.3k`.
    """
    if not pattern:
        return None
    found = [group for match in re.finditer(pattern, text, re.MULTILINE) for group in match.groups() if group]
    numbers = [number for number in map(_number, found) if number is not None]
    return round(min(sum(numbers), MOST)) if numbers else None


def _number(text: str) -> float | None:
    scale = _SCALES.get(text[-1], 1)
    try:
        return float(text.rstrip("kM").replace(",", "")) * scale
    except ValueError:
        return None
