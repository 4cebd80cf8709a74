"""The conductor, as `tt conductor` shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.ids import short
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from tinytown.messages import Message
    from tinytown.records import Task
    from tinytown.runtime.operations.conducting import Attended, Conducted

_SHOWN = 100
"""Characters of a goal."""


def started(result: Conducted, log: str, *, detached: bool) -> list[str]:
    """A conductor that has begun; `log` is where it writes."""
    lines = [
        f"🚂 Starting conductor with {term_safe(result.agent.cli, lines=False)} model...",
        f"   Goal: {one_line(result.task.description, _SHOWN)} ({short(result.task.id)})",
        f"   Logs: {term_safe(log, lines=False)}",
    ]
    if result.resumed:
        lines.append("   It goes on where the last one ended.")
    lines.append("   What it has for you waits in: tt inbox conductor")
    return lines if detached else [*lines, "   Waiting for its end; Ctrl-C ends it."]


def attended(found: Attended, context: str) -> list[str]:
    """A conductor that takes over this terminal."""
    return [
        f"🚂 Starting conductor with {term_safe(found.cli, lines=False)} model...",
        f"   Context: {term_safe(context, lines=False)}",
        "",
        f"   Running: {term_safe(found.command[0], lines=False)}",
        "",
    ]


def told(message: Message) -> list[str]:
    """What it has for the person, with the id that `tt answer` takes."""
    assert isinstance(message.body, Informational), "it is a note"
    first, *rest = term_safe(message.body.summary).splitlines() or [""]
    return [f"📬 {short(message.id)} conductor: {first}", *(f"      {line}" if line else "" for line in rest)]


def ended(task: Task) -> list[str]:
    """A goal that nobody pursues any more."""
    result = term_safe(task.result or "")
    match task.state:
        case TaskState.COMPLETED:
            return ["✅ The goal is reached", *([f"   {result}"] if result else [])]
        case TaskState.FAILED:
            return ["❌ The goal cannot be reached", *([f"   {result}"] if result else [])]
        case TaskState.CANCELLED:
            return ["🛑 The goal was cancelled", *([f"   {result}"] if result else [])]
        case _:
            return [
                "🛑 The conductor has ended before its goal",
                "   See why with 'tt why conductor', go on with 'tt conductor --detach'.",
            ]
