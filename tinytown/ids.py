"""Names and ids: what they look like, how a person may abbreviate them.

Ids are UUIDs in their usual 36-character text form. They are made from the operating system's random bytes
directly, because importing `uuid` costs `tt` a third of its start-up.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NewType, TypeVar

from tinytown.errors import AmbiguousId, InvalidName
from tinytown.text import term_safe

if TYPE_CHECKING:
    from collections.abc import Iterable

AgentId = NewType("AgentId", str)
TaskId = NewType("TaskId", str)
MessageId = NewType("MessageId", str)
MissionId = NewType("MissionId", str)
WorkItemId = NewType("WorkItemId", str)
WatchId = NewType("WatchId", str)
RuntimeId = NewType("RuntimeId", str)

SUPERVISOR_ID = AgentId("00000000-0000-0000-0000-000000000001")
"""The well-known id of the mailbox that the person and the conductor read."""

SUPERVISOR_NAMES = ("supervisor", "conductor")
"""Reserved names; both address the supervisor's mailbox."""

MIN_PREFIX = 4
"""The shortest abbreviation of an id: below it, one character typed wrong too easily names another record."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PREFIX = re.compile(r"[0-9a-f][0-9a-f-]*")
_AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
AGENT_NAME = f"^{_AGENT_NAME.pattern}$"
"""What a name looks like, for those who want to know before they ask."""
_TOWN_NAME_LIMIT = 100

_Id = TypeVar("_Id", bound=str)


def new_id() -> str:
    """A fresh random UUID (version 4)."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(text: str) -> bool:
    """Whether the text is a whole id."""
    return _UUID.fullmatch(text) is not None


def ids_in(text: str) -> list[str]:
    """The ids that a text mentions."""
    return _UUID.findall(text)


def short(identifier: str) -> str:
    """The form for people: the first eight characters."""
    return identifier[:8]


def agent_name(text: str) -> str:
    """The text, if an agent may be called so; else `InvalidName`.

    A name is a file name, part of a key and an argument on a command line at once; the rule keeps it harmless
    in each of these places.
    """
    if text in SUPERVISOR_NAMES:
        raise InvalidName(
            f"Agent name '{text}' is reserved: it addresses the conductor's mailbox",
            hint="Choose another name.",
        )
    if _AGENT_NAME.fullmatch(text) is None:
        raise InvalidName(
            f"Agent name '{_shown(text)}' cannot be used",
            hint="A name has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or a digit.",
        )
    return text


def town_name(text: str) -> str:
    """The text, if a town may be called so; else `InvalidName`."""
    if not text.strip() or not text.isprintable() or len(text) > _TOWN_NAME_LIMIT:
        raise InvalidName(
            f"Town name '{_shown(text)}' cannot be used",
            hint=f"A name has 1 to {_TOWN_NAME_LIMIT} printable characters.",
        )
    return text


def resolve(wanted: str, candidates: Iterable[_Id]) -> _Id | None:
    """The one id that `wanted` names, in full or by a unique prefix; None if there is none.

    Raises `AmbiguousId`, listing the matches, when a prefix fits several.
    """
    lowered = wanted.lower()
    if len(lowered) < MIN_PREFIX or _PREFIX.fullmatch(lowered) is None:
        return None
    matches = sorted(candidate for candidate in candidates if candidate.startswith(lowered))
    if len(matches) > 1:
        raise AmbiguousId(f"'{wanted}' fits {len(matches)} ids: {', '.join(matches[:10])}")
    return matches[0] if matches else None


def _shown(text: str) -> str:
    return term_safe(text[:40], lines=False) + ("..." if len(text) > 40 else "")
