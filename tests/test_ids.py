"""Names and ids, and how they may be abbreviated."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.errors import AmbiguousId, InvalidName
from tinytown.ids import SUPERVISOR_ID, agent_name, is_id, new_id, resolve, short, town_name
from tinytown.text import term_safe

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""


def test_ids_are_random_uuids_of_version_4() -> None:
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, text)
        assert is_id(text)


def test_the_supervisors_id_is_an_id() -> None:
    assert is_id(SUPERVISOR_ID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c1",
        "5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c11\n",
        "5F0C7C1E-8D0A-4A3E-9D52-3B6F0E9A7C11",
        "g" * 36,
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not is_id(text)


def test_people_see_the_first_eight_characters() -> None:
    assert short("550e8400-e29b-41d4-a716-446655440000") == "550e8400"


@pytest.mark.parametrize("name", ["a", "worker-1", "A.b_c", "0", "x" * 64])
def test_harmless_agent_names_are_taken_as_they_are(name: str) -> None:
    assert agent_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-a",
        ".",
        "..",
        ".a",
        "_a",
        "a/b",
        "../a",
        "a b",
        "a\n",
        "a\0",
        "x" * 65,
        "ä",
        "a'b",
        'a"b',
        "a;b",
        "*",
        "a:b",
    ],
)
def test_names_that_could_do_harm_are_refused(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        agent_name(name)
    assert "1 to 64" in caught.value.hint


@pytest.mark.parametrize("name", ["supervisor", "conductor"])
def test_the_conductors_names_are_reserved(name: str) -> None:
    with pytest.raises(InvalidName, match="reserved"):
        agent_name(name)


@pytest.mark.parametrize("name", ["a", "My Awesome Project", "a*", "[ab]?", "日本", "x" * 100])
def test_any_printable_text_is_a_town_name(name: str) -> None:
    assert town_name(name) == name


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31m", "x" * 101, "a\u202eb", "\ud800"])
def test_what_cannot_be_printed_is_no_town_name(name: str) -> None:
    with pytest.raises(InvalidName):
        town_name(name)


@UNTIMED
@given(st.text())
def test_a_refusal_can_be_printed_and_is_short(name: str) -> None:
    for rule in (agent_name, town_name):
        try:
            rule(name)
        except InvalidName as error:
            told = str(error) + error.hint
        else:
            told = ""
        assert term_safe(told, lines=False) == told
        assert len(told) < 500


IDS = ["11110000-0000-4000-8000-000000000000", "11112222-0000-4000-8000-000000000000", SUPERVISOR_ID]


def test_a_whole_id_and_a_unique_prefix_resolve() -> None:
    assert resolve(IDS[0], IDS) == IDS[0]
    assert resolve("11112", IDS) == IDS[1]
    assert resolve("11112222-0", IDS) == IDS[1]
    assert resolve("0000", IDS) == IDS[2]
    assert resolve(IDS[0].upper(), IDS) == IDS[0]


@pytest.mark.parametrize("wanted", ["", "111", "zzzz", "11113", "----", "1111*", IDS[0] + "0"])
def test_what_fits_nothing_or_is_too_short_resolves_to_nothing(wanted: str) -> None:
    assert resolve(wanted, IDS) is None


def test_an_ambiguous_prefix_lists_what_it_fits() -> None:
    with pytest.raises(AmbiguousId) as caught:
        resolve("1111", IDS)
    assert "fits 2 ids" in str(caught.value)
    assert IDS[0] in str(caught.value)
    assert IDS[1] in str(caught.value)


def test_the_list_of_matches_stays_readable() -> None:
    with pytest.raises(AmbiguousId) as caught:
        resolve("0000", [f"0000{n:04d}-0000-4000-8000-000000000000" for n in range(500)])
    assert "fits 500 ids" in str(caught.value)
    assert len(str(caught.value)) < 500


@UNTIMED
@given(st.lists(st.uuids(version=4).map(str), min_size=1, max_size=20, unique=True), st.data())
def test_every_id_of_a_list_resolves_to_itself(ids: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(ids))
    assert resolve(wanted, ids) == wanted
