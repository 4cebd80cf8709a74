"""Missions, as `tt mission` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.missions.reconcile import IN_WORK, LIVE
from tinytown.cli.render.encode import fields_of
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.lifecycle import MissionState, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE
from tinytown.runtime.operations.missions.names import home_of, pull_label
from tinytown.runtime.operations.missions.reasons import HOLDS, MissionFact
from tinytown.runtime.operations.missions.watch_reasons import KINDS
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.actors.missions.references import Repository
    from tinytown.messages import JsonObject
    from tinytown.mission_records import Mission, Watch, WorkItem
    from tinytown.runtime.dispatching import Dispatched
    from tinytown.runtime.operations.missions.gates import ItemDecided
    from tinytown.runtime.operations.missions.showing import (
        ItemView,
        MissionAnswer,
        MissionList,
        MissionSummary,
        MissionView,
        WatchView,
    )
    from tinytown.runtime.operations.missions.starting import MissionStarted, PlannedItem
    from tinytown.runtime.operations.missions.steering import MissionNoted, MissionResumed, MissionStopped
    from tinytown.times import Timestamp

STATES = {
    MissionState.PLANNING: "📝",
    MissionState.RUNNING: "🚀",
    MissionState.BLOCKED: "🚧",
    MissionState.STOPPED: "⏸️ ",
    MissionState.COMPLETED: "✅",
    MissionState.FAILED: "❌",
}
ITEMS = {
    WorkItemState.PENDING: "⏳",
    WorkItemState.READY: "🔵",
    WorkItemState.ASSIGNED: "📌",
    WorkItemState.RUNNING: "🔄",
    WorkItemState.BLOCKED: "🚧",
    WorkItemState.DONE: "✅",
    WorkItemState.FAILED: "❌",
}

EMPTY = "No missions. Run 'tt mission start --issue <ISSUE>' to start one."
NONE_ACTIVE = "No active missions. Start one with 'tt mission start --issue <ISSUE>', or see all: tt mission list --all"
REASON = 300
SHOWN_TEXT = 32_768
"""Characters of a stranger's text: all that an agent gets, since it is approved as a whole."""


def started(result: MissionStarted) -> list[str]:
    """A new mission, or with a dry run the order that it would have."""
    mission = result.mission
    lines = [] if result.dry_run else [f"🚀 Mission started: {mission.id}"]
    lines += [f"📋 Objectives: {_objectives(mission)}", f"📦 Work items: {len(result.items)}"]
    if not result.dry_run:
        shown = sorted(result.items, key=lambda each: (each.item.number, each.item.key))
        return [*lines, *(_entry(ITEMS[each.item.state], each.label, each.item.title) for each in shown)]
    lines += [line for each in result.items for line in _planned(each)]
    lines += [f"   🚪 {term_safe(gate, lines=False)} is outside the mission and is waited for" for gate in result.gates]
    return [*lines, "Nothing was stored: this is a dry run."]


def _planned(each: PlannedItem) -> list[str]:
    when = f"{each.step}." if each.step else ITEMS[each.item.state]
    lines = [_entry(when, each.label, each.item.title)]
    if each.step:
        lines += [
            f"      waits for {term_safe(str(edge['on']), lines=False)} ({term_safe(str(edge['source']), lines=False)})"
            for edge in each.item.edges
        ]
    return lines


def _objectives(mission: Mission) -> str:
    documents = sum(each.startswith("doc:") for each in mission.objectives)
    issues = len(mission.objectives) - documents
    counted = [(issues, "issue"), (documents, "document")]
    return ", ".join(f"{count} {what}{'s' if count != 1 else ''}" for count, what in counted if count)


def _entry(mark: str, label: str, title: str, after: str = "") -> str:
    before = f"   {mark} " + (f"{term_safe(label, lines=False)}: " if label else "")
    return f"{before}{fit(title, cells(before) + cells(after))}{after}"


def listing(found: MissionList, *, everything: bool) -> list[str]:
    """Many missions, one line each."""
    if not found.missions:
        return [EMPTY if everything else NONE_ACTIVE]
    return [f"🎯 Missions: {len(found.missions)}", *(_line(each) for each in found.missions)]


def _line(summary: MissionSummary) -> str:
    mission = summary.mission
    before = f"   {STATES[mission.state]} {mission.state:<9} {mission.id}  {summary.done}/{summary.items} done  "
    return before + fit(", ".join(mission.objectives), cells(before))


def status(view: MissionView, *, work: bool, watch: bool) -> list[str]:
    """One mission with its work items; `work` says of each why it waits, `watch` what is looked at."""
    mission = view.mission
    lines = [
        "🎯 Mission Status",
        f"   ID: {mission.id}",
        f"   State: {STATES[mission.state]} {mission.state.capitalize()}",
        *([f"   Reason: {one_line(mission.reason, REASON)}"] if mission.reason else []),
        f"   Created: {_moment(mission.created_at)}",
        f"   Updated: {_moment(mission.updated_at)}",
        "",
        f"📋 Objectives: {len(mission.objectives)}",
        *(f"   - {term_safe(each, lines=False)}" for each in mission.objectives),
        "",
        "⚙️  Policy:",
        f"   Max parallel: {mission.max_parallel_items}",
        f"   Reviewer required: {_yes(said=mission.reviewer_required)}",
        f"   Auto-merge: {_yes(said=mission.auto_merge)}",
        f"   Watch interval: {mission.watch_interval_secs}s",
    ]
    if mission.notes:
        lines += ["", f"📝 Notes: {len(mission.notes)}", *(f"   - {one_line(each, REASON)}" for each in mission.notes)]
    lines += [
        "",
        f"📦 Work Items: {len(view.items)}",
        *(line for each in view.items for line in _item(each, why=work, held=view.fact)),
    ]
    if watch:
        lines += ["", *_watches(view)]
    return lines


def held(view: MissionView) -> list[str]:
    """What holds a mission as a whole, where its state does not say that."""
    if view.fact is not MissionFact.NO_RUNTIME:
        return []
    return [f"Mission {short(view.mission.id)} {one_line(view.why, REASON)}. Start one with: {view.advice}"]


def _item(view: ItemView, *, why: bool, held: MissionFact) -> list[str]:
    item = view.item
    # What is ready again still knows who had it; nobody has it now.
    owned = view.agent_name and item.state in (*IN_WORK, WorkItemState.BLOCKED)
    after = f" (→ {term_safe(view.agent_name, lines=False)})" if owned else ""
    lines = [_entry(f"{ITEMS[item.state]} {item.state:<8}", view.label, item.title, after)]
    if not why:
        return lines
    if item.pull:
        lines.append(f"      🔗 {term_safe(item.pull, lines=False)}")
    # What holds all of them is said once, of the mission.
    if item.state is not WorkItemState.DONE and (view.fact is not held or held not in HOLDS):
        lines.append(f"      {one_line(view.why, REASON)}")
        lines += [f"      💡 {one_line(view.advice, REASON)}"] if view.advice else []
    return lines


def _watches(view: MissionView) -> list[str]:
    home = home_of(view.mission)
    shown = [each for each in view.watches if each.watch.state in LIVE]
    return [f"🚧 Watch Items: {len(shown)}", *(_watch(each, home) for each in shown)]


def _watch(view: WatchView, home: Repository | None) -> str:
    watch = view.watch
    bad = bool(watch.findings or watch.failures)
    mark = "⚠️ " if bad else "✅" if watch.last_result == "green" else "⏳"
    what = pull_label(watch.target, home) if watch.watch_kind != EXTERNAL_GATE else watch.target
    kind = KINDS.get(watch.watch_kind, watch.watch_kind)
    when = f"{'retrying' if bad else 'looking again'} in {view.due_in}s"
    if view.limited:
        when = f"GitHub limits our requests; {when}"
    return f"   {mark} {term_safe(f'{what} {kind}: {_how(watch)} ({when})', lines=False)}"


def _how(watch: Watch) -> str:
    if watch.failures:
        return f"could not be looked at ({watch.failures} x): {one_line(watch.last_result or '', 80)}"
    return one_line(watch.last_result or "not looked at yet", 80)


def _yes(*, said: bool) -> str:
    return "true" if said else "false"


def _moment(stamp: Timestamp) -> str:
    return f"{term_safe(stamp[:10], lines=False)} {term_safe(stamp[11:19], lines=False)} UTC"


def stopped(result: MissionStopped, *, force: bool) -> list[str]:
    """A mission that was stopped."""
    mission = result.mission
    if force:
        return [
            f"❌ Mission {mission.id} ended",
            *([f"   {len(result.cancelled)} open task(s) cancelled"] if result.cancelled else []),
        ]
    in_work = [f"   In work until their end: {term_safe(', '.join(result.in_work), lines=False)}"]
    return [
        f"⏸️  Mission {mission.id} stopped",
        *(in_work if result.in_work else []),
        f"   Go on with: tt mission resume {mission.id}",
    ]


def resumed(result: MissionResumed) -> list[str]:
    """A mission that goes on."""
    return [f"🚀 Mission {result.mission.id} resumed", *([f"   {result.note}"] if result.note else [])]


def noted(result: MissionNoted) -> list[str]:
    """A mission with one more note."""
    return [f"📝 Noted for mission {result.mission.id}", "   Whoever gets work of it from now on is told."]


def answer(found: MissionAnswer) -> list[str]:
    """The sentence, and what to do."""
    return [term_safe(found.sentence, lines=False), *([f"   💡 {term_safe(found.advice)}"] if found.advice else [])]


_APPROVED = {
    "text": "Its text may be used; it begins when its dependencies are done.",
    "review": "Its result counts as reviewed.",
    "merge": "Its last commit is approved.",
    "person": "Its result is accepted.",
}
_WOULD = {
    "text": "It waits for the approval of this text.",
    "review": "It waits for a review of its result.",
    "merge": "It waits for its merge.",
    "person": "It waits for a person.",
}


def approved(found: ItemDecided, *, show: bool) -> list[str]:
    """An item that was approved, or the text that would be."""
    name = _name(found.item)
    lines = [f"📄 {name}" if show else f"✅ Approved {name}"]
    source = found.source
    if source is not None:
        lines.append(f"   Written by {one_line(source.author or 'unknown', 60)} ({one_line(source.association, 30)})")
    if show and source is not None:
        cut = "\n..." if len(source.body) > SHOWN_TEXT else ""
        lines += [f"   │ {line}" for line in term_safe(source.body[:SHOWN_TEXT] + cut).splitlines()]
    said = (_WOULD if show else _APPROVED).get(found.gate or "", "It waits for nobody's approval.")
    if not show and found.item.state is WorkItemState.READY and found.gate == "person":
        said = "It is given out again."
    return [*lines, f"   {said}"]


def rejected(found: ItemDecided) -> list[str]:
    """An item that was sent back."""
    if found.item.state is WorkItemState.FAILED:
        return [f"❌ Rejected {_name(found.item)}", "   Nobody works on it."]
    return [f"↩️  Rejected {_name(found.item)}", "   It goes back to its agent, with the reason."]


def _name(item: WorkItem) -> str:
    return f"{term_safe(item.key or item.id, lines=False)}: {fit(item.title, 20)}"


def dispatched(found: Dispatched) -> list[str]:
    """What was worked on."""
    if not (found.done or found.elsewhere or found.failed):
        return ["No mission is active."]
    lines = [f"Decided for mission {each}." for each in found.done]
    lines += [f"Mission {each} is worked on by a runtime." for each in found.elsewhere]
    return lines + [f"Mission {each} could not be worked on." for each in found.failed]


def encoded(view: MissionView) -> JsonObject:
    """One mission for programs: its record, with its items and watches."""
    return fields_of(
        view.mission,
        items=[
            fields_of(
                each.item,
                label=each.label,
                agent_name=each.agent_name or None,
                depends_on=each.depends_on,
                why=each.why,
                advice=each.advice or None,
                fact=each.fact,
            )
            for each in view.items
        ],
        watches=[fields_of(each.watch, due_in=each.due_in, limited=each.limited) for each in view.watches],
        why=view.why,
        advice=view.advice or None,
        fact=view.fact,
    )


def encoded_plan(result: MissionStarted) -> JsonObject:
    """A new mission for programs."""
    return fields_of(
        result.mission,
        items=[fields_of(each.item, label=each.label, step=each.step) for each in result.items],
        gates=result.gates,
        warnings=result.warnings,
        dry_run=result.dry_run,
        runtime_started=result.runtime_started,
    )


def encoded_list(found: MissionList) -> Sequence[JsonObject]:
    """Many missions for programs."""
    return [
        fields_of(each.mission, items=each.items, done=each.done, in_work=each.in_work, blocked=each.blocked)
        for each in found.missions
    ]
