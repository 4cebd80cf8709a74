"""`tt mission`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.render import mission as render
from tinytown.cli.session import ask, ask_with_trio, opened, text_or_input
from tinytown.cli.terminal import flush, note, remark, say

if TYPE_CHECKING:
    from tinytown.cli.asked import DispatchAsked, MissionStatusAsked
    from tinytown.cli.invocation import Common
    from tinytown.records import Event
    from tinytown.runtime.operations.missions.gates import ApproveItem, RejectItem
    from tinytown.runtime.operations.missions.showing import ListMissions, MissionEvents, WhyMission
    from tinytown.runtime.operations.missions.starting import MissionStarted, StartMission
    from tinytown.runtime.operations.missions.steering import NoteMission, ResumeMission, StopMission
    from tinytown.runtime.town import Town


def start(request: StartMission, common: Common) -> int:
    """Start a mission."""
    from tinytown.runtime.operations.missions.starting import start_mission

    async def from_here(town: Town, asked: StartMission) -> MissionStarted:
        # A person names files from where he stands; the operation knows only the project.
        docs = tuple(_inside(town.root, each) for each in asked.docs)
        manifest = _inside(town.root, asked.manifest) if asked.manifest is not None else None
        return await start_mission(town, replace(asked, docs=docs, manifest=manifest))

    result = ask_with_trio(common, from_here, request)
    if common.json:
        _dump(render.encoded_plan(result))
    else:
        say(*render.started(result))
    remark(*result.warnings)
    return 0


def _inside(root: Path, path: str) -> str:
    """The path from the root of the town on; as it is when it leads out of it."""
    whole = Path(os.path.normpath(Path(os.getcwd()) / Path(path).expanduser()))  # noqa: PTH109 - realpath, as the root
    return str(whole.relative_to(root)) if whole.is_relative_to(root) else path


def status(request: MissionStatusAsked, common: Common) -> int:
    """Show one mission, or all that are not over."""
    from tinytown.runtime.operations.missions.showing import ListMissions, ShowMission, list_missions, show_mission
    from tinytown.transport.blocking import run_sync

    with opened(common) as town:
        if request.run is not None:
            wanted = [request.run]
        else:
            wanted = [str(each.mission.id) for each in run_sync(list_missions(town, ListMissions())).missions]
        views = [run_sync(show_mission(town, ShowMission(each))) for each in wanted]
    remark(*(line for view in views for line in render.held(view)))
    if common.json:
        shown = [render.encoded(view) for view in views]
        _dump(shown[0] if request.run is not None else shown)
        return 0
    blocks = [render.status(view, work=request.work, watch=request.watch) for view in views]
    for number, block in enumerate(blocks):
        say(*([""] if number else []), *block)
    if not blocks:
        say(render.NONE_ACTIVE)
    return 0


def list_missions(request: ListMissions, common: Common) -> int:
    """List missions."""
    from tinytown.runtime.operations.missions.showing import list_missions as operation

    found = ask(common, operation, request)
    if common.json:
        _dump(render.encoded_list(found))
    else:
        say(*render.listing(found, everything=request.everything))
    remark(*(f"Mission {each} cannot be read as a whole" for each in found.damaged))
    return 0


def stop(request: StopMission, common: Common) -> int:
    """Stop a mission."""
    from tinytown.runtime.operations.missions.steering import stop_mission

    result = ask(common, stop_mission, request)
    if common.json:
        _dump_record(result.mission, in_work=result.in_work, cancelled=result.cancelled)
    else:
        say(*render.stopped(result, force=request.force))
    return 0


def resume(request: ResumeMission, common: Common) -> int:
    """Let a mission go on."""
    from tinytown.runtime.operations.missions.steering import resume_mission

    result = ask(common, resume_mission, request)
    if common.json:
        _dump_record(result.mission, note=result.note, runtime_started=result.runtime_started)
    else:
        say(*render.resumed(result))
    return 0


def note_mission(request: NoteMission, common: Common) -> int:
    """Tell those who work on a mission something."""
    from tinytown.runtime.operations.missions.steering import note_mission as operation

    result = ask(common, operation, replace(request, message=text_or_input(request.message)))
    if common.json:
        _dump_record(result.mission)
    else:
        say(*render.noted(result))
    return 0


def why(request: WhyMission, common: Common) -> int:
    """Say what a work item or a mission waits for."""
    from tinytown.runtime.operations.missions.showing import why_mission

    found = ask(common, why_mission, request)
    if common.json:
        _dump(found)
    else:
        say(*render.answer(found))
    return 0


def approve(request: ApproveItem, common: Common) -> int:
    """Approve a work item, or show what would be approved."""
    from tinytown.runtime.operations.missions.gates import approve_item

    found = ask(common, approve_item, request)
    remark(found.notice)
    if common.json:
        _dump_record(found.item, gate=found.gate, source=found.source)
    else:
        say(*render.approved(found, show=request.show))
    return 0


def reject(request: RejectItem, common: Common) -> int:
    """Send a work item back."""
    from tinytown.runtime.operations.missions.gates import reject_item

    found = ask(common, reject_item, replace(request, reason=text_or_input(request.reason)))
    remark(found.notice)
    if common.json:
        _dump_record(found.item, gate=found.gate)
    else:
        say(*render.rejected(found))
    return 0


def events(request: MissionEvents, common: Common) -> int:
    """Show what happened in a mission."""
    from tinytown.cli.render.events import line
    from tinytown.runtime.operations.missions.showing import mission_events

    found = ask(common, mission_events, request)
    if common.json:
        _dump(found.events)
    else:
        say(*(line(event, found.names) for event in found.events))
    return 0


def dispatch(request: DispatchAsked, common: Common) -> int:
    """Work on missions in this process."""
    return ask_with_trio(common, _dispatch, (request, common))


async def _dispatch(town: Town, asked: tuple[DispatchAsked, Common]) -> int:
    from tinytown.cli.render.events import line
    from tinytown.runtime import dispatching
    from tinytown.runtime.operations.registry import Scope, require

    request, common = asked
    require(town, Scope.MANAGE)
    names = {str(agent_id): name for agent_id, name in (await town.store.names()).items()}

    def tell(event: Event) -> None:
        if common.json:
            _dump(event)
        else:
            say(line(event, names))
        flush()

    if not request.once:
        note("Working on missions until Ctrl+C.")
        await dispatching.dispatch(town, tell)
        return 0
    found = await dispatching.dispatch_once(town, tell)
    note(*render.dispatched(found))
    for error in found.failed.values():
        # All of them were told; the first says what to do.
        raise error
    return 0


def _dump(value: object) -> None:
    from tinytown.cli.render.encode import dump

    say(dump(value))


def _dump_record(record: object, **more: object) -> None:
    from tinytown.cli.render.encode import fields_of

    _dump(fields_of(record, **more))
