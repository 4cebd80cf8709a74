"""Start a mission: read its objectives, put them in order, store them, and see that somebody works on them.

What must be true: whatever can be refused is refused before anything is stored; and a dry run stores nothing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tinytown.actors.missions.compiler import Compiled, Objectives, compile_mission
from tinytown.errors import BadMessage, Conflict, MissionNotFound
from tinytown.graph import stages
from tinytown.ids import short
from tinytown.lifecycle import WorkItemState
from tinytown.mission_records import Mission, SourceText, WorkItem
from tinytown.runtime.background import Served, ensure_runtime
from tinytown.runtime.operations.bounds import each, shown, whole
from tinytown.runtime.operations.missions.names import home_text, label
from tinytown.runtime.operations.missions.objectives import Asked, moved, stray, understood
from tinytown.runtime.operations.missions.picking import live
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.times import span
from tinytown.transport.missions import Changed
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tinytown.actors.missions.compiler import Issue
    from tinytown.actors.missions.references import Reference, Repository
    from tinytown.ids import WorkItemId
    from tinytown.records import Agent
    from tinytown.runtime.town import Town

MOST_AT_ONCE = 1000
"""Items in work at once that may be asked for."""

_USUAL = 1800.0
"""Seconds that one item takes, for the estimate that is told of a large mission."""

_LONG = 86_400.0
"""Seconds from which on that estimate is told."""


@dataclass(frozen=True, slots=True)
class StartMission:
    """A mission with its objectives and its rules.

    `issues` are `23`, `owner/repo#23` or addresses; `docs` and `manifest` paths inside the project; `depends` are
    `24:23`, where 24 has to wait for 23. What is None is as configured. With `dry_run` nothing is stored, with
    `runtime=False` no runtime is started: the caller runs it.
    """

    issues: tuple[str, ...] = each("issue")
    docs: tuple[str, ...] = each("document")
    manifest: str | None = shown({"format": "manifest"}, None)
    depends: tuple[str, ...] = each("dependency")
    max_parallel: int | None = whole("number of items at once", 1, MOST_AT_ONCE, default=None)
    no_reviewer: bool = False
    auto_merge: bool | None = None
    dry_run: bool = False
    runtime: bool = True


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """A work item, and in which step of the mission it can begin at the earliest; 0 for one that is done."""

    item: WorkItem
    label: str
    step: int
    depends_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MissionStarted:
    """The mission as it was stored. `gates` are the keys of what is outside and has to be waited for; `warnings`
    say what will hold it up, as far as can be seen."""

    mission: Mission
    items: tuple[PlannedItem, ...]
    gates: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    dry_run: bool = False
    runtime_started: bool = False


@operation("mission.start", Scope.MANAGE)
async def start_mission(town: Town, request: StartMission) -> MissionStarted:
    """Start a mission: agents work through a set of issues.

    Needs trio, for GitHub. Raises `Invalid` for what names no objective, `Conflict` for issues that wait for each
    other or are in another mission already, what GitHub says of an issue that cannot be read, and `RuntimeFailed`
    when the mission is stored, but nothing runs it.
    """
    from tinytown.runtime.operations.missions.github import default_repository, read_issues, refuse_strangers

    rules = _rules(town, request)
    home = await default_repository(town)
    asked = await town.aside(
        lambda: understood(
            town.root,
            home,
            issues=request.issues,
            docs=request.docs,
            manifest_path=request.manifest,
            depends=request.depends,
        )
    )
    waited_for = (each for override in asked.overrides.values() for each in override.depends_on or ())
    refuse_strangers(town.environ, home, (*asked.references, *waited_for))
    found = await read_issues(town.environ, asked.references)
    asked = moved(asked, found.issues)
    mission = replace(rules, home=home_text(home), objectives=_objectives(asked))
    compiled = compile_mission(
        mission, Objectives(list(found.issues.values()), asked.wanted, asked.overrides, asked.depends)
    )
    warnings = [*found.warnings, *await _warnings(town, mission, asked, compiled)]
    served = Served()
    if request.dry_run:
        await _refuse_twice(town, compiled.items)
    else:
        await _store(town, mission, compiled, _texts(asked, found.issues, compiled.items))
        served = await ensure_runtime(town) if request.runtime else Served()
    return MissionStarted(
        mission,
        _planned(compiled.items, home),
        tuple(sorted(watch.target for watch in compiled.gates)),
        (*warnings, served.note) if served.note else tuple(warnings),
        request.dry_run,
        served.started,
    )


def _rules(town: Town, request: StartMission) -> Mission:
    usual = town.settings.mission
    return Mission(
        max_parallel_items=request.max_parallel or usual.max_parallel_items,
        reviewer_required=usual.reviewer_required and not request.no_reviewer,
        auto_merge=usual.auto_merge if request.auto_merge is None else request.auto_merge,
        watch_interval_secs=usual.watch_interval_secs,
        merge_method=None if usual.merge_method == "auto" else usual.merge_method,
    )


def _objectives(asked: Asked) -> tuple[str, ...]:
    return (*(each.key for each in asked.references), *(f"doc:{name}" for name in asked.documents))


def _texts(asked: Asked, issues: Mapping[Reference, Issue], items: Sequence[WorkItem]) -> dict[WorkItemId, SourceText]:
    sources = {
        issue.reference.key: SourceText(issue.author, issue.association, issue.body) for issue in issues.values()
    }
    for wanted in asked.wanted:
        path = wanted.key.removeprefix("doc:").partition("#")[0]
        sources[wanted.key] = SourceText(path, "DOCUMENT", wanted.body)
    return {item.id: sources[item.key] for item in items}


async def _refuse_twice(town: Town, items: Iterable[WorkItem]) -> None:
    """Two missions with one issue would make two pull requests for it."""
    wanted = {item.key for item in items if item.state is not WorkItemState.DONE}
    for mission in await live(town):
        with suppress(MissionNotFound, BadMessage):
            seen = await town.missions.see(mission.id)
            twice = next(
                (item.key for item in seen.items if item.key in wanted and item.state is not WorkItemState.DONE), None
            )
            if twice is not None:
                raise Conflict(
                    f"{twice} is in mission {mission.id} already, which is {mission.state}",
                    hint=f"Go on with that: tt mission status --run {short(mission.id)}; "
                    f"or end it: tt mission stop {short(mission.id)} --force",
                )


async def _store(town: Town, mission: Mission, compiled: Compiled, texts: Mapping[WorkItemId, SourceText]) -> None:
    whole = Changed(mission, compiled.items, compiled.gates, texts)
    detail = f"{len(compiled.items)} work items, by {town.caller.name}"
    while True:
        # Another may begin while the others are looked at; then all are looked at again.
        beside = await town.missions.count()
        await _refuse_twice(town, compiled.items)
        change = town.missions.create(town.store.change(), whole, beside=beside)
        try:
            await town.store.commit(town.missions.tell(change, mission.id, "mission.started", detail))
        except Raced:
            continue
        return


def _planned(items: Sequence[WorkItem], home: Repository | None) -> tuple[PlannedItem, ...]:
    """In the order in which they can begin."""
    left = {item.key: item.depends_on for item in items if item.state is not WorkItemState.DONE}
    step = {key: number for number, stage in enumerate(stages(left), 1) for key in stage}
    planned = [PlannedItem(item, label(item, home), step.get(item.key, 0), item.depends_on) for item in items]
    return tuple(sorted(planned, key=lambda each: (each.step, -each.item.priority, each.item.number, each.item.key)))


async def _warnings(town: Town, mission: Mission, asked: Asked, compiled: Compiled) -> list[str]:
    left = [item for item in compiled.items if item.state is not WorkItemState.DONE]
    found = [f"The manifest speaks of {key}, which is no objective" for key in stray(asked)]
    found += [f"{name} asks for nothing: all its boxes are ticked" for name in asked.empty]
    found += [f"{item.key} is closed already and counts as done" for item in compiled.items if item not in left]
    found += [
        f"{item.key} was written by {item.author or 'a stranger'}, who is no member of its repository: "
        f"it waits for 'tt mission approve {item.number}'"
        for item in left
        if item.needs_approval
    ]
    if mission.auto_merge and not mission.reviewer_required:
        found.append("No agent reviews it, so nothing is merged before a person approves it, at GitHub or here")
    agents = [agent for agent in await town.store.agents() if not agent.state.is_terminal]
    found += _about_agents(mission, agents, len(left)) if left else []
    estimate = len(left) / mission.max_parallel_items * _USUAL
    if estimate > _LONG:
        found.append(
            f"{len(left)} items with {mission.max_parallel_items} at once take about {span(estimate)} at half an hour "
            "each; --max-parallel allows more at once"
        )
    return found


def _about_agents(mission: Mission, agents: Sequence[Agent], items: int) -> list[str]:
    if not agents:
        return ["No agent is there to work on it. Spawn one: tt spawn worker-1"]
    if mission.reviewer_required and len(agents) == 1:
        return [
            f"'{agents[0].name}' is the only agent, and nobody reviews his own work. Spawn another: tt spawn reviewer"
        ]
    rounds = sum(agent.max_rounds - agent.rounds_completed for agent in agents)
    needed = items * (2 if mission.reviewer_required else 1)
    if rounds < needed:
        few = f"The work takes {needed} rounds or more, and the agents have {rounds} left"
        return [f"{few}; one that has used up its rounds stops until 'tt restart'"]
    return []
