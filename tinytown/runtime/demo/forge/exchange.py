"""One request to the forge, and its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from tinytown.times import timestamp

if TYPE_CHECKING:
    from tinytown.messages import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `login` is who asks, empty for nobody in particular; `base` is the forge's own address."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: JsonObject = field(default_factory=dict)
    login: str = "worker"
    base: str = ""

    @classmethod
    def of(cls, method: str, target: str, raw: bytes = b"", *, login: str = "worker", base: str = "") -> Asked:
        """The request for a target as it stands in the first line of HTTP; `ValueError` when the body is not JSON."""
        path, _, query = target.partition("?")
        body = json.loads(raw) if raw else {}
        return cls(method, path, dict(parse_qsl(query)), body if isinstance(body, dict) else {}, login, base)

    def page(self, number: int) -> str:
        """The address of another page of the same list."""
        return f"{self.base}{self.path}?{urlencode({**self.query, 'page': str(number)})}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `headers` has a `Link` where a list goes on."""

    status: int
    value: JsonValue = None
    headers: dict[str, str] = field(default_factory=dict)


def at(seconds: float) -> str:
    """A point in time as GitHub writes it: whole seconds, UTC."""
    return f"{timestamp(seconds)[:19]}Z"
