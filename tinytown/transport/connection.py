"""What every connection to Redis promises, and what its refusals mean.

Rules. A connection never loses step: a reply belongs to the command that asked for it, or the connection is
dropped. Nothing is repeated that may have been done, unless the caller says that it may be (`repeat=True`). And
the words of the server are read in one place, `error_of`; everything above sees the classes of `tinytown.errors`.

Three kinds keep this contract: `MultiplexedConnection` (trio, many tasks), `BlockingConnection` (the short-lived
`tt` commands) and the twin of the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import hiredis

from tinytown.errors import RedisFull, RedisRefused, RedisUnreachable, TownError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from tinytown.transport.address import Address

Value: TypeAlias = "bytes | str | int | float"
"""One word of a command. Text goes out as UTF-8."""

Reply: TypeAlias = "int | float | bool | bytes | list[Reply] | dict[bytes, Reply] | None"
"""One RESP3 reply as hiredis gives it. An error inside an array (of EXEC) stands there as a `TownError`."""

pack = cast("Callable[[tuple[Value, ...]], bytes]", hiredis.pack_command)
"""The bytes of one command. (The stub of hiredis says "a tuple of one word".)"""

CLIENT_NAME = "tinytown"
"""Shown by `CLIENT LIST`."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
"""Seconds between two tries, first and at most. A restarted server is found again within 5 s of its answering."""


class Connection(Protocol):
    """A connection on which one command, or a handful at once, is asked and answered."""

    @property
    def address(self) -> Address:
        """Where it leads."""
        ...

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        """Ask one command and return its reply.

        With `repeat` the command is asked once more when the connection was lost before its reply came: only for
        what may be done twice. Raises `NoScript`, `RedisRefused`, `RedisFull`, `ReplyError` as the server says,
        and `RedisUnreachable` when no reply came; then it may have been done or not.
        """
        ...

    async def pipeline(self, commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        """Ask several commands in one write and return their replies in order.

        They are not a transaction: others may come between. All replies are read, then the first error among them
        is raised.
        """
        ...

    def dedicated(self) -> AbstractAsyncContextManager[Connection]:
        """A second connection to the same place, for one task's blocking commands (`XREAD BLOCK`).

        It waits for a reply as long as it takes. After a cancelled blocking command close it: what is asked next
        would wait behind it.
        """
        ...


class ListeningConnection(Connection, Protocol):
    """A connection that also hears what others publish."""

    async def subscribe(self, channel: str, callback: Callable[[bytes], None]) -> None:
        """Call `callback(payload)` for whatever is published on `channel` from the return of this call on.

        One callback a channel: a second one takes the place of the first. It stays over reconnects, but what was
        published in between is lost. The callback is called in the middle of the reading: it must be short and
        must not raise.
        """
        ...

    async def unsubscribe(self, channel: str) -> None:
        """End what `subscribe` began."""
        ...

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback()` each time a lost connection is there again and its subscriptions are renewed."""
        ...


class NoScript(TownError):
    """The server does not know the script of this digest: load it first. Never leaves the transport."""

    code = "no_script"


class NotReady(RedisUnreachable):
    """The server answers, and refuses for now: it loads, runs a long script, or is a replica. Nothing was done."""

    default_hint = "It usually passes; try again in a moment."


class Misplaced(NotReady):
    """This server will not do it, but another behind the same address may: worth a new connection."""


class ReplyError(Unavailable):
    """The server refuses this very command, in its own words. The fault is ours or of its version."""

    code = "redis_reply_error"


_LOOK = "See what is wrong with: tt doctor"
_NOT_READY = frozenset({"LOADING", "BUSY", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"})
_MISPLACED = frozenset({"READONLY", "MASTERDOWN"})
_REFUSED = {
    "NOAUTH": "Give the password in TINYTOWN_REDIS_PASSWORD or in the address.",
    "WRONGPASS": "Check user name and password.",
    "NOPERM": "Let the user of this address do it (ACL SETUSER), or use another user.",
    "DENIED": "Set a password on that server, or bind it to this machine only.",
    "NOPROTO": "Tinytown needs Redis or Valkey 7.0 or later.",
}
_FULL = {
    "OOM": "Give it more memory ('maxmemory'), or let finished work go.",
    "MISCONF": "Free space on the disk of its data directory; its log says more.",
}


def error_of(text: str) -> TownError:
    """The error that an error reply means, by its first word."""
    word = text.partition(" ")[0]
    if word == "NOSCRIPT":
        return NoScript(text)
    if word in _NOT_READY:
        return NotReady(f"Redis is not ready: {text}")
    if word in _MISPLACED:
        return Misplaced(f"Redis is not ready: {text}")
    if word in _REFUSED:
        return RedisRefused(f"Redis refused: {text}", hint=_REFUSED[word])
    if word in _FULL:
        return RedisFull(f"Redis is full: {text}", hint=_FULL[word])
    if text.startswith("ERR max number of clients"):
        return NotReady(f"Redis is not ready: {text}", hint="Raise its 'maxclients', or end what holds connections.")
    return ReplyError(f"Redis answered: {text}")


def settled(replies: list[Reply | TownError], address: Address) -> list[Reply]:
    """All replies of what was asked in one write; raises the first error among them."""
    error = next((reply for reply in replies if isinstance(reply, TownError)), None)
    if error is None:
        return cast("list[Reply]", replies)
    if isinstance(error, NotReady) and not all(isinstance(reply, NotReady) for reply in replies):
        # Some were done: `NotReady` would tell the caller's loop to ask them all again.
        raise lost(address, error.message)
    raise error


def greeting(address: Address) -> list[tuple[Value, ...]]:
    """The commands that open a conversation: RESP3, who we are, and which database."""
    hello: tuple[Value, ...] = ("HELLO", 3)
    if address.password is not None or address.username is not None:
        hello += ("AUTH", address.username or "default", address.password or "")
    commands: list[tuple[Value, ...]] = [(*hello, "SETNAME", CLIENT_NAME)]
    if address.db:
        commands.append(("SELECT", address.db))
    return commands


def unwelcome(address: Address, error: TownError) -> TownError:
    """What an error during the greeting means: anything the server says against us there is a refusal."""
    if isinstance(error, ReplyError):
        return RedisRefused(
            f"{address.url} does not take the connection. {error.message}",
            hint="Tinytown needs Redis or Valkey 7.0 or later, and the database of the address must exist.",
        )
    return error


def unreachable(address: Address, error: OSError) -> Unavailable:
    """No connection could be made, or none that can be trusted."""
    reason = error.strerror or str(error) or "no answer"
    # Known by name: to import `ssl` for it would cost every `tt` more than the whole connection does.
    if type(error).__name__ == "SSLCertVerificationError":
        reason = getattr(error, "verify_message", "") or reason
        return RedisRefused(
            f"The certificate of {address.url} cannot be verified: {reason}.",
            hint="Name the authority that signed it: ca_file in the address or in [redis].",
        )
    return RedisUnreachable(f"Cannot reach Redis at {address.url}: {reason}.", hint=_LOOK)


def lost(address: Address, reason: str) -> RedisUnreachable:
    """The connection ended before the reply came."""
    return RedisUnreachable(
        f"Lost Redis at {address.url}: {reason}. The command may or may not have been done.",
        hint=_LOOK,
    )


def unspoken(address: Address, reason: str) -> RedisUnreachable:
    """There was no connection to ask on; the command was never sent."""
    return RedisUnreachable(f"No connection to Redis at {address.url}: {reason}.", hint=_LOOK)


def pauses() -> Iterator[float]:
    """Seconds to wait before each next try, without end: full jitter under a doubling bound.

    Full jitter spreads the clients of a restarted server evenly, at no cost in total time
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    from random import uniform

    bound = FIRST_PAUSE
    while True:
        yield uniform(0, bound)  # noqa: S311 -- spreads load, guards nothing
        bound = min(2 * bound, LONGEST_PAUSE)
