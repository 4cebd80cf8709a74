"""The save file: a town as the plain commands that would make it, one thing a command, in a fixed order.

The same content gives the same bytes, and a small change of the town is a small change of the file, so that it can
lie in a repository. It is an append-only file as every Redis and Valkey writes and loads it, so that a person can
look at it with their tools. We never let a server load it, for it may have come from anywhere: `read` takes it
apart, and knows no other commands than `write` writes.

It begins and ends with `SELECT 0`. The second is the mark of its end: what was cut off between two commands would
look whole without it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tinytown.errors import TooLarge
from tinytown.transport.connection import pack
from tinytown.transport.keys import Keys, town_of
from tinytown.transport.snapshot_content import LEFT_OUT, Content, Place, Stream
from tinytown.transport.snapshot_rules import Fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tinytown.transport.connection import Value

MOST_BYTES = 512 << 20
"""Of one file: a server takes at most 1 GiB at once, and the restored town has to get there in one piece."""
MOST_COMMANDS = 2_000_000
MOST_WORDS = 2048
MOST_WORD_BYTES = 65 << 20
"""Of one word: the largest message that the configuration can allow (64 MiB), and some more."""

_COUNT = re.compile(rb"\*([1-9][0-9]{0,8})\r\n")
_SIZE = re.compile(rb"\$(0|[1-9][0-9]{0,8})\r\n")
_CUT_HEAD = re.compile(rb"[*$][0-9]{0,9}\r?")
_LONG_HEAD = re.compile(rb"[*$][0-9]{10,}")
_CHANGED_HEAD = re.compile(rb"[*$][0-9]+\n")
_ELEMENTS = {"SET": 1, "RPUSH": 1, "SADD": 1, "HSET": 2, "ZADD": 2}
_TYPES = {
    "SET": "string", "RPUSH": "list", "SADD": "set", "HSET": "hash", "ZADD": "zset", "XADD": "stream",
    "XSETID": "stream",
}  # fmt: skip
_EMPTY = (b"MAXLEN", b"0")
_SCORE = re.compile(rb"0|[1-9][0-9]{0,15}")


def write(content: Content, keys: Keys) -> bytes:
    """The file; `TooLarge` when it could not be read again."""
    select = pack(("SELECT", "0"))
    parts = [select, *(pack(tuple(command)) for command in commands(content, keys)), select]
    data = b"".join(parts)
    if len(data) > MOST_BYTES or len(parts) > MOST_COMMANDS:
        raise TooLarge(
            f"The town is too large to be saved: {len(data):,} bytes in {len(parts):,} commands",
            hint="Let finished tasks and old messages go first: tt prune",
        )
    return data


def commands(
    content: Content, keys: Keys, *, most: int = 1, without: frozenset[str] = frozenset()
) -> Iterator[Sequence[Value]]:
    """The commands that make the content, in a fixed order, with up to `most` elements in each."""
    held = {keys(*place): (place, value) for place, value in content.everything().items()}
    for key in sorted(held):
        place, value = held[key]
        if place.name in without:
            continue
        if isinstance(value, bytes):
            yield ("SET", key, value)
        elif isinstance(value, Stream):
            yield from _stream_commands(key, value)
        else:
            verb, words = _elements(place, content)
            step = most * _ELEMENTS[verb]
            for start in range(0, len(words), step):
                yield (verb, key, *words[start : start + step])


def _elements(place: Place, content: Content) -> tuple[str, list[Value]]:
    if place in content.lists:
        return "RPUSH", [*content.lists[place]]
    if place in content.sets:
        return "SADD", sorted(content.sets[place])
    if place in content.hashes:
        return "HSET", [word for pair in sorted(content.hashes[place].items()) for word in pair]
    scored = sorted((score, member) for member, score in content.zsets[place].items())
    return "ZADD", [word for pair in scored for word in pair]


def _stream_commands(key: str, stream: Stream) -> Iterator[Sequence[Value]]:
    for name, entry in stream.entries.items():
        yield ("XADD", key, name, *entry)
    if not stream.entries:
        # No command makes an empty stream; servers write it so, too.
        yield ("XADD", key, *_EMPTY, stream.last, b"x", b"y")
    yield ("XSETID", key, stream.last, "ENTRIESADDED", stream.added, "MAXDELETEDID", stream.deleted)


def read(data: bytes) -> tuple[str | None, Content]:
    """The name of the town in a file, None when it holds no key, and its content. `Fault` says what and where.

    Only the framing, the commands and the keys are looked at; see `snapshot_rules.check` for the values.
    """
    if len(data) > MOST_BYTES:
        raise Fault(f"it has {len(data):,} bytes; a save may have {MOST_BYTES:,}")
    if not data:
        raise Fault("it is empty")
    reading = _Reading()
    for number, (at, words) in enumerate(_framed(data)):
        if number >= MOST_COMMANDS:
            raise Fault(f"byte {at}: there are more than {MOST_COMMANDS:,} commands")
        try:
            reading.take(words)
        except Fault as fault:
            raise Fault(f"byte {at}: {fault}") from None
    reading.end(len(data))
    return (reading.keys.town if reading.keys else None), reading.content


def _framed(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Each command with where it begins."""
    count_at, size_at = _COUNT.match, _SIZE.match
    at, end = 0, len(data)
    while at < end:
        begin = at
        head = count_at(data, at)
        if head is None:
            raise _unframed(data, at)
        at = head.end()
        count = int(head[1])
        if count > MOST_WORDS:
            raise Fault(f"byte {begin}: a command of {count:,} words; there is none of more than {MOST_WORDS:,}")
        words = []
        for _ in range(count):
            head = size_at(data, at)
            if head is None:
                raise _unframed(data, at)
            size, start = int(head[1]), head.end()
            if size > MOST_WORD_BYTES:
                raise Fault(f"byte {at}: a word of {size:,} bytes; there is none of more than {MOST_WORD_BYTES:,}")
            at = start + size + 2
            if at > end:
                raise Fault(f"byte {end}: it is cut short; a word of {size:,} bytes that began before has no end")
            if data[at - 2 : at] != b"\r\n":
                raise Fault(f"byte {at - 2}: a word does not end where its length says")
            words.append(data[start : at - 2])
        yield begin, words


def _unframed(data: bytes, at: int) -> Fault:
    """Why no command or no word begins here."""
    rest = data[at : at + 64]
    if data.startswith((b"REDIS", b"VALKEY")):
        return Fault("it is a binary dump (RDB) of a server, not the plain commands that 'tt save' writes")
    if _CUT_HEAD.fullmatch(rest) or not rest:
        return Fault(f"byte {at + len(rest)}: it is cut short in the middle of a command")
    if rest.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        return Fault(f"byte {at}: a merge in git left its conflict there")
    if _CHANGED_HEAD.match(rest):
        return Fault(
            f"byte {at}: its line ends were changed, perhaps by git: '.tt/redis.aof -text' in .gitattributes keeps them"
        )
    if _LONG_HEAD.match(rest):
        return Fault(f"byte {at}: a length beyond all sense: {shown(rest[:24])}")
    return Fault(f"byte {at}: {shown(rest[:24])} is no beginning of a command or a word")


class _Reading:
    """Commands become a content."""

    def __init__(self) -> None:
        self.content = Content()
        self.keys: Keys | None = None
        self._closed: set[Place] = set()
        self._selects: list[int] = []
        self._taken = 0

    def take(self, words: list[bytes]) -> None:
        """One more command."""
        self._taken += 1
        verb = words[0].decode("ascii", "replace")
        if verb == "SELECT":
            if words[1:] != [b"0"]:
                raise Fault("a save is of database 0 and knows no other")
            self._selects.append(self._taken)
            return
        if verb not in _TYPES:
            raise Fault(f"{shown(words[0])} is no command of a save")
        if self._selects != [1]:
            raise Fault(f"{verb} stands before the SELECT that begins a save, or behind the one that ends it")
        if len(words) < 3:
            raise Fault(f"{verb} lacks a word")
        place = self._place(verb, words[1])
        if verb == "XADD":
            self._add_entry(place, words[2:])
        elif verb == "XSETID":
            self._close_stream(place, words[2:])
        elif len(words[2:]) % _ELEMENTS[verb] or (verb == "SET" and len(words) > 3):
            raise Fault(f"{verb} has a wrong number of words")
        else:
            self._add(verb, place, words[2:])

    def end(self, at: int) -> None:
        """There is nothing more."""
        if self._selects != [1, self._taken] or self._taken < 2:
            raise Fault(f"byte {at}: it is cut short between two commands; the SELECT that ends a save is missing")

    def _place(self, verb: str, raw: bytes) -> Place:
        key = raw.decode("ascii", "replace")
        if self.keys is None:
            town = town_of(key)
            if town is None:
                raise Fault(f"{shown(raw)} is not a key of a town")
            self.keys = Keys(town)
        found = self.keys.find(key)
        if found is None:
            raise Fault(f"{shown(raw)} is not a key of town '{shown(self.keys.town)[1:-1]}'")
        row, part = found
        if row.name in LEFT_OUT:
            raise Fault(f"{shown(raw)} is never in a save: it {LEFT_OUT[row.name]}")
        if row.type != _TYPES[verb]:
            raise Fault(f"{verb} is not for {shown(raw)}, which is a {row.type}")
        return Place(row.name, part)

    def _add(self, verb: str, place: Place, words: list[bytes]) -> None:
        content = self.content
        if verb == "RPUSH":
            content.lists.setdefault(place, []).extend(words)
        elif verb == "SET":
            _once(content.strings, place)
            content.strings[place] = words[0]
        elif verb == "SADD":
            members = content.sets.setdefault(place, set())
            for word in words:
                _once(members, word)
                members.add(word)
        elif verb == "HSET":
            values = content.hashes.setdefault(place, {})
            for name, value in zip(words[::2], words[1::2], strict=True):
                _once(values, name)
                values[name] = value
        else:
            scores = content.zsets.setdefault(place, {})
            for score, member in zip(words[::2], words[1::2], strict=True):
                _once(scores, member)
                scores[member] = whole(score)

    def _add_entry(self, place: Place, words: list[bytes]) -> None:
        if place in self._closed:
            raise Fault("XADD after the XSETID of its stream")
        stream = self.content.streams.setdefault(place, Stream({}))
        if tuple(words[:2]) == _EMPTY:
            if stream.entries or len(words) != 5:
                raise Fault("XADD with MAXLEN is for an empty stream only")
            stream.last = words[2]
            return
        if len(words) < 3 or len(words) % 2 == 0:
            raise Fault("XADD has a wrong number of words")
        _once(stream.entries, words[0])
        stream.entries[words[0]] = tuple(words[1:])
        stream.last = words[0]
        stream.added += 1

    def _close_stream(self, place: Place, words: list[bytes]) -> None:
        stream = self.content.streams.get(place)
        if stream is None or place in self._closed:
            raise Fault("XSETID without the XADD of its stream, or a second time")
        if len(words) != 5 or words[1] != b"ENTRIESADDED" or words[3] != b"MAXDELETEDID":
            raise Fault("XSETID has other words than a save writes")
        self._closed.add(place)
        stream.last, stream.added, stream.deleted = words[0], whole(words[2]), words[4]


def _once(there: object, item: object) -> None:
    if item in there:  # type: ignore[operator]
        raise Fault(f"{shown(item)} is said twice")


def whole(raw: bytes) -> int:
    """The number of a score; `Fault` for any that is not a whole one."""
    if _SCORE.fullmatch(raw) is None:
        raise Fault(f"{shown(raw)} is no whole number")
    return int(raw)
