"""What a field of a request may hold, said where the field is.

Whoever declares an operation says it once: the registry refuses the rest before the operation begins, and the faces
show it in their schemas.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytown.errors import Invalid
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = "whole"
_KEYWORDS = "keywords"

PLACE = "^[0-9]{1,15}(-[0-9]{1,15})?$"
"""The id of an entry in a stream, such as an event; 0 is its beginning."""


class Whole(NamedTuple):
    """A whole number and its range; `what` is how a refusal calls it."""

    what: str
    least: int
    most: int


def whole(what: str, least: int, most: int, *, default: int | None) -> Any:
    """A field that is a whole number from `least` to `most`. None, where the type has it, is always good."""
    return field(default=default, metadata={_WHOLE: Whole(what, least, most)})


def shown(keywords: Mapping[str, object], default: object = MISSING) -> Any:
    """A field with keywords of JSON Schema for what the operation itself checks of it."""
    return field(default=default, metadata={_KEYWORDS: keywords})


def words() -> Any:
    """A field with a text that is not blank."""
    # What `str.strip` takes away, in the regular expressions of any language.
    return shown({"pattern": r"[^\s\x1c-\x1f\x85]"})


def label(most: int) -> Any:
    """A field with None or a label: up to `most` printable characters, and not only blanks."""
    return shown(_label(most), None)


def labels(most: int, longest: int) -> Any:
    """A field with up to `most` labels of up to `longest` characters."""
    return shown({"maxItems": most, "items": {"type": "string", **_label(longest)}}, ())


def each(form: str) -> Any:
    """A field with texts that all have this form."""
    return shown({"items": {"type": "string", "format": form}}, ())


def place() -> Any:
    """A field with None or the id of an entry in a stream."""
    return shown({"pattern": PLACE}, None)


def _label(most: int) -> Mapping[str, object]:
    return {"format": "label", "minLength": 1, "maxLength": most}


def whole_of(metadata: Mapping[str, Any]) -> Whole | None:
    """What the metadata of a field says of its range."""
    return metadata.get(_WHOLE)


def keywords_of(metadata: Mapping[str, Any]) -> Mapping[str, object]:
    """The keywords of a field, for its schema."""
    found: Mapping[str, object] = metadata.get(_KEYWORDS, {})
    return found


def checked_place(given: str | None, what: str) -> str | None:
    """The id of an entry in a stream; `Invalid` for what cannot be one."""
    if given is not None and re.fullmatch(PLACE, given) is None:
        raise Invalid(f"'{what}' is no id of an event: {one_line(given, 60)}", hint="It looks like 1764067200000-0.")
    return given


def check_bounds(request: object) -> None:
    """Raise `Invalid` for a number out of its range."""
    for each in fields(request):  # type: ignore[arg-type]
        bounds = whole_of(each.metadata) if each.metadata else None
        if bounds is None:
            continue
        given = getattr(request, each.name)
        if given is not None and not bounds.least <= given <= bounds.most:
            raise Invalid(f"The {bounds.what} is {given}; expected {bounds.least:,} to {bounds.most:,}")
