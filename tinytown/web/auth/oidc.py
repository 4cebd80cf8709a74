"""Signed tokens of an OpenID Connect issuer.

What must be true: the algorithm is chosen here and never by the token; the key is one that the issuer publishes
under the token's `kid`; issuer, audience and times are checked by us; and whatever a token says, the issuer is asked
no more often than every ten seconds, and for no more than 64 KiB.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import trio
from joserfc import jwk, jwt
from joserfc.errors import JoseError, SecurityWarning

from tinytown.runtime.caller import Scope
from tinytown.text import one_line
from tinytown.web.context import Principal
from tinytown.web.refusals import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from joserfc.jwk import Key

    from tinytown.web.settings import AuthSettings

log = logging.getLogger("townhall.auth")

ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}
"""What is accepted, with the type and the curve of the key that it needs."""

TOKEN_BYTES = 8192
BETWEEN_FETCHES = 10.0
KEYS_SECONDS = 600.0
"""How often at most the issuer is asked, and how old its keys may become, in seconds."""
FETCH_SECONDS = 5.0
LEAST_RSA_BITS = 2048

WRONG = "The token is not valid here"

_UNFETCHED = (
    OSError, trio.TooSlowError, ValueError, KeyError, TypeError, AttributeError, RecursionError, JoseError,
)  # fmt: skip


class BadToken(Exception):
    """Why a token is refused: for the log, not for whoever showed it."""


class KeySet:
    """The keys that an issuer publishes, fetched when they are needed."""

    def __init__(self, settings: AuthSettings, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self._issuer = settings.issuer
        self._url = settings.jwks_url
        self._fetch = fetch
        self._keys: dict[str, Key] | None = None
        self._fetched = self._tried = float("-inf")
        self._alone = trio.Lock()

    async def find(self, kid: str) -> Key:
        """The key of this id. One that is unknown makes us look again, if we have not just looked."""
        async with self._alone:
            now = trio.current_time()
            known = self._keys is not None and kid in self._keys
            if (not known or now - self._fetched > KEYS_SECONDS) and now - self._tried >= BETWEEN_FETCHES:
                await self._refresh(now)
        if self._keys is None:
            raise BadToken("the keys of the issuer cannot be had")
        if kid not in self._keys:
            raise BadToken("no key of the issuer has this kid")
        return self._keys[kid]

    async def _refresh(self, now: float) -> None:
        self._tried = now
        try:
            with trio.fail_after(FETCH_SECONDS):
                self._keys = _usable(json.loads(await self._fetch(await self._where())))
        except _UNFETCHED as error:
            # Old keys go on to serve: an issuer that is down locks nobody out.
            log.warning("The keys of the issuer cannot be fetched: %s: %s", type(error).__name__, error)
            return
        self._fetched = now

    async def _where(self) -> str:
        if not self._url:
            place = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            said = json.loads(await self._fetch(place))
            if said["issuer"] != self._issuer:
                raise ValueError("the issuer calls itself by another name")
            self._url = str(said["jwks_uri"])
        return self._url


@contextmanager
def _unwarned() -> Iterator[None]:
    """What the library only warns of (short keys, the older name of Ed25519) is decided here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        yield


def _usable(found: object) -> dict[str, Key]:
    """The public signature keys of a set, by their ids. One that cannot be read hurts no other."""
    keys: dict[str, Key] = {}
    for entry in cast("dict[str, list[dict[str, object]]]", found)["keys"]:
        kid = entry.get("kid")
        if not isinstance(kid, str) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        try:
            with _unwarned():
                keys[kid] = jwk.import_key(cast("dict[str, str | list[str]]", entry))
        except (JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("A key of the issuer cannot be used: %s", type(error).__name__)
    return keys


class TokenCheck:
    """Checks tokens of the one issuer that the settings name."""

    def __init__(self, settings: AuthSettings, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self._settings = settings
        self._keys = KeySet(settings, fetch)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=int(settings.clock_skew),
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def check(self, token: str) -> Principal:
        """Whose token this is. Raises `Unauthenticated`; the reason goes to the log."""
        try:
            claims = await self._verified(token)
            return self._principal(claims)
        except BadToken as error:
            log.info("A token was refused: %s", error)
            raise Unauthenticated(
                WRONG, challenge='Bearer error="invalid_token"', hint="Get a new one from the issuer."
            ) from None

    async def _verified(self, token: str) -> Mapping[str, object]:
        algorithm, kid = _head(token)
        key = await self._keys.find(kid)
        kind, curve = ALGORITHMS[algorithm]
        public = key.as_dict(private=False)
        if key.key_type != kind or (curve is not None and public.get("crv") != curve):
            raise BadToken("the algorithm does not fit the key")
        if public.get("alg", algorithm) != algorithm:
            raise BadToken("the key is for another algorithm")
        if kind == "RSA" and _bits(public) < LEAST_RSA_BITS:
            raise BadToken("the key is too short")
        try:
            with _unwarned():
                claims = jwt.decode(token, key, algorithms=[algorithm]).claims
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadToken(f"{type(error).__name__}: {error}") from None
        return claims

    def _principal(self, claims: Mapping[str, object]) -> Principal:
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject:
            raise BadToken("sub is no text")
        granted = _granted(claims)
        missing = [name for name in self._settings.required_scopes if name not in granted]
        if missing:
            raise BadToken(f"it lacks the scope {missing[0]}")
        known = {str(scope) for scope in Scope}
        scopes = frozenset(Scope(name) for name in granted & known)
        return Principal(f"oidc:{one_line(subject, 120)}", "oidc", scopes)


def _head(token: str) -> tuple[str, str]:
    """Algorithm and key id of a token that has the right form."""
    if len(token) > TOKEN_BYTES or token.count(".") != 2:
        raise BadToken("it is no signed token")
    encoded = token.partition(".")[0]
    try:
        head = json.loads(base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadToken("its head cannot be read") from None
    if not isinstance(head, dict):
        raise BadToken("its head is no object")
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise BadToken("its algorithm is not allowed")
    if not isinstance(kid, str):
        raise BadToken("it names no key")
    if "crit" in head or "b64" in head:
        raise BadToken("it wants what is not understood here")
    return algorithm, kid


def _granted(claims: Mapping[str, object]) -> set[str]:
    """The scopes that a token names, in either of the usual claims."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name, "")
        if isinstance(value, str):
            found.update(value.split())
        elif isinstance(value, list):
            found.update(item for item in value if isinstance(item, str))
    return found


def _bits(public: Mapping[str, object]) -> int:
    encoded = str(public.get("n", ""))
    return len(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))) * 8
