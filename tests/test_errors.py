"""The tree of errors, as the head of its file draws it and as programs meet it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tinytown import errors
from tinytown.errors import TownError, first_cause

_DRAWN = re.compile(
    r"^ {4}(?P<bars>(?:│ {3}| {4})*)(?:├── |└── )?(?P<name>\w+)"
    r"(?: +(?P<status>\d{3}), exit (?P<exit>\d+))?(?: .*)?$"
)


def descendants(cls: type[TownError]) -> Iterator[type[TownError]]:
    yield cls
    for below in cls.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from descendants(below)


CLASSES = list(descendants(TownError))


def drawn() -> list[tuple[int, str, int | None, int | None]]:
    """Depth, name, HTTP status and exit status of each line of the drawing."""
    assert errors.__doc__ is not None
    lines = [line for line in errors.__doc__.splitlines() if line.startswith("    ")]
    out = []
    for line in lines:
        found = _DRAWN.match(line)
        assert found is not None, line
        depth = len(found["bars"]) // 4 + (1 if "── " in line else 0)
        out.append(
            (
                depth,
                found["name"],
                int(found["status"]) if found["status"] else None,
                int(found["exit"]) if found["exit"] else None,
            )
        )
    return out


def test_the_drawing_at_the_head_of_the_file_shows_every_class_below_its_parent() -> None:
    above: list[str] = []
    seen = []
    for depth, name, _, _ in drawn():
        del above[depth:]
        seen.append((name, above[-1] if above else None))
        above.append(name)
    assert seen == [(cls.__name__, cls.__bases__[0].__name__ if cls is not TownError else None) for cls in CLASSES]


def test_the_drawing_tells_the_statuses_and_what_it_leaves_out_is_inherited() -> None:
    inherited: list[tuple[int, int]] = []
    for depth, name, status, exit_code in drawn():
        cls = getattr(errors, name)
        del inherited[depth:]
        base = inherited[-1] if inherited else (TownError.http_status, TownError.exit_code)
        told = (base[0] if status is None else status, base[1] if exit_code is None else exit_code)
        assert (cls.http_status, cls.exit_code) == told, name
        inherited.append(told)


def test_every_class_has_a_code_of_its_own_that_follows_its_name() -> None:
    codes = [cls.__dict__["code"] for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    for cls in CLASSES:
        assert cls.code == re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_has_statuses_from_the_documented_sets_and_a_docstring(cls: type[TownError]) -> None:
    assert cls.exit_code in {1, 2, 3, 4, 130}
    assert 400 <= cls.http_status <= 599
    assert cls.__doc__


def example(cls: type[TownError]) -> TownError:
    if cls is errors.IllegalTransition:
        return errors.IllegalTransition("Task 1", now="completed", event="start")
    return cls("some words")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_reads_as_its_message_and_has_a_hint_that_can_be_replaced(cls: type[TownError]) -> None:
    error = example(cls)
    assert str(error) == error.message
    assert error.message
    assert error.hint == cls.default_hint
    with pytest.raises(TownError) as caught:
        raise error
    assert caught.value is error
    assert cls is errors.IllegalTransition or cls("some words", hint="do this").hint == "do this"


def test_errors_of_the_book_have_its_words() -> None:
    assert str(errors.RedisNotInstalled()) == (
        "Redis not found. Please install Redis 8.0+ and ensure 'redis-server' is on your PATH.\n"
        "See: https://redis.io/downloads/"
    )
    assert str(errors.RedisVersionTooOld("7.4")) == (
        "Redis version 7.4 is too old. Tinytown requires Redis 8.0 or later.\nSee: https://redis.io/downloads/"
    )
    assert str(errors.AgentNotFound("worker-99")) == "Agent not found: worker-99"
    assert str(errors.NotInitialized("/x")) == "Town not initialized at /x. Run 'tt init' first."


def test_an_illegal_transition_says_how_things_are() -> None:
    error = errors.IllegalTransition("Agent 'a'", now="stopped", event="begin")
    assert str(error) == "Agent 'a' is stopped: 'begin' is not possible now"
    assert (error.what, error.now, error.event) == ("Agent 'a'", "stopped", "begin")


def test_the_first_cause_is_found_inside_groups() -> None:
    cause = ZeroDivisionError()

    assert first_cause(ExceptionGroup("a", [ExceptionGroup("b", [cause, ValueError()])])) is cause
    assert first_cause(cause) is cause
