"""From objectives to work items and gates. No I/O.

What must be true: nothing is stored before the graph is known to have an order; the same objectives of the same
mission give the same ids, so that compiling again after a crash changes nothing; and of text that a stranger wrote
nothing starts by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from tinytown.actors.missions.dependencies import dependencies
from tinytown.actors.missions.order import BODY, MANIFEST, NATIVE, OPTION, Edge, merged, refuse_cycle
from tinytown.errors import Invalid
from tinytown.ids import WatchId, WorkItemId
from tinytown.lifecycle import WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, Watch, WorkItem
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinytown.actors.missions.documents import Wanted
    from tinytown.actors.missions.manifest import Override
    from tinytown.actors.missions.references import Reference
    from tinytown.mission_records import Mission

TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
"""How GitHub calls those whose text may start work here."""

MOST_EDGES = 250
"""What one text may wait for: all that is outside is asked after every few minutes, and a text has room for thousands.
"""

_WORDS = re.compile(r"[a-z]+")
_KIND_WORDS = {
    "design": frozenset({"design", "rfc", "spec", "specification"}),
    "test": frozenset({"test", "tests", "testing"}),
}
_SLUG = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue as GitHub has it. `blocked_by` are those that GitHub itself keeps as its dependencies."""

    reference: Reference
    title: str
    body: str = ""
    closed: bool = False
    is_pull: bool = False
    author: str = ""
    association: str = "NONE"
    labels: tuple[str, ...] = ()
    blocked_by: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """The items of a mission, and a watch for each thing outside that one of them waits for."""

    items: tuple[WorkItem, ...]
    gates: tuple[Watch, ...]


@dataclass(frozen=True, slots=True)
class Objectives:
    """What a mission is made of; `depends` are pairs of `--depends A:B`, A waits for B."""

    issues: Sequence[Issue] = ()
    wanted: Sequence[Wanted] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict)
    depends: Sequence[tuple[Reference, Reference]] = ()


def compile_mission(mission: Mission, objectives: Objectives) -> Compiled:
    """The items and gates of a mission.

    Raises `Invalid` when there is nothing to do, an objective is a pull request or a text waits for too much, and
    `Conflict` for a cycle.
    """
    issues = _wanted_issues(objectives)
    edges = {issue.reference.key: _edges(issue, objectives) for issue in issues}
    inside = set(edges) | {each.key for each in objectives.wanted}
    # A closed issue waits for nothing and holds nothing up.
    open_ones = {issue.reference.key for issue in issues if not issue.closed}
    refuse_cycle({key: [edge for edge in edges[key] if edge.on in open_ones] for key in edges if key in open_ones})
    items = [
        _item(mission, issue, edges[issue.reference.key], objectives.overrides.get(issue.reference.key))
        for issue in issues
    ]
    items += [
        WorkItem(
            mission_id=mission.id,
            title=wanted.title,
            item_kind=wanted.kind or _kind(wanted.title, ()),
            id=item_id(mission, wanted.key),
            key=wanted.key,
            branch=_branch(mission, "doc", wanted.title),
        )
        for wanted in objectives.wanted
    ]
    if not items:
        raise Invalid(
            "There is nothing to do: every objective is skipped, or there is none", hint="Name an issue: -i 23"
        )
    return Compiled(tuple(items), tuple(_gates(mission, items, inside)))


def item_id(mission: Mission, key: str) -> WorkItemId:
    """The id of the item for a key, always the same."""
    return WorkItemId(str(uuid5(UUID(mission.id), key)))


def _wanted_issues(objectives: Objectives) -> list[Issue]:
    found: dict[str, Issue] = {}
    for issue in objectives.issues:
        if issue.is_pull:
            raise Invalid(
                f"{issue.reference} is a pull request; a mission works through issues",
                hint="Name the issue that it is for.",
            )
        override = objectives.overrides.get(issue.reference.key)
        if override is None or not override.skip:
            found[issue.reference.key] = issue
    return list(found.values())


def _edges(issue: Issue, objectives: Objectives) -> tuple[Edge, ...]:
    """What an issue waits for. A manifest that says so replaces all.

    The text of a stranger orders his own issue only, and that one begins nothing before a person has approved it.
    """
    extra = [Edge(on.key, OPTION) for of, on in objectives.depends if of == issue.reference]
    override = objectives.overrides.get(issue.reference.key)
    if override is not None and override.depends_on is not None:
        found = [Edge(each.key, MANIFEST) for each in override.depends_on]
    else:
        said = dependencies(issue.body, issue.reference)
        if len(said) > MOST_EDGES:
            raise Invalid(
                f"The text of {issue.reference} names {len(said):,} issues that it waits for; at most {MOST_EDGES} may",
                hint="Say in a manifest what it waits for, with depends_on (tt mission start --manifest).",
            )
        found = [Edge(each.key, NATIVE) for each in issue.blocked_by]
        found += [Edge(each.key, BODY) for each in said]
    return merged(edge for edge in (*found, *extra) if edge.on != issue.reference.key)


def _item(mission: Mission, issue: Issue, edges: Sequence[Edge], override: Override | None) -> WorkItem:
    reference = issue.reference
    item = WorkItem(
        mission_id=mission.id,
        title=one_line(issue.title, 200),
        item_kind=_kind(issue.title, issue.labels),
        id=item_id(mission, reference.key),
        key=reference.key,
        number=reference.number,
        edges=tuple({"on": edge.on, "source": edge.source} for edge in edges),
        branch=_branch(mission, str(reference.number), issue.title),
        source_ref=reference.key,
        author=issue.author or None,
        needs_approval=issue.association not in TRUSTED,
        tainted=issue.association not in TRUSTED,
    )
    if override is not None:
        item = replace(
            item,
            priority=override.priority,
            owner_role=override.owner_role,
            item_kind=override.kind or item.item_kind,
        )
    return replace(item, state=WorkItemState.DONE, reason="the issue is closed") if issue.closed else item


def _kind(title: str, labels: Sequence[str]) -> str:
    """What kind of work it is, by whole words: "latest" tests nothing."""
    named = [label.lower() for label in labels]
    words = set(_WORDS.findall(title.lower()))
    for kind in _KIND_WORDS:
        if kind in named or f"kind:{kind}" in named:
            return kind
    return next((kind for kind, meant in _KIND_WORDS.items() if words & meant), "implement")


def _branch(mission: Mission, number: str, title: str) -> str:
    slug = _SLUG.sub("-", title.lower())[:40].strip("-") or "work"
    return f"tt/{mission.id[:8]}/{number}-{slug}"


def _gates(mission: Mission, items: Sequence[WorkItem], inside: set[str]) -> list[Watch]:
    """One watch for each thing outside, for the first item that waits for it; the others find it by its target."""
    found: dict[str, Watch] = {}
    for item in items:
        if item.state is WorkItemState.DONE:
            continue
        for key in item.depends_on:
            if key not in inside and key not in found:
                found[key] = Watch(
                    mission_id=mission.id,
                    work_item_id=item.id,
                    watch_kind=EXTERNAL_GATE,
                    target=key,
                    id=WatchId(str(uuid5(UUID(mission.id), f"{EXTERNAL_GATE}/{key}"))),
                    interval_secs=mission.watch_interval_secs,
                )
    return list(found.values())
