"""What a person wrote in the plan stays as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinytown.errors import Conflict, NotFound
from tinytown.plan import DEFAULT_PLAN, InvalidPlan, parse_plan
from tinytown.runtime.plan_file import LARGEST, Standing, init_plan, plan_path, read_plan, updated, write_plan

TEXT = """\
# Our plan
[meta]
description = "Sprint"   # this one

# first the API
[[tasks]]
description = "Build it"
id = "api"  # the id
status = "pending"  # as it was

# then its tests
[[tasks]]
id = "tests"
description = '''
Write
them'''
depends_on = [
  "api",  # of course
]
# the end
"""

AFTER = """\
# Our plan
[meta]
description = "Sprint"   # this one

# first the API
[[tasks]]
description = "Build it"
id = "api"  # the id
status = "completed"  # as it was
agent = "ada"
result = "done"

# then its tests
[[tasks]]
id = "tests"
description = '''
Write
them'''
depends_on = [
  "api",  # of course
]
status = "running"
# the end
"""


def brought(text: str, standings: dict[str, Standing], *added: tuple[str, Standing]) -> str:
    after = updated(text, parse_plan(text), standings, added)
    parse_plan(after)
    return after


def test_comments_and_order_stay_and_new_keys_stand_with_their_entry() -> None:
    standings = {"api": Standing("completed", "ada", "done"), "tests": Standing("running")}

    assert brought(TEXT, standings) == AFTER


def test_what_stands_there_already_changes_nothing() -> None:
    assert brought(AFTER, {"api": Standing("completed", "ada", "done"), "tests": Standing("running")}) == AFTER
    assert brought(TEXT, {}) == TEXT


def test_a_result_goes_when_the_task_has_none_any_more() -> None:
    assert "result" not in brought(AFTER, {"api": Standing("pending")})


def test_an_agent_is_written_only_where_it_differs() -> None:
    text = TEXT.replace("[meta]", '[meta]\ndefault_agent = "ada"')

    assert 'agent = "ada"\nstatus' not in brought(text, {"api": Standing("assigned", "ada")})
    assert 'agent = "bob"' in brought(text, {"api": Standing("assigned", "bob")})


def test_new_entries_follow_at_the_end_with_all_they_have() -> None:
    new = Standing(
        "failed",
        agent="ada",
        result="two\nlines",
        description="More",
        parent="api",
        depends_on=("api", "tests"),
        tags=("x",),
        review="rex",
        verify=("make test",),
    )
    text = brought(TEXT, {}, ("more", new), ("last", Standing("pending", description="Last")))

    assert text.startswith(TEXT)
    more, last = parse_plan(text).entries[2:]
    assert (more.agent, more.result, more.depends_on, more.tags) == ("ada", "two\nlines", ("api", "tests"), ("x",))
    assert (more.parent, more.review, more.verify, more.status) == ("api", "rex", ("make test",), "failed")
    assert (last.id, last.description, last.agent) == ("last", "Last", None)
    assert '\n\n[[tasks]]\nid = "last"' in text


@pytest.mark.parametrize("text", ["", '[meta]\ndescription = "x"\n', "tasks = []\n", "# nothing\n"])
def test_entries_are_added_to_a_plan_that_has_none(text: str) -> None:
    after = brought(text, {}, ("a", Standing("pending", description="A")), ("b", Standing("pending", description="B")))

    assert [entry.id for entry in parse_plan(after).entries] == ["a", "b"]


def test_inline_entries_stay_inline() -> None:
    text = 'tasks = [{ id = "a", description = "A" }]\n'
    after = brought(text, {"a": Standing("running")}, ("b", Standing("pending", description="B")))

    assert [(entry.id, entry.status.value) for entry in parse_plan(after).entries] == [
        ("a", "running"),
        ("b", "pending"),
    ]


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip))
@example("first\r\nsecond")
def test_any_text_comes_back_as_it_was(text: str) -> None:
    after = brought(TEXT, {"api": Standing("completed", result=text)}, ("new", Standing("pending", description=text)))
    api, _, new = parse_plan(after).entries

    assert (api.result, new.description) == (text, text)


# On the disk.


def test_a_plan_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "tasks.toml"
    with pytest.raises(NotFound, match=r"There is no tasks\.toml here"):
        read_plan(path)
    init_plan(path)
    assert read_plan(path) == DEFAULT_PLAN
    path.write_text("# mine\n")
    with pytest.raises(Conflict, match="is there already"):
        init_plan(path)
    assert read_plan(path) == "# mine\n"


def test_writing_keeps_who_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tasks.toml"
    write_plan(path, "# new\n")
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    write_plan(path, "# again\n")

    assert (path.read_text(), path.stat().st_mode & 0o777) == ("# again\n", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["tasks.toml"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.toml"
    path.write_bytes(b"# \xff")
    with pytest.raises(InvalidPlan, match=r"not valid UTF-8 \(byte 2\)"):
        read_plan(path)
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InvalidPlan, match="has more than"):
        read_plan(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InvalidPlan, match="cannot be read"):
        read_plan(path)


def test_without_a_town_the_plan_is_in_the_directory_itself(tmp_path: Path) -> None:
    assert plan_path(tmp_path, environ=os.environ) == tmp_path / "tasks.toml"


def test_in_a_town_the_plan_is_at_its_root(made: Path) -> None:
    (made / "deep" / "down").mkdir(parents=True)

    assert plan_path(made / "deep" / "down", environ=os.environ) == made / "tasks.toml"
