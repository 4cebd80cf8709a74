"""What CLIs print, cleaned for the store and for the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.actors.output import LiveText, plain_text, strip_escapes


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (b"  hello\n\n", "hello"),
        (b"\x1b[1;31mred\x1b[0m and \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "red and link"),
        (b"10%\r50%\r100%\ndone\r\n", "100%\ndone"),
        (b"spinning\r", "spinning"),
        (b"bad \xff\xfe bytes \x00", "bad \ufffd\ufffd bytes \ufffd"),
        ("héllo \u202e".encode(), "héllo \u202e"),
        (b"", ""),
    ],
)
def test_output_becomes_plain_text(output: bytes, text: str) -> None:
    assert plain_text(output, 1000) == text


def test_long_output_keeps_its_end_and_no_half_character() -> None:
    assert plain_text("ü".encode() * 100, 11) == "ü" * 5


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_bring_a_control_character_to_the_terminal(pieces: list[bytes]) -> None:
    live = LiveText()
    shown = "".join(map(live.feed, pieces)) + live.end()
    assert all(char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) for char in shown)


@given(st.text(), st.integers(0, 50))
def test_the_border_between_two_pieces_changes_nothing(text: str, cut: int) -> None:
    data = text.encode("utf-8", "replace")
    whole, halves = LiveText(), LiveText()
    expected = whole.feed(data) + whole.end()
    assert halves.feed(data[:cut]) + halves.feed(data[cut:]) + halves.end() == expected


def test_a_line_without_end_is_shown_in_parts() -> None:
    live = LiveText()
    assert live.feed(b"x" * 8000) == ""
    assert len(live.feed(b"x" * 8000)) == 16000


def test_text_without_escapes_is_left_as_it_is() -> None:
    assert strip_escapes("a [31m b") == "a [31m b"
