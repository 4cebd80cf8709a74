"""Text at the borders: what may be stored, what may reach a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.text import clean_text, nearest, one_line, term_safe

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""

# All of Unicode, surrogates too, with what does harm made frequent.
HARMFUL = (
    "\u061c\u2028\u2029\ufffa\U000e0041\0\x07\x08\r\x1b\x7f\x80"
    "\x9b\x9d\u200b\u200e\u200f\u202a\u202d\u202e\u2066\u2069\ufeff\ud800\udfff"
)
ANY = st.text(st.one_of(st.characters(exclude_categories=()), st.sampled_from(HARMFUL + "\n\t[]m;")))

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@UNTIMED
@given(ANY)
def test_no_control_and_no_deceiving_character_reaches_a_terminal(text: str) -> None:
    shown = term_safe(text)
    for char in shown:
        assert char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(char) not in BIDI
        assert char not in "\u061c\u2028\u2029\ufffa\U000e0041\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
    shown.encode("utf-8")


@UNTIMED
@given(ANY)
def test_one_line_is_one_line_of_at_most_its_width(text: str) -> None:
    shown = one_line(text, 20)
    assert len(shown) <= 20
    assert not set(shown) & set("\n\t\r\x1b\u2028\u2029\x85\x0b\x0c")
    assert len(shown.splitlines()) <= 1


@UNTIMED
@given(ANY)
def test_text_without_lines_stays_on_one_line(text: str) -> None:
    assert len(term_safe(text, lines=False).splitlines()) <= 1
    assert "\t" not in term_safe(text, lines=False)


@UNTIMED
@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=HARMFUL)))
def test_harmless_text_is_shown_as_it_is(text: str) -> None:
    assert term_safe(text) == text


@UNTIMED
@given(ANY)
def test_cleaned_text_can_be_stored(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert "\0" not in cleaned
    assert "\r\n" not in cleaned
    assert clean_text(cleaned) == cleaned


@UNTIMED
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")))
def test_cleaning_changes_nothing_else(text: str) -> None:
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("\x1b]8;;http://x\x07", "\\x1b]8;;http://x\\x07"),
        ("a\x9b2Jb", "a\\x9b2Jb"),
        ("user\u202etxt.exe", "user\\u202etxt.exe"),
        ("a\nb\tc", "a\nb\tc"),
        ("progress 1\rprogress 2", "progress 1\\x0dprogress 2"),
        ("\ud800", "\\ud800"),
        ("a\U000e0041", "a\\U000e0041"),
        ("a\u2028b", "a\\u2028b"),
        ("ü 日本 🏘️", "ü 日本 🏘️"),
    ],
)
def test_what_is_taken_out_stays_visible(text: str, shown: str) -> None:
    assert term_safe(text) == shown


def test_lines_become_single_spaces_where_one_line_is_wanted() -> None:
    assert term_safe("a\nb\tc", lines=False) == "a b c"
    assert one_line("  a\n\n  b  ", 20) == "a b"


def test_what_was_left_out_of_a_line_is_marked() -> None:
    assert one_line("abcdefghij", 10) == "abcdefghij"
    assert one_line("abcdefghijk", 10) == "abcdefg..."


def test_line_ends_become_newlines_and_unstorable_characters_are_marked() -> None:
    assert clean_text("a\r\nb\0c\ud800d") == "a\nb\ufffdc\ufffdd"
    assert clean_text("a\r\r\nb\rc\r") == "a\nb\rc\r"
    assert clean_text("form\x0cfeed") == "form\x0cfeed"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("sned", "send"), ("--rol", "--role"), ("rol", "--role"), ("--frob", None), ("stalls", None), ("s" * 10**6, None)],
)
def test_what_was_meant_is_guessed_from_much_likeness_only(word: str, meant: str | None) -> None:
    assert nearest(word, ["send", "status", "--role", "--rounds"]) == meant
