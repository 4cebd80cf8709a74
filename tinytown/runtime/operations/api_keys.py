"""API keys that the town keeps: made, listed, revoked. A key itself is seen once, by whoever makes it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.errors import Conflict, Invalid, NotFound
from tinytown.ids import agent_name
from tinytown.runtime.api_key import ApiKey, generate
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.api_keys import ApiKeys, StoredKey

if TYPE_CHECKING:
    from tinytown.runtime.town import Town

USUAL = (Scope.READ, Scope.WRITE, Scope.MANAGE)
"""What a key may when nobody says: all but make and revoke keys, and read the audit."""

_DAY = 86_400.0
_MOST_DAYS = 3650.0


@dataclass(frozen=True, slots=True)
class MakeKey:
    """A key called `name`, which may what `scopes` say, for so many days; None is for ever."""

    name: str = ""
    scopes: tuple[Scope, ...] = USUAL
    days: float | None = None


@dataclass(frozen=True, slots=True)
class MadeKey:
    """`key` is shown to nobody again."""

    stored: StoredKey
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListKeys:
    """All keys."""


@dataclass(frozen=True, slots=True)
class KeyList:
    """Oldest first. `at` is the moment by which some of them are expired."""

    keys: tuple[StoredKey, ...]
    at: float


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """The key of this id or name."""

    key: str


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """It opens nothing any more."""

    id: str
    name: str


@operation("auth.generate", Scope.ADMIN)
async def make_key(town: Town, request: MakeKey) -> MadeKey:
    """Make an API key and keep its hash.

    Raises `Invalid` for a name or a time that cannot be meant, `Conflict` for a name that a key has.
    """
    if request.name:
        agent_name(request.name)
    if request.days is not None and not 0 < request.days <= _MOST_DAYS:
        raise Invalid(f"A key lives for more than 0 and at most {_MOST_DAYS:.0f} days")
    kept = ApiKeys(town.connection, town.keys)
    if request.name and any(key.name == request.name for key in await kept.all()):
        raise Conflict(
            f"There is an API key called '{request.name}'", hint=f"Revoke it with: tt auth revoke {request.name}"
        )
    made: ApiKey = await town.aside(generate)
    now = time.time()
    stored = StoredKey(
        made.id,
        name=request.name or made.id,
        hash=made.hash,
        scopes=tuple(dict.fromkeys(request.scopes)),
        created_at=times.timestamp(now),
        expires_at=None if request.days is None else times.timestamp(now + request.days * _DAY),
    )
    if not await kept.add(stored):
        raise Conflict("Two keys got the same id: that is one chance in 200 million million", hint="Try again.")
    return MadeKey(stored, made.key)


@operation("auth.list", Scope.ADMIN)
async def list_keys(town: Town, request: ListKeys) -> KeyList:
    """Show the API keys, without anything secret."""
    return KeyList(tuple(await ApiKeys(town.connection, town.keys).all()), time.time())


@operation("auth.revoke", Scope.ADMIN)
async def revoke_key(town: Town, request: RevokeKey) -> RevokedKey:
    """Revoke an API key: the next request that shows it is refused. Raises `NotFound`."""
    kept = ApiKeys(town.connection, town.keys)
    for key in await kept.all():
        if request.key in (key.id, key.name) and await kept.remove(key.id):
            return RevokedKey(key.id, key.name)
    raise NotFound(f"There is no API key '{request.key}'", hint="See what is there with: tt auth list")
