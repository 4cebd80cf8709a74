"""Finds out who asks, in the way that the settings chose."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from tinytown.runtime.caller import EVERYTHING
from tinytown.web.asgi import headers_named
from tinytown.web.context import UNCHECKED, Principal
from tinytown.web.refusals import BadRequest, Unauthenticated

if TYPE_CHECKING:
    from tinytown.web.asgi import AsgiScope
    from tinytown.web.auth.keys import KeyCheck
    from tinytown.web.auth.oidc import TokenCheck

LOCAL = Principal("local", "local", EVERYTHING)
"""Who shows the local token: a program of the user himself."""

_MOST_BYTES = 8192


class Authenticator:
    """One of: everybody is let in (nothing given), the issuer's tokens, or local token and API keys."""

    def __init__(
        self, *, local_token: str | None = None, keys: KeyCheck | None = None, tokens: TokenCheck | None = None
    ) -> None:
        self._local = local_token.encode() if local_token else None
        self._keys = keys
        self._tokens = tokens

    async def who(self, scope: AsgiScope) -> Principal:
        """The principal of a request. Raises `Unauthenticated`, `TooManyRequests`, `BadRequest`."""
        if self._keys is None and self._tokens is None:
            return UNCHECKED
        shown = shown_in(scope)
        if self._tokens is not None:
            return await self._tokens.check(shown)
        assert self._keys is not None
        if self._local is not None and hmac.compare_digest(shown.encode(), self._local):
            return LOCAL
        client = scope.get("client")
        return await self._keys.check(shown, str(client[0]) if client else "local")


def shown_in(scope: AsgiScope) -> str:
    """The key or token that a request shows: as a bearer, else in `X-API-Key`."""
    bearers, keys = headers_named(scope, b"authorization"), headers_named(scope, b"x-api-key")
    if len(bearers) > 1 or len(keys) > 1:
        raise BadRequest("A request shows one key, not several")
    if bearers:
        kind, _, shown = bearers[0].strip().partition(b" ")
        if kind.lower() != b"bearer":
            raise Unauthenticated("Authentication required: only 'Bearer' is known here")
    elif keys:
        shown = keys[0]
    else:
        raise Unauthenticated("Authentication required")
    shown = shown.strip()
    if not shown or len(shown) > _MOST_BYTES or not shown.isascii():
        raise Unauthenticated("Invalid credentials", challenge='Bearer error="invalid_token"')
    return shown.decode("ascii")
