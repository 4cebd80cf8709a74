"""The one application that is served: the doors, and behind them the router.

    request → names → credentials → scope → rate → head → body → router
                 └──────────┴─────────┴──────┴──────┴──────┴── a problem instead, if one is shut

What must be true: no handler runs, and no byte of a body is read, for a request that a door refuses; every answer
carries the id of its request; and every call that changes something, or was refused, has one record in the audit.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

import trio

from tinytown.web.audit import REFUSED
from tinytown.web.context import Asked, begin
from tinytown.web.doors.body import WRITES, Gone, announces_body, check_head, read_body, whole
from tinytown.web.doors.names import Names, cors_headers, is_preflight
from tinytown.web.doors.rates import Rate
from tinytown.web.mcp.mount import McpRouter, challenged
from tinytown.web.problems import problem_of
from tinytown.web.refusals import Forbidden, Overdue, TooManyHeaders, TooManyRequests

if TYPE_CHECKING:
    from tinytown.web.asgi import Asgi, AsgiMessage, AsgiScope, Headers, Receive, Send
    from tinytown.web.context import Access, Principal
    from tinytown.web.hall import Hall
    from tinytown.web.problems import Problem

log = logging.getLogger("townhall")

MOST_HEADERS = 100

_ALWAYS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Router(Protocol):
    """What stands behind the doors."""

    def access(self, method: str, path: str) -> Access:
        """What a request of this method for this path wants of who asks. Quick, and no I/O."""

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer a request that has passed the doors. What it raises becomes a problem."""


def make_app(hall: Hall, router: Router) -> Asgi:
    """The application of a hall."""
    return challenged(Doors(hall, router), router)


class Doors:
    """Lets a request pass, or says why not."""

    def __init__(self, hall: Hall, router: Router) -> None:
        settings = hall.settings
        self._hall = hall
        self._router = router
        self._names = Names(settings.bind, settings.hosts, settings.origins)
        self._reads = Rate(settings.rates.reads)
        self._writes = Rate(settings.rates.writes)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise RuntimeError(f"townhall serves no {scope['type']}")
        asked = Asked(token_hex(8))
        begin(scope, asked)
        answer = _Answer(self._hall, scope, asked, send)
        try:
            await self._pass(scope, receive, answer)
        except Gone:
            return
        except Exception as error:
            await answer.fail(error)
        finally:
            await answer.close()

    async def _pass(self, scope: AsgiScope, receive: Receive, answer: _Answer) -> None:
        origin = self._names.check(scope)
        if origin is not None:
            answer.headers += cors_headers(origin, preflight=is_preflight(scope))
        if len(scope["headers"]) > MOST_HEADERS:
            raise TooManyHeaders(f"A request may have {MOST_HEADERS} headers")
        if origin is not None and is_preflight(scope):
            await answer.send({"type": "http.response.start", "status": 204, "headers": []})
            await answer.send({"type": "http.response.body"})
            return
        await self._admit(scope, answer)
        settings = self._hall.settings
        check_head(scope, settings.request_bytes)
        body = b""
        if announces_body(scope):
            body = await read_body(receive, limit=settings.request_bytes, seconds=settings.request_timeout)
            receive = whole(body, receive)
        answer.arrived = True
        with trio.move_on_after(settings.request_timeout) as deadline:
            answer.deadline = deadline
            await self._router(scope, receive, answer.send)
        if deadline.cancelled_caught:
            raise Overdue("The answer did not begin in time")

    async def _admit(self, scope: AsgiScope, answer: _Answer) -> None:
        """Credentials, scope, rate."""
        access = self._router.access(scope["method"], scope["path"])
        if access == "public":
            return
        # What a call of the protocol does is seen by whoever serves it: it counts and records what changes something.
        answer.is_call = isinstance(self._router, McpRouter) and self._router.is_calls(scope["path"])
        principal = await self._hall.authenticator.who(scope)
        answer.asked.principal = principal
        answer.asked.count_write = partial(self._count, self._writes, "writes", principal, [])
        rate, kind = (self._reads, "reads")
        if scope["method"] in WRITES and not answer.is_call:
            rate, kind = (self._writes, "writes")
        self._count(rate, kind, principal, answer.headers)
        if access != "known" and not principal.may(access):
            raise Forbidden(f"Insufficient permissions: this needs {access}", hint=_scopes_of(principal.scopes))

    def _count(self, rate: Rate, kind: str, principal: Principal, headers: Headers) -> None:
        """Count one request, and add to the headers how the principal stands then. Raises `TooManyRequests`."""
        standing = rate.take(principal.id)
        headers += standing.headers()
        if not standing.allowed:
            raise TooManyRequests(
                f"{principal.id} has used up its {standing.limit} {kind} a minute", retry_after=standing.retry_after
            )


def _scopes_of(scopes: frozenset[str]) -> str:
    return f"Your key has: {', '.join(sorted(scopes))}" if scopes else "Your key has no scope at all."


class _Answer:
    """The answer to one request on its way out: what is added to it, and what is remembered of it."""

    def __init__(self, hall: Hall, scope: AsgiScope, asked: Asked, send: Send) -> None:
        self._hall = hall
        self._scope = scope
        self._send = send
        self._started = False
        self._audited = False
        self.asked = asked
        self.headers: Headers = [*_ALWAYS, (b"x-request-id", asked.request_id.encode())]
        self.arrived = False
        """The request is here as a whole."""
        self.is_call = False
        """A call of the protocol: whoever serves it writes its record, unless a door refuses it."""
        self.deadline: trio.CancelScope | None = None

    async def send(self, message: AsgiMessage) -> None:
        """Send on what the router sends."""
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        await self._send(message)

    async def _start(self, message: AsgiMessage) -> None:
        self._started = True
        if self.deadline is not None:
            # Whether a stream ends is its own affair.
            self.deadline.deadline = math.inf
        status: int = message["status"]
        await self._audit(status)
        given: Headers = list(message.get("headers", []))
        names = {name.lower() for name, _ in given}
        added = [pair for pair in self.headers if pair[0] not in names]
        if b"cache-control" not in names:
            added.append((b"cache-control", b"no-store"))
        if not self.arrived and announces_body(self._scope):
            # What is still to come of the body will not be read.
            added.append((b"connection", b"close"))
        await self._send({**message, "headers": given + added})

    async def _audit(self, status: int) -> None:
        if self.is_call and status not in REFUSED:
            return
        if not self._audited and self._hall.audit.wants(self._scope, status):
            self._audited = True
            await self._hall.audit.write(self._scope, self.asked, status)

    async def fail(self, error: Exception) -> None:
        """Answer with the problem that an error is. Where an answer has begun it is only logged, and stays cut."""
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        problem = problem_of(error, request_id=self.asked.request_id)
        if problem.status >= 500 and not isinstance(error, Overdue):
            log.error("request_id=%s %s", self.asked.request_id, self._line(problem), exc_info=error)
        if self._started:
            return
        body = problem.body()
        headers = [*problem.headers(), (b"content-length", b"%d" % len(body))]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    def _line(self, problem: Problem) -> str:
        return f"{self._scope['method']} {problem.code} {problem.status}"

    async def close(self) -> None:
        """The request is over. One that nobody waits for any more may have changed something all the same."""
        if not self._started and self.arrived:
            await self._audit(499)
