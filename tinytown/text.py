"""Text that crosses a border: cleaned on the way in, made harmless on the way to a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ALIKE = 0.7
"""How much of two words must agree, from 0 to 1, before one is taken for a slip in the other: `sned` for `send` is
0.75, and `frob` for `role`, which only share two letters, 0.5."""

_LONGEST_SLIP = 100
"""Characters of a word up to which it is compared: that takes the square of its length."""

_KEPT_CONTROLS = "\n\t"

# Marks that reorder what a reader sees ("Trojan source", CVE-2021-42574), characters of no width that hide text
# (the tags from U+E0000 spell ASCII invisibly), and line ends that only some programs know.
_DECEIVING = frozenset(
    chr(code)
    for first, last in (
        (0x061C, 0x061C),
        (0x200B, 0x200F),
        (0x2028, 0x202E),
        (0x2060, 0x2064),
        (0x2066, 0x2069),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0xE0000, 0xE007F),
    )
    for code in range(first, last + 1)
)


def _is_control(char: str) -> bool:
    code = ord(char)
    return code < 0x20 or 0x7F <= code < 0xA0


def clean_text(text: str) -> str:
    """The text as it may be stored: line ends become `\\n`, NUL and lone surrogates become U+FFFD.

    Other control characters stay, since they may be meant (a form feed in source text); `term_safe` deals with
    them where they could do harm.
    """
    if "\r\n" in text:
        # Not `replace`: it would make a new "\r\n" out of "\r\r\n".
        *lines, last = text.split("\n")
        text = "\n".join([*(line.rstrip("\r") for line in lines), last])
    if text.isascii() and "\0" not in text:
        return text
    return "".join("\ufffd" if char == "\0" or 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


def term_safe(text: str, *, lines: bool = True) -> str:
    """The text as it may be written to a terminal: no escape sequence, no deceiving mark reaches it raw.

    Such characters show as `\\x1b` or `\\u202e`. With `lines=False` line ends and tabs become single spaces.
    """
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    for char in text:
        if char in _KEPT_CONTROLS:
            out.append(char if lines else " ")
        elif _is_control(char):
            out.append(f"\\x{ord(char):02x}")
        elif char in _DECEIVING or 0xD800 <= ord(char) <= 0xDFFF:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
        else:
            out.append(char)
    return "".join(out)


def one_line(text: str, width: int) -> str:
    """The first `width` characters of the text as one safe line, with `...` where something was left out."""
    flat = " ".join(text.split())
    shown = term_safe(flat, lines=False)
    return shown if len(shown) <= width else shown[: max(0, width - 3)] + "..."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """That of the known words which was probably meant by one that is not known; None when none is much like it."""
    from difflib import get_close_matches

    if len(word) > _LONGEST_SLIP:
        return None
    # Dashes are no likeness: all options have them.
    bare = {each.lstrip("-"): each for each in known}
    found = get_close_matches(word.lstrip("-"), bare, n=1, cutoff=ALIKE)
    return bare[found[0]] if found else None
