"""What a CLI prints, made fit to be kept and to be shown.

Nothing here lets an escape sequence through: `plain_text` is for text that is stored, `LiveText` for a terminal.
"""

from __future__ import annotations

import codecs
import re

from tinytown.text import clean_text, term_safe

# ECMA-48 control sequences; OSC, DCS, SOS, PM and APC strings up to their terminator; two-character escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n|$)")
_MAX_LINE = 8192


def strip_escapes(text: str) -> str:
    """The text without colours, cursor movements and other terminal commands."""
    return _ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text else text


def plain_text(output: bytes, limit: int) -> str:
    """Output as text to keep: UTF-8, no escapes, progress lines as they looked at last, the last `limit` bytes."""
    text = strip_escapes(output.decode("utf-8", "replace")).replace("\r\n", "\n")
    if "\r" in text:
        text = _OVERWRITTEN.sub("", text).replace("\r", "\n")
    text = clean_text(text).strip()
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[-limit:].decode("utf-8", "ignore").lstrip()


class LiveText:
    """Turns pieces of output into whole harmless lines, for a terminal.

    Whole lines, because a sequence cut in two by the border of a piece would pass every filter. A line beyond
    8 KiB is shown in parts.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, piece: bytes) -> str:
        """The lines that this piece completes; may be empty."""
        self._rest += self._decoder.decode(piece)
        end = self._rest.rfind("\n") + 1
        if not end and len(self._rest) > _MAX_LINE:
            end = len(self._rest)
        done, self._rest = self._rest[:end], self._rest[end:]
        return _shown(done)

    def end(self) -> str:
        """What is left when the output has ended."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return _shown(rest)


def _shown(text: str) -> str:
    text = strip_escapes(text).replace("\r\n", "\n")
    return term_safe(_OVERWRITTEN.sub("", text) if "\r" in text else text)
