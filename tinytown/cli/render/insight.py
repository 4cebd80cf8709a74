"""What agents have done and what they wait for, as `tt history` and `tt why` show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown import times
from tinytown.cli.render.events import detail_of
from tinytown.cli.render.tasks import ICONS, moment
from tinytown.cli.terminal import cells, fit
from tinytown.ids import short
from tinytown.lifecycle import TaskState
from tinytown.runtime.operations.history import Entry, Outcome
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.runtime.operations.history import Chronicle, TaskEnded
    from tinytown.runtime.operations.why import Answer

EMPTY = "Nothing has been done yet."

_LIFE = {
    "agent.spawned": "✨ spawned",
    "agent.restarted": "🔄 restarted",
    "agent.paused": "⏸️  interrupted",
    "agent.resumed": "▶️  resumed",
    "agent.killed": "🛑 asked to stop",
    "agent.closed": "🚪 closed",
    "agent.stopped": "🛑 stopped",
    "agent.failed": "❌ in error",
}
_OUTCOMES = {
    Outcome.FINISHED: "✅ completed",
    Outcome.FAILED: "⚠️  failed",
    Outcome.CUT: "✂️  cut",
    Outcome.RUNNING: "🔄 running",
    Outcome.LOST: "💀 its runtime ended",
}


def chronicle(found: Chronicle) -> list[str]:
    """All entries, oldest first."""
    if not found.entries:
        return [EMPTY]
    lines = [f"📜 History ({len(found.entries)}):"]
    for entry in found.entries:
        lines += _entry(entry)
    return lines


def _entry(entry: Entry) -> list[str]:
    before = f"   {moment(entry.at)} [{term_safe(entry.agent_name, lines=False)}]"
    if entry.outcome is not None:
        number = f" {entry.round}" if entry.round is not None else ""
        took = ""
        if entry.ended is not None:
            took = f" ({times.span(times.seconds_of(entry.ended) - times.seconds_of(entry.at))})"
        before += f" Round{number}: {_OUTCOMES[entry.outcome]}{took}"
    elif entry.tasks:
        return [before, *(_task(task) for task in entry.tasks)]
    else:
        before += f" {_LIFE.get(entry.what, term_safe(entry.what, lines=False))}"
    # The journal repeats the agent's name, for those who read it alone.
    detail = entry.detail.removeprefix(entry.agent_name).lstrip(":, ")
    detail = detail.removeprefix("stopped, ")
    if detail:
        before += " " if detail.startswith("(") else " - "
        before += fit(detail_of(detail, {}), cells(before))
    return [before, *(_task(task) for task in entry.tasks)]


def _task(task: TaskEnded) -> str:
    before = f"      {ICONS[TaskState(task.how)]} {short(term_safe(task.id, lines=False))} "
    return before + fit(task.description or task.how, cells(before))


def answer(found: Answer) -> list[str]:
    """The sentence, and what to do."""
    return [term_safe(found.sentence, lines=False), *([f"   💡 {term_safe(found.advice)}"] if found.advice else [])]
