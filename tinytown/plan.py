"""The plan: what stands in `tasks.toml`, read and checked whole before anything is done with it.

Every complaint names the file, the line of the entry and the key. `depends_on` (or `after`) makes order; `parent`
only groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.errors import Invalid, InvalidName
from tinytown.graph import find_cycle, stages
from tinytown.ids import SUPERVISOR_NAMES, agent_name
from tinytown.lifecycle import TaskState
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAN_FILE = "tasks.toml"

DEFAULT_PLAN = """\
[meta]
description = "Task plan for this project"

[[tasks]]
id = "example-1"
description = "Example task - replace with your own"
status = "pending"
tags = ["example"]
"""

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*tasks[ \t]*\]\]", re.MULTILINE)
_PLAN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_META = {"description", "default_agent"}
_TEXTS = ("id", "description", "agent", "status", "parent", "review", "result")
_LISTS = ("depends_on", "after", "tags", "verify")


class InvalidPlan(Invalid):
    """The plan cannot be used; nothing of it was."""

    code = "invalid_plan"
    exit_code = 1


@dataclass(frozen=True, slots=True)
class PlanEntry:
    """One task of a plan. `agent` is None when nobody is named, here or as the default."""

    id: str
    description: str
    line: int
    agent: str | None = None
    status: TaskState = TaskState.PENDING
    parent: str | None = None
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    review: str | None = None
    verify: tuple[str, ...] = ()
    result: str | None = None
    """What came of it, as `tt sync pull` wrote it down."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan, its entries in the order of the file."""

    entries: tuple[PlanEntry, ...]
    description: str | None = None
    default_agent: str | None = None

    @property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """What each entry depends on."""
        return {entry.id: entry.depends_on for entry in self.entries}

    def stages(self) -> list[list[str]]:
        """The ids in the order in which they can run; those of one stage at the same time."""
        return stages(self.needs)


def plan_tag(plan_id: str) -> str:
    """The tag by which a task of a plan is known."""
    return f"plan:{plan_id}"


def parse_plan(text: str, *, source: str = PLAN_FILE) -> Plan:
    """The plan that this text says; `InvalidPlan` for the first thing in it that cannot be meant."""
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidPlan(f"{source}: not readable as TOML: {error}") from None
    return _Reader(source, [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]).plan(table)


class _Reader:
    def __init__(self, source: str, lines: list[int]) -> None:
        self._source = source
        self._lines = lines

    def plan(self, table: Mapping[str, object]) -> Plan:
        for key in table:
            if key not in ("meta", "tasks"):
                raise InvalidPlan(f"{self._source}: unknown key '{_shown(key)}'; expected [meta] and [[tasks]]")
        meta = table.get("meta", {})
        if not isinstance(meta, dict):
            raise InvalidPlan(f"{self._source}: meta must be a table")
        for key, value in meta.items():
            if key not in _META or not isinstance(value, str):
                expected = "a text" if key in _META else f"one of {', '.join(sorted(_META))}"
                raise InvalidPlan(f"{self._source}: meta.{_shown(key)}: expected {expected}")
        default = cast("str | None", meta.get("default_agent"))
        if default is not None:
            self._agent(1, "meta.default_agent", default)
        tasks = table.get("tasks", [])
        if not isinstance(tasks, list) or not all(isinstance(entry, dict) for entry in tasks):
            raise InvalidPlan(f"{self._source}: tasks must be written as [[tasks]]")
        if len(self._lines) != len(tasks):
            # Written inline, or a header stands inside a text: better no line than a wrong one.
            self._lines = []
        entries = tuple(
            self._entry(self._line(number), cast("Mapping[str, object]", entry), default)
            for number, entry in enumerate(tasks)
        )
        self._check_names(entries)
        return Plan(entries, cast("str | None", meta.get("description")), default)

    def _line(self, number: int) -> int:
        return self._lines[number] if number < len(self._lines) else 0

    def _entry(self, line: int, entry: Mapping[str, object], default_agent: str | None) -> PlanEntry:
        texts: dict[str, str] = {}
        lists: dict[str, tuple[str, ...]] = {}
        for key, value in entry.items():
            if key in _TEXTS:
                if not isinstance(value, str) or not value.strip():
                    raise self._wrong(line, key, "expected a text that is not empty")
                texts[key] = value
            elif key in _LISTS:
                if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
                    raise self._wrong(line, key, "expected a list of texts")
                lists[key] = tuple(dict.fromkeys(cast("list[str]", value)))
            else:
                raise self._wrong(line, _shown(key), f"unknown key; known are {', '.join((*_TEXTS, *_LISTS))}")
        for key in ("id", "description"):
            if key not in texts:
                raise self._wrong(line, key, "is missing")
        if _PLAN_ID.fullmatch(texts["id"]) is None:
            raise self._wrong(line, "id", "expected up to 100 letters, digits, '.', '_' or '-'")
        for key in ("agent", "review"):
            if key in texts:
                self._agent(line, key, texts[key])
        status = texts.get("status", TaskState.PENDING)
        if status not in {state.value for state in TaskState}:
            known = ", ".join(state.value for state in TaskState)
            raise self._wrong(line, "status", f"'{_shown(status)}' is none of {known}")
        return PlanEntry(
            id=texts["id"],
            description=texts["description"],
            line=line,
            agent=texts.get("agent", default_agent),
            status=TaskState(status),
            parent=texts.get("parent"),
            depends_on=tuple(dict.fromkeys((*lists.get("depends_on", ()), *lists.get("after", ())))),
            tags=lists.get("tags", ()),
            review=texts.get("review"),
            verify=lists.get("verify", ()),
            result=texts.get("result"),
        )

    def _agent(self, line: int, key: str, name: str) -> None:
        if name in SUPERVISOR_NAMES:
            return
        try:
            agent_name(name)
        except InvalidName as error:
            raise self._wrong(line, key, f"{error.message}. {error.hint}") from None

    def _check_names(self, entries: tuple[PlanEntry, ...]) -> None:
        seen: dict[str, PlanEntry] = {}
        for entry in entries:
            if entry.id in seen:
                raise self._wrong(entry.line, "id", f"'{entry.id}' stands in line {seen[entry.id].line} already")
            seen[entry.id] = entry
        for entry in entries:
            for key, others in (
                ("depends_on", entry.depends_on),
                ("parent", (entry.parent,) if entry.parent else ()),
            ):
                for other in others:
                    if other not in seen:
                        raise self._wrong(entry.line, key, f"there is no task '{_shown(other)}' in this plan")
        for key, needs in (
            ("depends_on", {entry.id: entry.depends_on for entry in entries}),
            ("parent", {entry.id: (entry.parent,) if entry.parent else () for entry in entries}),
        ):
            cycle = find_cycle(needs)
            if cycle is not None:
                raise self._wrong(seen[cycle[0]].line, key, f"a cycle: {' → '.join(cycle)}")

    def _wrong(self, line: int, key: str, what: str) -> InvalidPlan:
        where = f"line {line}: " if line else ""
        return InvalidPlan(f"{self._source}: {where}{key}: {what}", hint="Nothing of the plan was used. Mend it first.")


def _shown(text: str) -> str:
    return one_line(text, 60)
