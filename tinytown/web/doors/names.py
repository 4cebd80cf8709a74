"""Which names townhall answers to, and which web pages may call it.

A page of any site can make a browser on this machine send requests here, even under a name that the site's own DNS
points at this machine. Two headers give it away, which no page can forge: the name that was asked for (`Host`),
and where the page is from (`Origin`). Programs that are no browsers send no `Origin`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tinytown.web.asgi import header, headers_named
from tinytown.web.refusals import BadRequest, Forbidden
from tinytown.web.sockets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.web.asgi import AsgiScope, Headers

_HINT = "Names are allowed by [townhall] hosts, web pages by [townhall] origins."

PREFLIGHT_SECONDS = 600
_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_SENT = b"authorization, content-type, idempotency-key, last-event-id, mcp-protocol-version, mcp-session-id, x-api-key"
_SEEN = b"x-request-id, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, mcp-session-id"


class Names:
    """The allow-lists. `bind` is what townhall listens on, `hosts` and `origins` what the configuration adds."""

    def __init__(self, bind: str, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._hosts = {bare_host(name) for name in (bind, *hosts)}
        self._origins = {origin.lower().encode() for origin in origins}

    def check(self, scope: AsgiScope) -> bytes | None:
        """Refuse what is not allowed; gives the origin of a foreign page that is."""
        hosts = headers_named(scope, b"host")
        if len(hosts) != 1:
            raise BadRequest("A request names exactly one Host")
        host = hosts[0].lower()
        if not self._knows(scope, host):
            raise Forbidden("Townhall does not answer to this name", hint=_HINT)
        origins = headers_named(scope, b"origin")
        if not origins:
            _refuse_foreign_fetch(scope)
            return None
        origin = origins[0].lower()
        if len(origins) == 1 and origin == scope["scheme"].encode() + b"://" + host:
            return None
        if len(origins) == 1 and origin in self._origins:
            return origin
        raise Forbidden("Web pages of this origin may not call townhall", hint=_HINT)

    def _knows(self, scope: AsgiScope, host: bytes) -> bool:
        try:
            name = bare_host(host.decode("ascii"))
        except UnicodeDecodeError:
            return False
        if name in self._hosts or is_loopback(name):
            return True
        # An address cannot be pointed elsewhere: the one that was connected to is as good as a name.
        server = scope.get("server")
        return server is not None and _same_address(name, str(server[0]))


def _refuse_foreign_fetch(scope: AsgiScope) -> None:
    """Pictures, scripts and the like that another site embeds come without an origin, but browsers say so."""
    site = header(scope, b"sec-fetch-site")
    if site in (b"cross-site", b"same-site") and header(scope, b"sec-fetch-mode") != b"navigate":
        raise Forbidden("Web pages of other sites may not embed townhall", hint=_HINT)


def is_preflight(scope: AsgiScope) -> bool:
    """A browser asks whether a page may send what it is about to send."""
    return scope["method"] == "OPTIONS" and header(scope, b"access-control-request-method") is not None


def cors_headers(origin: bytes, *, preflight: bool) -> Headers:
    """What tells the browser that a page of this origin may read the answer."""
    shared: Headers = [(b"access-control-allow-origin", origin), (b"vary", b"Origin")]
    if not preflight:
        return [*shared, (b"access-control-expose-headers", _SEEN)]
    return [
        *shared,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _SENT),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
    ]


def bare_host(host: str) -> str:
    """A host without its port and its brackets, in lower case, without the dot of the root."""
    name = host.lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    head, colon, tail = name.rpartition(":")
    if colon and ":" not in head and tail.isascii() and tail.isdigit():
        name = head
    return name.removesuffix(".")


def _same_address(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other.partition("%")[0])
    except ValueError:
        return False
