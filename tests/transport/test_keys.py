"""The catalogue of keys."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.ids import is_id
from tinytown.messages import LANES
from tinytown.transport.keys import CATALOGUE, LANE_KEYS, Key, Keys, escape, lua_names, town_of


def test_keys_are_spelled_as_the_manual_says() -> None:
    keys = Keys("my-project")

    assert keys("agent", "a1") == "tt:my-project:agent:a1"
    assert keys("task", "t1") == "tt:my-project:task:t1"
    assert keys.lanes("a1") == [f"tt:my-project:{lane}:a1" for lane in ("urgent", "high", "inbox", "low")]
    assert keys("broadcast") == "tt:my-project:broadcast"
    assert keys("mission", "m1") == "tt:my-project:mission:m1"
    assert [keys(f"mission_{each}", "m1") for each in ("work", "watch", "events")] == [
        f"tt:my-project:mission:m1:{each}" for each in ("work", "watch", "events")
    ]
    assert keys("mission_active") == "tt:my-project:mission:active"


def test_there_is_a_lane_key_for_each_priority_in_the_order_of_reading() -> None:
    assert [name.replace("inbox", "normal") for name in LANE_KEYS] == list(LANES)


def test_no_two_rows_can_give_the_same_key() -> None:
    names = [key.name for key in CATALOGUE]
    assert len(set(names)) == len(names)

    for key in CATALOGUE:
        assert key.suffix.endswith(":") == bool(key.per)
        for other in CATALOGUE:
            if other is not key and key.per and other.suffix.startswith(key.suffix):
                # Then they are of the same things, or one of them is no id of such a thing.
                assert (other.suffix == key.suffix and other.per == key.per and other.tail != key.tail) or (
                    not other.per and not is_id(other.suffix.removeprefix(key.suffix))
                )


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


@given(st.text(min_size=1), st.sampled_from(CATALOGUE), st.text(min_size=1))
def test_a_key_tells_its_town_its_row_and_its_last_part(town: str, row: Key, part: str) -> None:
    # What has several keys is called by an id; its end is told from theirs.
    part = str(uuid5(NAMESPACE_OID, part)) if row.per == "mission" else part if row.per else ""
    keys = Keys(town)

    assert town_of(keys(row.name, part)) == town
    assert keys.find(keys(row.name, part)) == (row, part)
    assert Keys(town + "x").find(keys(row.name, part)) is None


@pytest.mark.parametrize("key", ["", "x", "tt:", "tt::id", "tt:a", "tt:%61:id", "tt:a%3a:id", "tt:%FF:id", "tt:*:id"])
def test_what_is_no_key_of_a_town_tells_none(key: str) -> None:
    assert town_of(key) is None


def test_scripts_get_the_names_they_use_and_no_others() -> None:
    code = "redis.call('LLEN', K_inbox(agent)) redis.call('SADD', K_ready, agent) K_inbox(x) K_mission_work(m)"

    assert lua_names(code).splitlines() == [
        "local function K_inbox(part) return KEYS[1] .. 'inbox:' .. part end",
        "local K_ready = KEYS[1] .. 'ready'",
        "local function K_mission_work(part) return KEYS[1] .. 'mission:' .. part .. ':work' end",
    ]


def test_a_script_cannot_use_a_key_that_is_not_in_the_catalogue() -> None:
    with pytest.raises(KeyError):
        lua_names("redis.call('GET', K_secret)")
