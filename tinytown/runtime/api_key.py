"""Keys for the REST API: shown once, kept only as a hash.

A key is `tt_` and 43 url-safe characters. The first eight of them are its public id, by which lists and logs name
it; the 35 that follow, 210 bits, are the secret.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from argon2 import PasswordHasher

KEY_BYTES = 32
"""Of randomness in a key: 43 characters of url-safe base64."""

MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
"""The cost of one hash: what OWASP recommends for Argon2id, and the book prints."""

_FORM = re.compile(r"tt_([A-Za-z0-9]{8})[A-Za-z0-9_-]{35}")


class ApiKey(NamedTuple):
    """A key and what goes into `[townhall.auth] api_key_hash`."""

    key: str
    hash: str

    @property
    def id(self) -> str:
        """The public part of it."""
        found = id_of(self.key)
        assert found is not None
        return found


def generate() -> ApiKey:
    """A new key from the system's source of randomness, with its hash under a salt of its own."""
    key = new_key()
    return ApiKey(key, hasher().hash(key))


def new_key() -> str:
    """A new key. Its id has only letters and digits: no command line takes it for an option."""
    from secrets import token_urlsafe

    while id_of(key := f"tt_{token_urlsafe(KEY_BYTES)}") is None:
        pass
    return key


def id_of(key: str) -> str | None:
    """The public id of a key; None for what has not the form of one."""
    found = _FORM.fullmatch(key)
    return found[1] if found else None


def hasher() -> PasswordHasher:
    """Makes and checks hashes. One takes some 25 ms and 19 MiB."""
    from argon2 import PasswordHasher, Type

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)
