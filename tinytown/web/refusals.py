"""What only HTTP can be refused for. Their texts are for whoever asked, and hold nothing of the town."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tinytown.errors import TownError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Refusal(TownError):
    """The root: a request that is answered with a problem, whose text is shown at any status.

    `headers` go into the answer. `extra` are further members of the problem.
    """

    code: ClassVar[str] = "refused"
    http_status: ClassVar[int] = 400

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.headers = tuple(headers)
        self.extra: Mapping[str, object] = extra or {}


class BadRequest(Refusal):
    """What arrived is no request that can be read."""

    code = "bad_request"


class Unauthenticated(Refusal):
    """Nobody known asks."""

    code = "unauthenticated"
    http_status = 401
    default_hint = "Send a key: Authorization: Bearer <key>. 'tt auth gen-key' makes one."

    def __init__(self, message: str, *, challenge: str = "Bearer", hint: str | None = None) -> None:
        super().__init__(message, hint=hint, headers=(("www-authenticate", challenge),))


class Forbidden(Refusal):
    """The door is shut, whoever asks."""

    code = "forbidden"
    http_status = 403


class UnknownRoute(Refusal):
    """Nothing is served here."""

    code = "unknown_route"
    http_status = 404
    default_hint = "What is served: /openapi.json"


class MethodNotAllowed(Refusal):
    """Something is served here, and not in this way. `allow` are the methods."""

    code = "method_not_allowed"
    http_status = 405

    def __init__(self, message: str, *, allow: Sequence[str]) -> None:
        super().__init__(message, headers=(("allow", ", ".join(allow)),))


class SlowRequest(Refusal):
    """The request did not arrive as a whole in time."""

    code = "slow_request"
    http_status = 408


class UnsupportedMedia(Refusal):
    """A body that is not JSON."""

    code = "unsupported_media_type"
    http_status = 415
    default_hint = "Send JSON, with the header Content-Type: application/json"


class Unprocessable(Refusal):
    """A body or a query that does not fit. `fields` are pairs of a path and what is wrong there."""

    code = "unprocessable"
    http_status = 422

    def __init__(self, message: str, *, fields: Sequence[tuple[str, str]] = (), hint: str | None = None) -> None:
        listed = [{"path": path, "message": text} for path, text in fields]
        super().__init__(message, hint=hint, extra={"errors": listed})


class TooManyRequests(Refusal):
    """The rate limit is used up. `retry_after`: seconds, whole."""

    code = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, *, retry_after: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, headers=(("retry-after", str(retry_after)),))


class TooManyHeaders(Refusal):
    """More headers than any program of good will sends."""

    code = "too_many_headers"
    http_status = 431


class Unready(Refusal):
    """What would have to do it is not there now."""

    code = "unready"
    http_status = 503


class Overdue(Refusal):
    """The answer did not begin in time. What was asked may or may not have been done."""

    code = "overdue"
    http_status = 504
    default_hint = "Look what became of it before you ask again."
