"""What can go wrong with GitHub, and what an answer means. No I/O.

What must be true: a limit is never taken for a refusal, nor the other way round. No error says a token.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDARY_WAIT = 60.0
"""Seconds to wait at least after a secondary limit that does not say how long ("Best practices" of the REST API)."""


class GitHubFailed(TownError):
    """GitHub did not answer, or not as it should. It may do so later."""

    code = "github_failed"
    http_status = 502
    default_hint = "Try again in a while; a mission that has begun does so by itself."


class GitHubLimited(GitHubFailed):
    """A rate limit holds until `until` (seconds since 1970). That is a wait and no failure."""

    code = "github_limited"
    http_status = 503

    def __init__(self, message: str, *, until: float) -> None:
        super().__init__(message, hint="It goes on by itself when the limit is over.")
        self.until = until


class GitHubRefused(TownError):
    """GitHub answered that it will not. `status` is that of HTTP."""

    code = "github_refused"
    http_status = 502

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class GitHubDenied(GitHubRefused):
    """There is no token, or it may not do this."""

    code = "github_denied"
    default_hint = "Check the token: set GH_TOKEN, or log in with: gh auth login"


class GitHubMissing(GitHubRefused):
    """It is not there, or the token may not know that it is. Whoever named it named it wrongly."""

    code = "github_missing"
    http_status = 404
    default_hint = "Check the number and the repository, and that the token may read it."


class GitHubUnsupported(GitHubRefused):
    """The host does not serve this over GraphQL, or not to this token; REST may."""

    code = "github_unsupported"


class Meaning(Enum):
    """What an answer means."""

    FINE = "fine"
    SAME = "same"
    """It is what was read before (304)."""
    LIMITED = "limited"
    BROKEN = "broken"
    """GitHub is ill; the same request may work later."""
    DENIED = "denied"
    MISSING = "missing"
    REFUSED = "refused"


_ILL = frozenset({500, 502, 503, 504})


def meaning(status: int, headers: Mapping[str, str], body: str) -> Meaning:
    """What an answer means. `headers` are in lower case."""
    if status == 304:
        return Meaning.SAME
    if status < 400:
        return Meaning.FINE
    if status in (403, 429):
        limited = (
            "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0" or "rate limit" in body.lower()
        )
        return Meaning.LIMITED if limited or status == 429 else Meaning.DENIED
    if status in _ILL:
        return Meaning.BROKEN
    if status == 401:
        return Meaning.DENIED
    return Meaning.MISSING if status in (404, 410) else Meaning.REFUSED


def absent(error: GitHubRefused) -> bool:
    """Whether a refusal is of the thing that was asked for, and not of the token that asked."""
    return isinstance(error, GitHubMissing) or (isinstance(error, GitHubDenied) and error.status != 401)


def wait_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a limited answer asks to wait; None when it does not say. `now` is in seconds since 1970."""
    after = headers.get("retry-after", "")
    if after.isascii() and after.isdigit():
        return float(after)
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset) - now) + 1
    return None
