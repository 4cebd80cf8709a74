"""One request as the routes see it, and the answer they give."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tinytown.web.asgi import header
from tinytown.web.context import principal_of, request_id_of
from tinytown.web.refusals import BadRequest, Unprocessable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.messages import JsonValue
    from tinytown.runtime.town import Town
    from tinytown.web.asgi import AsgiScope, Headers, Send
    from tinytown.web.context import Principal
    from tinytown.web.hall import Hall

_MOST_PARAMETERS = 100
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    def all_headers(self) -> Headers:
        """All headers, the length too."""
        more = [(name.encode("ascii"), text.encode("latin-1")) for name, text in self.headers]
        length = [] if self.status == 204 else [(b"content-length", b"%d" % len(self.body))]
        kind = [(b"content-type", self.content_type.encode("latin-1"))] if self.body else []
        return [*kind, *length, *more]

    async def send(self, send: Send, *, with_body: bool = True) -> None:
        """Send it; the answer to HEAD is without the body."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.all_headers()})
        await send({"type": "http.response.body", "body": self.body if with_body else b""})


def misfit(name: str, text: str) -> Unprocessable:
    """The refusal of one parameter of a query."""
    return Unprocessable(f"The query does not fit: {name}: {text}", fields=[(name, text)])


def json_answer(value: JsonValue, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """The answer that is this JSON."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A path of a file may hold what is no text.
    return Answer(status, text.encode("utf-8", "replace"), headers=headers)


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` are the parts of the path that its template names."""

    hall: Hall
    scope: AsgiScope
    path: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def method(self) -> str:
        """The method; HEAD is asked as GET is."""
        method: str = self.scope["method"]
        return "GET" if method == "HEAD" else method

    @property
    def principal(self) -> Principal:
        """Who asks."""
        return principal_of(self.scope)

    @property
    def request_id(self) -> str:
        """The id that the answer, the log and the audit share."""
        return request_id_of(self.scope)

    @property
    def town(self) -> Town:
        """The town, as far as whoever asks may use it."""
        return self.hall.town_for(self.principal)

    def header(self, name: str) -> str | None:
        """The first header of this name in lower case."""
        found = header(self.scope, name.encode())
        return None if found is None else found.decode("latin-1")

    def parameters(self, *known: str) -> dict[str, str]:
        """The parameters of the query, each at most once. Raises `Unprocessable` for one that is not known."""
        found: dict[str, str] = {}
        for name, text in self.query():
            if name not in known or name in found:
                wrong = "named twice" if name in found else "there is no such parameter"
                raise misfit(name[:_LONGEST_NAME], wrong)
            found[name] = text
        return found

    def query(self) -> list[tuple[str, str]]:
        """The pairs of the query. Raises `BadRequest` for what is none."""
        raw: bytes = self.scope.get("query_string", b"")
        try:
            return parse_qsl(
                raw.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(raw),
                errors="strict",
                max_num_fields=_MOST_PARAMETERS,
            )
        except ValueError:
            raise BadRequest("The query cannot be read: it has to be name=value pairs in UTF-8") from None
