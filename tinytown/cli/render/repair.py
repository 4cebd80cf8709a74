"""What was left behind, as `tt recover` and `tt reclaim` show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tinytown import times
from tinytown.actors.handover import Where
from tinytown.cli.render.agents import safe_name, title
from tinytown.cli.render.tasks import ICONS
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.messages import Message, TaskAssign, Work
from tinytown.runtime.operations.messages import said
from tinytown.runtime.operations.orphans import OrphanAction
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.actors.handover import HandedOver, Piece
    from tinytown.records import Agent
    from tinytown.runtime.operations.orphans import Orphan, Orphans
    from tinytown.runtime.operations.reclaiming import Reclaimed
    from tinytown.runtime.operations.recovering import Recovered

_RECLAIMING = "🔄 Reclaiming orphaned tasks..."
_NOTHING = [_RECLAIMING, "", "✨ No orphaned tasks found"]

_UNREADABLE = "a message that cannot be read"


def recovered(result: Recovered) -> list[str]:
    """Agents whose runtime had died."""
    lines = ["🔍 Scanning for orphaned agents..."]
    for agent in result.agents:
        age = _age(agent)
        lines.append(f"   🔄 Recovered '{safe_name(agent)}' ({title(agent)}) - last heartbeat {age} ago")
    lines.append("")
    if not result.agents:
        return [*lines, f"✨ No orphaned agents found ({result.checked} agents checked)"]
    lines.append(f"✨ Recovered {len(result.agents)} orphaned agent(s) ({result.checked} total checked)")
    if result.messages:
        lines.append(f"   {result.messages} message(s) are back in their mailboxes")
    if result.by_runtime:
        return [*lines, "   A runtime is alive and goes on with them"]
    return [*lines, "   Run 'tt prune' to remove them from Redis"]


def left(result: Reclaimed) -> list[str]:
    """What a preview has found."""
    if not result.left:
        return _NOTHING
    lines = [_RECLAIMING]
    tasks = others = 0
    for each in result.left:
        lines.append(_head(each.agent, len(each.messages) + each.unreadable))
        for message in each.messages:
            is_task = isinstance(message.body, TaskAssign | Work)
            tasks, others = tasks + is_task, others + (not is_task)
            lines.append(_row(f"{'task' if is_task else message.body.type}: ", _text(message)))
        tasks, others = tasks + len(each.tasks), others + each.unreadable
        lines += [f"      task: {task.id}" for task in each.tasks]
        lines += [f"      {_UNREADABLE}"] * each.unreadable
    lines += ["", f"📋 Found {_count(tasks, others)}", "   Use --to-backlog or --to <agent> to reclaim them"]
    return lines


def reclaimed(result: Reclaimed) -> list[str]:
    """What was moved."""
    if not result.moved:
        return _NOTHING
    heir = "backlog" if result.to is None else safe_name(result.to)
    lines = [_RECLAIMING]
    tasks = others = 0
    for done in result.moved:
        lines.append(_head(done.agent, sum(not _is_silent(piece) for piece in done.pieces)))
        for piece in done.pieces:
            is_task = piece.where is not Where.NOWHERE and _is_task(piece)
            tasks, others = tasks + is_task, others + (not is_task)
            lines.append(_moved(piece, heir))
    place = "backlog" if result.to is None else f"'{heir}'"
    lines += ["", f"✅ Moved {tasks} task(s) to {place}"]
    if others:
        where = "the conductor's inbox" if result.to is None else place
        lines.append(f"   {_others(result.moved, others)} to {where}")
    return lines


def orphans(result: Orphans) -> list[str]:
    """Open tasks whose agent has ended or is gone."""
    if not result.orphans:
        return _NOTHING
    lines = [_RECLAIMING, *(_orphan(each) for each in result.orphans), ""]
    count = len(result.orphans)
    match result.action:
        case OrphanAction.LIST:
            hint = "   Use --to-backlog, --cancel or --delete with --orphan-tasks to settle them"
            return [*lines, f"📋 Found {count} orphaned task(s)", hint]
        case OrphanAction.TO_BACKLOG:
            return [*lines, f"✅ Moved {count} task(s) to backlog"]
        case OrphanAction.CANCEL:
            return [*lines, f"✅ Cancelled {count} task(s)"]
        case OrphanAction.DELETE:
            return [*lines, f"✅ Deleted {count} task(s)"]


def busy(agent: Agent, command: str) -> str:
    """An agent that was left alone."""
    name = safe_name(agent)
    return (
        f"Note: Agent '{name}' is in a turn. End it with 'tt kill {name} --now', or cut it with 'tt {command} --force'."
    )


def _head(agent: Agent, messages: int) -> str:
    return f"   {safe_name(agent)} ({title(agent)}): {messages} message(s)"


def _moved(piece: Piece, heir: str) -> str:
    match piece.where:
        case Where.BACKLOG if piece.task is not None:
            return f"      → backlog: {piece.task.id}"
        case Where.NOWHERE:
            return _row("→ done with: ", "an assignment of a task that has ended or is somebody else's")
        case Where.CONDUCTOR:
            kind = f"{piece.message.body.type}: " if piece.message is not None else ""
            return _row(f"→ conductor: {kind}", _text(piece.message))
        case _:
            silent = piece.task.id if piece.task is not None and piece.message is None else None
            return _row(f"→ {heir}: ", silent or _text(piece.message))


def _orphan(orphan: Orphan) -> str:
    task = orphan.task
    before = f"   {ICONS[task.state]} {short(task.id)}-... - "
    whose = f"{term_safe(orphan.agent_name, lines=False)} has ended" if orphan.agent_name else "its agent is gone"
    return f"{before}{fit(task.description, cells(before) + len(whose) + 3)} [{whose}]"


def _row(before: str, text: str) -> str:
    start = f"      {before}"
    return start + fit(text, cells(start))


def _text(message: Message | None) -> str:
    if message is None:
        return _UNREADABLE
    body = message.body
    return body.task_id if isinstance(body, TaskAssign) else said(body, {})


def _is_silent(piece: Piece) -> bool:
    """A task that no message spoke of."""
    return piece.message is None and piece.task is not None


def _is_task(piece: Piece) -> bool:
    body = piece.message.body if piece.message is not None else None
    return piece.task is not None or isinstance(body, TaskAssign | Work)


def _others(moved: tuple[HandedOver, ...], others: int) -> str:
    ended = sum(done.count(Where.NOWHERE) for done in moved)
    return f"{others - ended} other message(s)"


def _count(tasks: int, others: int) -> str:
    found = f"{tasks} orphaned task(s)"
    return f"{found} and {others} other message(s)" if others else found


def _age(agent: Agent) -> str:
    """How long ago the last heartbeat was, in its largest unit."""
    try:
        seconds = time.time() - times.seconds_of(agent.last_heartbeat)
    except ValueError:
        return "long"
    return times.span(seconds).split()[0]
