"""Texts that come in: cleaned, not empty, not too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import Invalid, TooLarge
from tinytown.text import clean_text

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


def checked_text(text: str, town: Town, *, what: str) -> str:
    """The text as it is stored; `Invalid` for an empty one, `TooLarge` above what one message may have."""
    cleaned = clean_text(text)
    if not cleaned.strip():
        raise Invalid(f"The {what} is empty")
    return fitting(cleaned, town, what=what)


def fitting(text: str, town: Town, *, what: str) -> str:
    """The text, if it is not larger than one message may be; else `TooLarge`."""
    size, most = len(text.encode()), town.settings.limits.message_bytes
    if size > most:
        raise TooLarge(
            f"The {what} has {size:,} bytes; it may have {most:,}",
            hint="Write long content to a file and name the file, or raise [limits] message_bytes.",
        )
    return text
