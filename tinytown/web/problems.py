"""Errors as they go out: problem details (RFC 9457), one mapping for all that can go wrong.

What must be true: a text that leaves here was written for whoever asked. Errors of the town below 500 are; above,
they name paths and addresses of this host, so only the id of the request goes out, by which the log has the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from tinytown.errors import Timeout, TownError
from tinytown.text import term_safe
from tinytown.web.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.web.asgi import Headers, Send

TYPES = "https://tinytown.dev/errors/"
MEDIA_TYPE = "application/problem+json"

_GENERAL: Mapping[int, str] = {
    500: "Something went wrong in townhall. Its log says what, under the id of this request.",
    503: "The store of the town does not serve now. The log of townhall says why, under the id of this request.",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `more_headers` go into the answer; `extra` are further members of the body."""

    status: int
    detail: str
    code: str
    instance: str
    hint: str = ""
    more_headers: tuple[tuple[str, str], ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The kind of the problem, as a URL."""
        return f"{TYPES}{self.status}"

    @property
    def title(self) -> str:
        """The kind of the problem, in words."""
        return title(self.status)

    def body(self) -> bytes:
        """The JSON of it."""
        members: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "code": self.code,
        }
        if self.hint:
            members["hint"] = self.hint
        return json.dumps({**members, **self.extra}, ensure_ascii=False, separators=(",", ":")).encode()

    def headers(self) -> Headers:
        """The headers of an answer that is this problem."""
        more = [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.more_headers]
        return [(b"content-type", MEDIA_TYPE.encode()), *more]


def title(status: int) -> str:
    """What a status is called in the standard; its number when it has no name."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def instance_of(request_id: str) -> str:
    """The URI of one request, by which the log finds it."""
    return f"urn:tinytown:request:{request_id}"


def problem_of(error: BaseException, *, request_id: str) -> Problem:
    """What goes out for an error. Whoever calls this logs the error itself when the status is 500 or more."""
    instance = instance_of(request_id)
    if isinstance(error, Refusal):
        return Problem(
            error.http_status,
            term_safe(error.message),
            error.code,
            instance,
            term_safe(error.hint),
            error.headers,
            error.extra,
        )
    if isinstance(error, TownError):
        status = error.http_status
        if status < 500 or isinstance(error, Timeout):
            return Problem(status, term_safe(error.message), error.code, instance, term_safe(error.hint))
        return Problem(status, _GENERAL.get(status, _GENERAL[500]), error.code, instance)
    return Problem(500, _GENERAL[500], "internal", instance)


async def respond(send: Send, problem: Problem) -> None:
    """Send a problem as a whole answer."""
    body = problem.body()
    headers = [*problem.headers(), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
