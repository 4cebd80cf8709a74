"""API keys: looked up by their public id, checked by Argon2id in a worker thread, and remembered for a minute.

What must be true: an id that nobody has costs as much as a wrong secret; at most one hash is computed at a time, so
that no crowd of wrong keys takes the machine's memory; and a key that was revoked or changed opens nothing from that
moment on, whatever is remembered.
"""

from __future__ import annotations

import hmac
import logging
import os
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tinytown.errors import BadMessage, TownError
from tinytown.runtime.api_key import generate, hasher, id_of
from tinytown.runtime.caller import Scope
from tinytown.transport.api_keys import ApiKeys, StoredKey, decode
from tinytown.web.context import Principal
from tinytown.web.refusals import TooManyRequests, Unauthenticated

if TYPE_CHECKING:
    from tinytown.web.doors.rates import Rate
    from tinytown.web.settings import AuthSettings

log = logging.getLogger("townhall.auth")

REMEMBERED = 2048
REMEMBER_SECONDS = 60.0
"""How many good keys are remembered, and for how long."""

MOST_WAITING = 20
"""Checks that wait for their turn; beyond it one more is refused at once."""

USE_SECONDS = 60.0
"""How often at most it is written down that a key was used."""

CONFIGURED = "configured"
"""The id of the key whose hash stands in the configuration."""

WRONG = "The key is wrong, expired or revoked"


class Remembered:
    """Keys that were good a moment ago, by a tag that only this process can make of a key."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def _tag(self, key: str) -> bytes:
        return hmac.digest(self._secret, key.encode(), "sha256")

    def holds(self, key: str, version: bytes) -> bool:
        """The key was good, and what decides about it is still this version."""
        tag = self._tag(key)
        found = self._known.get(tag)
        if found is None:
            return False
        until, known = found
        if until < time.monotonic() or known != version:
            del self._known[tag]
            return False
        return True

    def add(self, key: str, version: bytes) -> None:
        """The key is good."""
        self._known[self._tag(key)] = (time.monotonic() + REMEMBER_SECONDS, version)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What a key is checked against. `version` changes with anything that decides about it."""

    hash: str
    version: bytes
    principal: Principal
    stored: bool
    expired: bool = False


class KeyCheck:
    """Checks the keys of one town: those it keeps, and the one of the configuration, if any."""

    def __init__(self, kept: ApiKeys, settings: AuthSettings, failures: Rate) -> None:
        self._kept = kept
        self._failures = failures
        self._good = Remembered()
        self._turn = trio.CapacityLimiter(1)
        self._waiting = 0
        self._used: dict[str, float] = {}
        self._configured: _Candidate | None = None
        if settings.mode == "api_key" and settings.api_key_hash is not None:
            self._configured = _Candidate(
                settings.api_key_hash,
                settings.api_key_hash.encode(),
                Principal(CONFIGURED, "api_key", settings.api_key_scopes),
                stored=False,
            )
        # Checked when there is nothing to check against.
        self._nobody = self._configured or _Candidate(
            generate().hash, b"", Principal("", "api_key", frozenset()), stored=False
        )

    async def check(self, key: str, address: str) -> Principal:
        """Whose key this is. Raises `Unauthenticated`, and `TooManyRequests` after too many wrong ones."""
        key_id = id_of(key)
        found = await self._candidate(key_id) if key_id is not None else None
        against = found or self._nobody
        if (found or self._configured) is not None and not against.expired and self._good.holds(key, against.version):
            await self._note_use(against)
            return against.principal
        # A key with a known id has a count of its own, so that a crowd of wrong ones shuts nobody else out.
        who = (address, key_id if found is not None else "")
        standing = self._failures.look(who)
        if not standing.allowed:
            raise TooManyRequests("Too many failed logins", retry_after=standing.retry_after)
        matches = await self._verify(against.hash, key)
        if not matches or against.expired or against is not (found or self._configured):
            self._failures.take(who)
            raise Unauthenticated(WRONG, challenge='Bearer error="invalid_token"')
        self._good.add(key, against.version)
        await self._note_use(against)
        return against.principal

    async def _candidate(self, key_id: str) -> _Candidate | None:
        raw = await self._kept.raw(key_id)
        if raw is None:
            return None
        try:
            stored = decode(key_id, raw)
        except BadMessage as error:
            log.warning("%s", error)
            return None
        return _Candidate(stored.hash, raw, _principal_of(stored), stored=True, expired=stored.expired(time.time()))

    async def _verify(self, hashed: str, key: str) -> bool:
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests("Too many logins at once", retry_after=1)
        self._waiting += 1
        try:
            return await trio.to_thread.run_sync(_matches, hashed, key, limiter=self._turn)
        finally:
            self._waiting -= 1

    async def _note_use(self, key: _Candidate) -> None:
        now, key_id = time.time(), key.principal.id
        if not key.stored or now - self._used.get(key_id, 0.0) < USE_SECONDS:
            return
        if len(self._used) > REMEMBERED:
            self._used.clear()
        self._used[key_id] = now
        try:
            await self._kept.note_use(key_id, now)
        except TownError as error:
            log.warning("It could not be written down that API key '%s' was used: %s", key_id, error)


def _principal_of(stored: StoredKey) -> Principal:
    known = set(Scope)
    return Principal(stored.id, "api_key", frozenset(Scope(name) for name in stored.scopes if name in known))


def _matches(hashed: str, key: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return hasher().verify(hashed, key)
    except (Argon2Error, InvalidHashError):
        return False
