"""`tt mission`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked
from tinytown.cli.completion import mission_ids
from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation

RunId = Annotated[str, Parameter(name="RUN_ID", help="Id of a mission, or a unique prefix.", completer=mission_ids)]
Run = Annotated[
    str | None, Parameter(name=("--run", "-r"), help="Id of a mission, or a unique prefix.", completer=mission_ids)
]
Item = Annotated[str, Parameter(help="A work item: the number of its issue, its key, its id or a unique prefix.")]


def start(
    *,
    issue: Annotated[
        list[str] | None,
        Parameter(
            name=("--issue", "-i"), help="An issue: 23, owner/repo#23 or its address. May be repeated.", negative=""
        ),
    ] = None,
    doc: Annotated[
        list[str] | None,
        Parameter(name=("--doc", "-d"), help="A document of the project as objective. May be repeated.", negative=""),
    ] = None,
    manifest: Annotated[str | None, Parameter(help="A mission.toml that overrides what the issues say.")] = None,
    depends: Annotated[
        list[str] | None,
        Parameter(help="24:23 when issue 24 has to wait for issue 23. May be repeated.", negative=""),
    ] = None,
    max_parallel: Annotated[
        int | None, Parameter(help="Work items in work at once. [default: 2, or as configured]")
    ] = None,
    no_reviewer: Annotated[Flag, Parameter(help="What is done waits for no review.")] = False,
    auto_merge: Annotated[Flag, Parameter(help="Merge what is approved and green.")] = False,
    dry_run: Annotated[Flag, Parameter(name=("--dry-run", "-n"), help="Show the order; store nothing.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Start a mission: agents work through a set of GitHub issues, in the order of their dependencies.

    Example: tt mission start --issue 23 --issue 24
    """
    from tinytown.runtime.operations.missions.starting import StartMission

    request = StartMission(
        issues=tuple(issue or ()),
        docs=tuple(doc or ()),
        manifest=manifest,
        depends=tuple(depends or ()),
        max_parallel=max_parallel,
        no_reviewer=no_reviewer,
        auto_merge=True if auto_merge else None,
        dry_run=dry_run,
    )
    return Invocation("mission start", request, options.common())


def status(
    *,
    run: Run = None,
    work: Annotated[Flag, Parameter(help="Show what each work item waits for.")] = False,
    watch: Annotated[Flag, Parameter(help="Show what is watched on GitHub.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show the missions that are not over, or one.

    Example: tt mission status --work --watch
    """
    return Invocation("mission status", asked.MissionStatusAsked(run, work, watch), options.common())


def list_missions(
    *,
    everything: Annotated[Flag, Parameter(name="--all", help="Also completed and failed missions.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """List missions.

    Example: tt mission list --all
    """
    from tinytown.runtime.operations.missions.showing import ListMissions

    return Invocation("mission list", ListMissions(everything), options.common())


def stop(
    run_id: RunId,
    /,
    *,
    force: Annotated[Flag, Parameter(help="For good: the mission fails, and its open tasks are cancelled.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Stop a mission; what agents have goes on to its end.

    Example: tt mission stop 550e8400
    """
    from tinytown.runtime.operations.missions.steering import StopMission

    return Invocation("mission stop", StopMission(run_id, force), options.common())


def resume(run_id: RunId, /, *, options: ShowOptions = SHOW) -> Invocation:
    """Let a stopped or blocked mission go on.

    Example: tt mission resume 550e8400
    """
    from tinytown.runtime.operations.missions.steering import ResumeMission

    return Invocation("mission resume", ResumeMission(run_id), options.common())


def note(
    message: Annotated[str, Parameter(help="What to tell, in quotes; '-' reads it from standard input.")],
    /,
    *,
    run: Run = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Tell everybody who gets work of a mission something.

    Example: tt mission note "Use the new API only"
    """
    from tinytown.runtime.operations.missions.steering import NoteMission

    return Invocation("mission note", NoteMission(message, run), options.common())


def why(
    item: Annotated[
        str | None, Parameter(help="A work item as above, or a mission. [default: the mission that is there]")
    ] = None,
    /,
    *,
    run: Run = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Say in one sentence what a work item or a mission waits for.

    Example: tt mission why 24
    """
    from tinytown.runtime.operations.missions.showing import WhyMission

    return Invocation("mission why", WhyMission(item, run), options.common())


def approve(
    item: Item,
    /,
    *,
    run: Run = None,
    show: Annotated[Flag, Parameter(help="Only show the text that would be approved.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Approve a work item: a stranger's text, the result of an agent, or that it is tried again.

    Example: tt mission approve 24
    """
    from tinytown.runtime.operations.missions.gates import ApproveItem

    return Invocation("mission approve", ApproveItem(item, run, show), options.common())


def reject(
    item: Item,
    reason: Annotated[str, Parameter(help="What has to change, in quotes; '-' reads it from standard input.")],
    /,
    *,
    run: Run = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Send a work item back to its agent, with the reason.

    Example: tt mission reject 24 "The tests are missing"
    """
    from tinytown.runtime.operations.missions.gates import RejectItem

    return Invocation("mission reject", RejectItem(item, reason, run), options.common())


def events(
    run_id: Annotated[
        str | None,
        Parameter(
            name="RUN_ID",
            help="Id of a mission, or a unique prefix. [default: the mission that is there]",
            completer=mission_ids,
        ),
    ] = None,
    /,
    *,
    count: Annotated[int, Parameter(name=("--count", "-n"), help="How many of the last events.")] = 20,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show what happened in a mission.

    Example: tt mission events --count 5
    """
    from tinytown.runtime.operations.missions.showing import MissionEvents

    return Invocation("mission events", MissionEvents(run_id, count), options.common())


def dispatch(
    *,
    once: Annotated[Flag, Parameter(help="Decide once for each mission, and end.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Work on missions in this terminal, beside or instead of the runtime.

    Missions that a runtime works on stay with it. Ctrl+C ends it.

    Example: tt mission dispatch --once
    """
    return Invocation("mission dispatch", asked.DispatchAsked(once), options.common())
