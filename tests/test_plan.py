"""A plan is read whole, or refused with the line and the key that are wrong."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytown.lifecycle import TaskState
from tinytown.plan import DEFAULT_PLAN, InvalidPlan, parse_plan, plan_tag

BOOK = """
[meta]
description = "Sprint 1 tasks"
default_agent = "developer"  # Optional default

[[tasks]]
id = "auth-api"
description = "Build user authentication API"
agent = "backend"
status = "pending"
tags = ["auth", "api"]

[[tasks]]
id = "auth-tests"
description = "Write auth API tests"
agent = "tester"
status = "pending"
parent = "auth-api"  # Optional parent task
depends_on = ["auth-api"]

[[tasks]]
id = "auth-review"
description = "Review auth implementation"
after = ["auth-tests"]
review = "conductor"
verify = ["make test"]
status = "completed"
result = "fine"
"""


def refusal(text: str) -> str:
    with pytest.raises(InvalidPlan) as caught:
        parse_plan(text)
    return caught.value.message


def entry(*lines: str, plan_id: str = "a") -> str:
    return "\n".join(["[[tasks]]", f'id = "{plan_id}"', 'description = "d"', *lines, ""])


def test_the_plan_of_the_book_is_understood() -> None:
    plan = parse_plan(BOOK)
    api, tests, review = plan.entries

    assert (plan.description, plan.default_agent) == ("Sprint 1 tasks", "developer")
    assert (api.id, api.agent, api.tags, api.line, api.status) == (
        "auth-api", "backend", ("auth", "api"), 6, TaskState.PENDING,
    )  # fmt: skip
    assert (tests.parent, tests.depends_on) == ("auth-api", ("auth-api",))
    assert (review.agent, review.depends_on, review.review) == ("developer", ("auth-tests",), "conductor")
    assert (review.verify, review.status, review.result) == (("make test",), TaskState.COMPLETED, "fine")
    assert plan.stages() == [["auth-api"], ["auth-tests"], ["auth-review"]]
    assert plan.needs == {"auth-api": (), "auth-tests": ("auth-api",), "auth-review": ("auth-tests",)}


def test_the_example_is_a_plan() -> None:
    (example,) = parse_plan(DEFAULT_PLAN).entries

    assert (example.id, example.agent, example.tags) == ("example-1", None, ("example",))


def test_an_empty_file_is_an_empty_plan() -> None:
    assert parse_plan("").entries == ()


def test_a_parent_makes_no_order() -> None:
    plan = parse_plan(entry() + entry('parent = "a"', plan_id="b"))

    assert plan.stages() == [["a", "b"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks = [", "not readable as TOML"),
        ("[other]\n", "unknown key 'other'"),
        ("meta = 5\n", "meta must be a table"),
        ("[meta]\nowner = 'x'\n", "meta.owner: expected one of default_agent, description"),
        ("[meta]\ndescription = 5\n", "meta.description: expected a text"),
        ("[meta]\ndefault_agent = '../x'\n", "line 1: meta.default_agent: Agent name '../x' cannot be used"),
        ("tasks = 5\n", "tasks must be written as [[tasks]]"),
        ("\n[[tasks]]\ndescription = 'd'\n", "line 2: id: is missing"),
        ("[[tasks]]\nid = 'a'\n", "line 1: description: is missing"),
        (entry("agent = 5"), "line 1: agent: expected a text that is not empty"),
        (entry('agent = " "'), "line 1: agent: expected a text that is not empty"),
        (entry('agent = "a b"'), "line 1: agent: Agent name 'a b' cannot be used"),
        (entry('review = "-x"'), "line 1: review: Agent name '-x' cannot be used"),
        (entry('tags = "x"'), "line 1: tags: expected a list of texts"),
        (entry("tags = [5]"), "line 1: tags: expected a list of texts"),
        (entry('verify = [""]'), "line 1: verify: expected a list of texts"),
        (entry('colour = "red"'), "line 1: colour: unknown key; known are id, description"),
        (entry('status = "done"'), "line 1: status: 'done' is none of pending, assigned"),
        (entry(plan_id="a b"), "line 1: id: expected up to 100 letters"),
        (entry() + entry(), "line 4: id: 'a' stands in line 1 already"),
        (entry('depends_on = ["b"]'), "line 1: depends_on: there is no task 'b' in this plan"),
        (entry('parent = "b"'), "line 1: parent: there is no task 'b' in this plan"),
        (entry('after = ["a"]'), "line 1: depends_on: a cycle: a → a"),
        (entry('parent = "a"'), "line 1: parent: a cycle: a → a"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_key(text: str, said: str) -> None:
    assert refusal(text).startswith("tasks.toml: ")
    assert said in refusal(text)


def test_where_a_line_cannot_be_known_none_is_named() -> None:
    inline = 'tasks = [{ id = "a" }]'
    inside = """[[tasks]]\nid = "a"\ndescription = '''\n[[tasks]]\n'''\nstatus = "done"\n"""

    assert refusal(inline) == "tasks.toml: description: is missing"
    assert refusal(inside).startswith("tasks.toml: status: 'done'")


def test_a_cycle_is_shown_as_a_path() -> None:
    text = (
        entry('after = ["c"]')
        + entry('depends_on = ["a"]', plan_id="b")
        + entry('depends_on = ["b"]', plan_id="c")
        + entry('depends_on = ["c"]', plan_id="d")
    )

    assert "line 1: depends_on: a cycle: a → c → b → a" in refusal(text)


def test_nothing_from_a_file_reaches_the_terminal_raw() -> None:
    evil = "\\u001b]0;owned\\u0007"
    for text in (entry(f'"{evil}" = "x"'), entry(f'status = "{evil}"'), entry(f'parent = "{evil}"')):
        assert "\x1b" not in refusal(text)


@given(st.text(max_size=200))
def test_any_text_is_a_plan_or_refused(text: str) -> None:
    with suppress(InvalidPlan):
        parse_plan(text)


def test_the_tag_of_a_task_names_its_plan_id() -> None:
    assert plan_tag("auth-api") == "plan:auth-api"
