"""The picture of a town on a whole screen, as `tt top` shows it.

It depends on nothing but the town and the size of the screen. No part of it counts seconds: times are points in
time, so that a town in which nothing happens looks the same for ever, and need not be drawn again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tinytown import times
from tinytown.cli.render.events import detail_of
from tinytown.ids import short
from tinytown.lifecycle import AgentState, TaskState
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from tinytown.records import Event
    from tinytown.runtime.operations.overview import AgentLine, Mail, Picture
    from tinytown.runtime.operations.task_views import TaskView

_LONGEST = 500
"""Characters of a text that are looked at: wider than any screen."""

_NAME = 16
"""Columns of a name."""

_FRAME = 3
"""Lines above and below the three lists: the title, the sums, and how to leave."""

_HEAD = 1
"""Lines of a list beside its rows."""

_STYLES = {
    AgentState.WORKING: "green",
    AgentState.PAUSED: "yellow",
    AgentState.DRAINING: "yellow",
    AgentState.STOPPED: "dim",
    AgentState.ERROR: "bold red",
    TaskState.RUNNING: "green",
    TaskState.COMPLETED: "dim",
    TaskState.FAILED: "red",
    TaskState.CANCELLED: "dim",
}


_COUNTED = (
    TaskState.RUNNING,
    TaskState.ASSIGNED,
    TaskState.PENDING,
    TaskState.FAILED,
    TaskState.CANCELLED,
    TaskState.COMPLETED,
)


class Rows(NamedTuple):
    """How many rows each list gets; 0 leaves the whole list out."""

    agents: int
    tasks: int
    events: int


def share(height: int, agents: int, tasks: int) -> Rows:
    """The rows of a screen of this height, for so many agents and tasks; the events get what is left.

    The agents come first, with up to half of the room; on a very low screen they are all there is.
    """
    room = height - _FRAME - _HEAD
    if room < 6:
        return Rows(max(0, room), 0, 0)
    shown_agents = max(1, min(agents, (room - 2 * _HEAD) // 2))
    rest = room - shown_agents - 2 * _HEAD
    shown_tasks = min(max(1, tasks), max(1, rest // 2))
    return Rows(shown_agents, shown_tasks, max(0, rest - shown_tasks))


def frame(picture: Picture, trouble: str, *, height: int) -> RenderableType:
    """The whole screen; `trouble` is what keeps the picture from being the present one."""
    seats = len(picture.agents) + (picture.conducting is not None)
    rows = share(height, seats, len(picture.tasks))
    parts: list[RenderableType] = [_title(picture), _sums(picture), _agents(picture, rows.agents)]
    if rows.tasks:
        parts.append(_tasks(picture.tasks, rows.tasks))
    if rows.events:
        parts.append(_events(picture, rows.events))
    used = 2 + sum(count + _HEAD for count in rows if count)
    parts += [Text("")] * (height - 1 - used)
    parts.append(_foot(trouble))
    return Group(*parts)


def _title(picture: Picture) -> Text:
    total = sum(picture.agent_counts.values())
    alive = sum(count for state, count in picture.agent_counts.items() if not state.is_terminal)
    title = _line("", style="reverse")
    title.append(f" {one_line(picture.name, _LONGEST)} ", style="bold")
    title.append(f"  {total} agents, {alive} alive, {picture.at_work} at work  ")
    if picture.runtimes:
        pids = ", ".join(str(card.pid) for card in picture.runtimes)
        title.append(f"runtime: pid {pids} since {_clock(picture.runtimes[0].started_at)} ")
    elif alive or (picture.conducting is not None and picture.conducting.agent.acts):
        title.append("no runtime: tt start ", style="bold red reverse")
    title.pad_right(_LONGEST)
    title.overflow = "crop"
    return title


def _sums(picture: Picture) -> Text:
    counts = ((state, picture.task_counts.get(state, 0)) for state in _COUNTED)
    tasks = ", ".join(f"{count} {state}" for state, count in counts if count) or "none"
    sums = _line(f" tasks: {tasks}")
    if picture.backlog:
        sums.append(f"  backlog: {picture.backlog}")
    if picture.conductor.waiting:
        sums.append(f"  for you: {picture.conductor.waiting}", style="bold")
    if picture.put_aside:
        sums.append(f"  dead letters: {picture.put_aside}", style="bold red")
    return sums


def _foot(trouble: str) -> Text:
    if trouble:
        return _line(f" {one_line(trouble, _LONGEST)}  q quits", style="bold red")
    return _line(" q quits", style="dim")


def _agents(picture: Picture, room: int) -> Table:
    table = _table(("AGENT", _NAME), ("STATE", 8), ("ROUND", 7), ("MAIL", 7), ("SINCE", 8), ("DOING", None))
    first = [] if picture.conducting is None else [picture.conducting]
    agents = _fitting(picture.agents, max(0, room - len(first)))
    left = sum(picture.agent_counts.values()) - len(agents)
    shown = [*first[:room], *agents]
    for line in shown:
        agent = line.agent
        style = _STYLES.get(agent.state, "")
        table.add_row(
            _line(one_line(agent.name, _LONGEST), style="bold"),
            _line(str(agent.state), style=style),
            _line(f"{agent.rounds_completed}/{agent.max_rounds}"),
            _mail(line.mail),
            _line(_clock(agent.last_active_at or agent.created_at), style="dim"),
            _line(_doing(line), style="red" if agent.state is AgentState.ERROR else ""),
        )
    _fill(table, room - len(shown), f"... and {left} more agents" if left else "", "No agents. tt spawn NAME", shown)
    return table


def _fitting(agents: Sequence[AgentLine], room: int) -> Sequence[AgentLine]:
    """Those that fit, in their order; where not all do, those first that are at work, then those alive."""
    if len(agents) <= room:
        return agents
    by_interest = sorted(agents, key=lambda line: (not line.agent.in_round, line.agent.state.is_terminal))
    return by_interest[: max(0, room - 1)]


def _mail(mail: Mail) -> Text:
    text = _line(str(mail.waiting) if mail.waiting else "-", style="" if mail.waiting else "dim")
    if mail.urgent:
        text.append("!", style="bold red")
    if mail.in_hand:
        text.append(f" +{mail.in_hand}", style="green")
    return text


def _doing(line: AgentLine) -> str:
    agent = line.agent
    if agent.in_round:
        return one_line(line.work, _LONGEST) or "a round"
    if agent.state is AgentState.ERROR or (agent.backoff_until and not agent.state.is_terminal):
        until = f"waits until {_clock(agent.backoff_until)}: " if agent.backoff_until else ""
        return until + one_line(agent.reason or "", _LONGEST)
    return one_line(line.work, _LONGEST)


def _tasks(tasks: Sequence[TaskView], room: int) -> Table:
    table = _table(("TASK", 8), ("STATE", 9), ("AGENT", _NAME), ("DESCRIPTION", None))
    # Those that agents are at stand first already; open ones interest more than those that are over.
    shown = sorted(tasks, key=lambda each: (each.task.state is not TaskState.RUNNING, each.task.state.is_terminal))
    for each in shown[:room]:
        style = _STYLES.get(each.task.state, "")
        table.add_row(
            _line(short(each.task.id), style="dim"),
            _line(str(each.task.state), style=style),
            _line(one_line(each.agent_name or "-", _LONGEST)),
            _line(one_line(each.task.description, _LONGEST), style="dim" if each.task.state.is_terminal else ""),
        )
    _fill(table, room - min(room, len(shown)), "", "No tasks. tt assign AGENT TASK", shown)
    return table


def _events(picture: Picture, room: int) -> Table:
    table = _table(("TIME", 8), ("EVENT", 18), ("AGENT", _NAME), ("DETAIL", None))
    shown = picture.events[-room:]
    for event in shown:
        table.add_row(
            _line(_clock(event.at), style="dim"),
            _line(one_line(event.type, _LONGEST), style=_event_style(event)),
            _line(detail_of(event.agent, picture.names) if event.agent else "-"),
            _line(one_line(detail_of(event.detail or "", picture.names), _LONGEST)),
        )
    _fill(table, room - len(shown), "", "Nothing has happened yet", shown)
    return table


def _event_style(event: Event) -> str:
    noun, _, verb = event.type.partition(".")
    if verb in ("failed", "cut") or noun == "dead_letter":
        return "red"
    return "green" if verb in ("completed", "finished") else ""


def _table(*columns: tuple[str, int | None]) -> Table:
    """A list whose columns have these widths; the last one takes what is left."""
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold cyan")
    for title, width in columns:
        if width is None:
            table.add_column(title, ratio=1, no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(title, width=width, no_wrap=True, overflow="ellipsis")
    return table


def _fill(table: Table, empty: int, more: str, nothing: str, shown: Sequence[object]) -> None:
    """Rows without content, so that every list has the height it was given; the first may say something."""
    for number in range(empty):
        text = (more or ("" if shown else nothing)) if number == 0 else ""
        cells = [Text("") for _ in table.columns]
        cells[-1] = _line(text, style="dim")
        table.add_row(*cells)


def _line(text: str, style: str = "") -> Text:
    """One line, cut at the edge. Never markup: what agents say is text."""
    return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _clock(stamp: str) -> str:
    """A point in time by the clock on the wall, or the day where it is not today's."""
    try:
        then = time.localtime(times.seconds_of(stamp))
    except (ValueError, OverflowError, OSError):
        return "-"
    return time.strftime("%H:%M:%S" if then[:3] == time.localtime()[:3] else "%m-%d", then)
