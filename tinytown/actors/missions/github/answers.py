"""What the body of an answer says. No I/O.

What must be true: null in the data of a query stands for what is not there, or may not be read, only where GitHub says
so; any other null says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.actors.missions.github.failures import GitHubFailed, GitHubUnsupported
from tinytown.text import one_line

if TYPE_CHECKING:
    from tinytown.messages import JsonObject, JsonValue

_ABSENT = frozenset({"NOT_FOUND", "FORBIDDEN", "INSUFFICIENT_SCOPES"})
"""What the errors of a query call what is not there, or not to be read: the answer, and no illness."""

_ENTRY = 2
"""How long the path to an entry of our queries is: its repository, and what is found there."""

_OLDER = "undefinedField"
"""What they call a field that this GitHub does not have yet."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a query gave: null for what is not there or may not be read.

    `failed` are the names at its top of which GitHub could not give all this time, so a null there says nothing;
    `absent` are those of which it says that they are not there, or may not be read.
    """

    value: JsonObject
    failed: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


def data_of(value: JsonValue) -> Data:
    """What the answer to a query says; `GitHubFailed` when that is nothing, `GitHubUnsupported` when it never will."""
    answer = value if isinstance(value, dict) else {}
    errors = objects(answer.get("errors"))
    data = answer.get("data")
    if isinstance(data, dict):
        absent = frozenset(_place(each) for each in errors if _tells_absence(each))
        failed = frozenset(_place(each) for each in errors if not _tells_absence(each))
        if "" not in absent | failed:
            return Data(data, failed, absent - failed)
    text = f"GitHub could not answer a query: {reason(value)}"
    if any(
        object_of(each, "extensions").get("code") == _OLDER or text_of(each.get("type")) in _ABSENT for each in errors
    ):
        raise GitHubUnsupported(text, status=422)
    raise GitHubFailed(text)


def _place(error: JsonObject) -> str:
    """The name at the top of the data that an error is about; nothing when it is about the whole."""
    path = error.get("path")
    return str(path[0]) if isinstance(path, list) and path else ""


def _tells_absence(error: JsonObject) -> bool:
    """It is of a whole entry. Where a part is hidden, its checks, say, the rest must not be taken for all."""
    path = error.get("path")
    return text_of(error.get("type")) in _ABSENT and isinstance(path, list) and len(path) <= _ENTRY


def limited(value: JsonValue) -> bool:
    """Whether the answer to a query is that of a rate limit, which comes as a success."""
    errors = objects(value.get("errors")) if isinstance(value, dict) else []
    return any(error.get("type") == "RATE_LIMITED" for error in errors)


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; nothing when it is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def object_of(value: JsonValue, name: str) -> JsonObject:
    """The object under a name; an empty one when there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def text_of(value: JsonValue) -> str | None:
    """The text; None for an empty one and for anything else."""
    return value if isinstance(value, str) and value else None


def reason(value: JsonValue) -> str:
    """What an answer gives for a reason."""
    found = value if isinstance(value, dict) else {}
    errors = found.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict) and "message" in errors[0]:
        return one_line(str(errors[0]["message"]), 200)
    return one_line(str(found.get("message") or "no reason given"), 200)
