"""The plain forms of the hot commands, read by hand, because importing the grammar costs five times the rest.

What must be true: whatever this accepts, the grammar reads in the same way (`tests/cli/test_fast_path.py` holds
it to that). So it accepts only what cannot be misread: known options written out in full with their value behind
them, each once, and arguments that do not begin with a dash. Anything else, a mistake included, is left to the
grammar, which knows how to explain it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tinytown.cli import requests
from tinytown.cli.forkclient import TOWN_OPTIONS
from tinytown.cli.invocation import Common, Invocation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_COMMON_FLAGS = {"--json": "json", "--verbose": "verbose", "-v": "verbose"}
_COMMON_VALUES = dict.fromkeys(TOWN_OPTIONS, "town")


class _Given(NamedTuple):
    """What stands on a command line, by the names of the options, in whichever spelling."""

    common: Common
    arguments: Sequence[str]
    flags: frozenset[str]
    values: Mapping[str, str]


class _Form(NamedTuple):
    """A command: how many arguments, which options, and what they come to."""

    fewest: int
    most: int
    flags: Mapping[str, str]
    values: Mapping[str, str]
    ask: Callable[[_Given], Invocation]


def _status(given: _Given) -> Invocation:
    return requests.status(given.common, deep="deep" in given.flags, tasks="tasks" in given.flags)


def _list(given: _Given) -> Invocation:
    return requests.list_agents(given.common)


def _inbox(given: _Given) -> Invocation:
    agent = given.arguments[0] if given.arguments else None
    return requests.inbox(given.common, agent, everyone="all" in given.flags)


def _send(given: _Given) -> Invocation:
    to, text = given.arguments
    return requests.send(
        given.common,
        to,
        text,
        query="query" in given.flags,
        info="info" in given.flags,
        ack="ack" in given.flags,
        urgent="urgent" in given.flags,
        sender=given.values.get("from"),
    )


def _assign(given: _Given) -> Invocation:
    agent, task = given.arguments
    return requests.assign(given.common, agent, task, tags=given.values.get("tags"), parent=given.values.get("parent"))


def _show(given: _Given) -> Invocation:
    return requests.show_task(given.common, given.arguments[0])


def _list_tasks(given: _Given) -> Invocation:
    return requests.list_tasks(given.common, state=given.values.get("state"), agent=given.values.get("agent"))


def _complete(given: _Given) -> Invocation:
    return requests.end_task(given.common, "complete", given.arguments[0], given.values.get("result"))


def _options(*names: str) -> dict[str, str]:
    return {f"--{name}": name for name in names}


_FORMS: Mapping[tuple[str, ...], _Form] = {
    ("status",): _Form(0, 0, _options("deep", "tasks"), {}, _status),
    ("list",): _Form(0, 0, {}, {}, _list),
    ("inbox",): _Form(0, 1, {"--all": "all", "-a": "all"}, {}, _inbox),
    ("send",): _Form(2, 2, _options("query", "info", "ack", "urgent"), _options("from"), _send),
    ("assign",): _Form(2, 2, {}, _options("tags", "parent"), _assign),
    ("task", "show"): _Form(1, 1, {}, {}, _show),
    ("task", "list"): _Form(0, 0, {}, _options("state", "agent"), _list_tasks),
    ("task", "complete"): _Form(1, 1, {}, _options("result"), _complete),
}


def bind(argv: Sequence[str]) -> Invocation | None:
    """What these arguments ask for; None when the grammar shall decide.

    Raises `Invalid` for what is well-formed and cannot be meant, as the grammar would.
    """
    if list(argv) == ["--version"]:
        return Invocation("--version")
    found = _read(argv)
    return None if found is None else found[0].ask(found[1])


def covers(argv: Sequence[str]) -> bool:
    """Whether these arguments are a plain form of a hot command, well-formed if perhaps not meant."""
    return _read(argv) is not None


def _read(argv: Sequence[str]) -> tuple[_Form, _Given] | None:
    words = tuple(argv[:2]) if argv and argv[0] == "task" else tuple(argv[:1])
    form = _FORMS.get(words)
    given = None if form is None else _sort(argv[len(words) :], form)
    return None if form is None or given is None else (form, given)


def _sort(rest: Sequence[str], form: _Form) -> _Given | None:
    arguments: list[str] = []
    flags: set[str] = set()
    values: dict[str, str] = {}
    left = iter(rest)
    for word in left:
        if not word.startswith("-"):
            arguments.append(word)
            continue
        flag = form.flags.get(word) or _COMMON_FLAGS.get(word)
        if flag is not None:
            if flag in flags:
                return None
            flags.add(flag)
            continue
        option = form.values.get(word) or _COMMON_VALUES.get(word)
        value = next(left, "-")
        if option is None or option in values or value.startswith("-"):
            return None
        values[option] = value
    if not form.fewest <= len(arguments) <= form.most:
        return None
    common = Common(town=values.get("town"), verbose="verbose" in flags, json="json" in flags)
    return _Given(common, arguments, frozenset(flags), values)
