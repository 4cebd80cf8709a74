"""The keys for the REST API that a town keeps: of each the hash, what it may, and until when. Never the key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from tinytown import times
from tinytown.errors import BadMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.times import Timestamp
    from tinytown.transport.connection import Connection, Reply
    from tinytown.transport.keys import Keys


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One key. `id` is the public part of it; `scopes` are names; `used_at` is known to the minute."""

    id: str
    name: str
    hash: str = field(repr=False)
    scopes: tuple[str, ...]
    created_at: Timestamp
    expires_at: Timestamp | None = None
    used_at: Timestamp | None = None

    def expired(self, now: float) -> bool:
        """Its time is over; `now` in seconds since the epoch."""
        return self.expires_at is not None and times.seconds_of(self.expires_at) <= now


class ApiKeys:
    """The keys of one town."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys("api_keys")
        self._uses = keys("api_key_uses")

    async def add(self, key: StoredKey) -> bool:
        """Keep a key; says False when there is one of this id."""
        record = {
            "name": key.name,
            "hash": key.hash,
            "scopes": list(key.scopes),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        }
        # Not repeated: the second of two would say that the first is in its way.
        added = await self._connection.execute("HSETNX", self._keys, key.id, json.dumps(record))
        return bool(added)

    async def raw(self, key_id: str) -> bytes | None:
        """The record of a key as it is stored; it changes whenever anything about the key does."""
        found = await self._connection.execute("HGET", self._keys, key_id, repeat=True)
        return cast("bytes | None", found)

    async def all(self) -> list[StoredKey]:
        """All keys, oldest first. One that cannot be read is left out: it opens nothing either."""
        found, uses = await self._connection.pipeline([("HGETALL", self._keys), ("HGETALL", self._uses)], repeat=True)
        used = {key_id: stamp for key_id, stamp in _pairs(uses) if stamp.isdigit()}
        out = []
        for key_id, raw in _pairs(found):
            try:
                key = decode(key_id.decode(), raw)
            except (BadMessage, UnicodeDecodeError):
                continue
            if key_id in used:
                key = replace(key, used_at=times.timestamp(int(used[key_id]) / 1000))
            out.append(key)
        return sorted(out, key=lambda key: (key.created_at, key.id))

    async def remove(self, key_id: str) -> bool:
        """Forget a key; says whether there was one."""
        removed, _ = await self._connection.pipeline(
            [("HDEL", self._keys, key_id), ("HDEL", self._uses, key_id)], repeat=False
        )
        return bool(removed)

    async def note_use(self, key_id: str, at: float) -> None:
        """Remember that a key was used now, in seconds since the epoch."""
        await self._connection.execute("HSET", self._uses, key_id, round(at * 1000), repeat=True)


def decode(key_id: str, raw: bytes) -> StoredKey:
    """The key of a record; `BadMessage` for what is none."""
    try:
        record = json.loads(raw)
        key = StoredKey(
            key_id,
            name=record["name"],
            hash=record["hash"],
            scopes=tuple(record["scopes"]),
            created_at=record["created_at"],
            expires_at=record["expires_at"],
        )
        if key.expires_at is not None:
            times.seconds_of(key.expires_at)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadMessage(f"The record of API key '{key_id}' cannot be read") from error
    return key


def _pairs(reply: Reply) -> list[tuple[bytes, bytes]]:
    """The fields of a hash: a map in RESP3, a flat list in RESP2."""
    found: Mapping[bytes, bytes] | list[bytes] = cast("dict[bytes, bytes] | list[bytes]", reply)
    if isinstance(found, list):
        return list(zip(found[::2], found[1::2], strict=True))
    return list(found.items())
