"""The catalogue of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.messages import LANES
from tinytown.transport.keys import CATALOGUE, LANE_KEYS, Keys, escape, lua_names


def test_keys_are_spelled_as_the_manual_says() -> None:
    keys = Keys("my-project")

    assert keys("agent", "a1") == "tt:my-project:agent:a1"
    assert keys("task", "t1") == "tt:my-project:task:t1"
    assert keys.lanes("a1") == [f"tt:my-project:{lane}:a1" for lane in ("urgent", "high", "inbox", "low")]
    assert keys("broadcast") == "tt:my-project:broadcast"


def test_there_is_a_lane_key_for_each_priority_in_the_order_of_reading() -> None:
    assert [name.replace("inbox", "normal") for name in LANE_KEYS] == list(LANES)


def test_no_two_rows_can_give_the_same_key() -> None:
    names = [key.name for key in CATALOGUE]
    assert len(set(names)) == len(names)

    for key in CATALOGUE:
        assert key.suffix.endswith(":") == bool(key.per)
        for other in CATALOGUE:
            if other is not key and key.per:
                assert not other.suffix.startswith(key.suffix)


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_keys_of_two_towns_never_meet(one: str, other: str) -> None:
    if one != other:
        assert not Keys(one).prefix.startswith(Keys(other).prefix)


@given(st.text(min_size=1))
def test_a_town_name_brings_no_separator_and_no_glob_into_a_key(town: str) -> None:
    assert not set(escape(town)) & set(":*?[]\\{} \n\t^")
    assert escape(town).isascii()


def test_a_key_takes_a_last_part_exactly_when_the_catalogue_says_so() -> None:
    keys = Keys("town")

    with pytest.raises(ValueError, match="takes an agent"):
        keys("inbox")
    with pytest.raises(ValueError, match="takes nothing more"):
        keys("ready", "a1")
    with pytest.raises(KeyError):
        keys("nonsense")


def test_scripts_get_the_names_they_use_and_no_others() -> None:
    code = "redis.call('LLEN', K_inbox(agent)) redis.call('SADD', K_ready, agent) K_inbox(x)"

    assert lua_names(code).splitlines() == [
        "local function K_inbox(part) return KEYS[1] .. 'inbox:' .. part end",
        "local K_ready = KEYS[1] .. 'ready'",
    ]


def test_a_script_cannot_use_a_key_that_is_not_in_the_catalogue() -> None:
    with pytest.raises(KeyError):
        lua_names("redis.call('GET', K_secret)")
