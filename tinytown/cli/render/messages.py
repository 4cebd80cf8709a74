"""Messages and inboxes, as `tt send` and `tt inbox` show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render.agents import safe_name, title
from tinytown.cli.render.encode import fields_of
from tinytown.cli.terminal import cells, fit
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.messages import Priority
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.runtime.operations.answering import Answered, Dismissed
    from tinytown.runtime.operations.messages import InboxesView, InboxView, Send, Sent

_LETTERS = {"task": "T", "query": "Q", "informational": "I", "confirmation": "C"}

PREVIEWS = 5
"""Tasks of an agent that are shown by their text among all inboxes."""

EMPTY = "No pending messages."


def sent(result: Sent, request: Send) -> str:
    """What was sent."""
    to = term_safe(result.to.name, lines=False)
    if request.priority is Priority.URGENT:
        return f"🚨 Sent URGENT {request.kind} message to '{to}'"
    return f"📀 Sent {request.kind} message to '{to}'"


def answered(result: Answered) -> str:
    """What was answered, and whom."""
    return f"📀 Answered message {short(result.asked.id)} of '{safe_name(result.to)}'"


def dismissed(result: Dismissed) -> str:
    """What was put away."""
    ids = ", ".join(short(message.id) for message in result.messages)
    return f"🧹 Dismissed {len(result.messages)} message(s): {ids}"


def is_answerable(view: InboxView) -> bool:
    """It is the person's inbox, and something waits in it."""
    return view.agent.id == SUPERVISOR_ID and bool(view.entries)


def inbox(view: InboxView) -> list[str]:
    """One inbox, with what waits in it; the person's with the ids that `tt answer` takes."""
    lines = [f"📬 Inbox for '{safe_name(view.agent)}': {view.waiting} messages"]
    for entry in view.entries:
        urgent = "🚨 " if entry.message.priority is Priority.URGENT else ""
        sender = term_safe(entry.sender_name, lines=False)
        name = f"{short(entry.message.id)} {sender}" if is_answerable(view) else sender
        before = f"   {urgent}[{_LETTERS[entry.kind]}] {name}: "
        lines.append(before + fit(entry.text, cells(before)))
    left = view.waiting - len(view.entries) - view.unreadable
    if left > 0:
        lines.append(f"   ... and {left} more")
    if view.unreadable:
        lines.append(f"   ⚠️  {view.unreadable} that cannot be read")
    if view.in_hand:
        lines.append(f"   🔄 {view.in_hand} in the hands of the running turn")
    return lines


def inboxes(views: InboxesView) -> list[str]:
    """All inboxes that are not empty."""
    lines: list[str] = []
    for view in (*views.agents, views.conductor):
        if not view.waiting:
            continue
        counts = view.counts
        lines += [
            "",
            f"  {safe_name(view.agent)} ({title(view.agent)}):",
            f"    [T] {counts.tasks} tasks requiring action",
            f"    [Q] {counts.queries} queries awaiting response",
            f"    [I] {counts.informational} informational",
            f"    [C] {counts.confirmations} confirmations",
            *_previews(view),
        ]
    if not lines:
        return [EMPTY]
    return ["📋 Pending Messages by Agent:", *lines, "", f"Total: {views.actionable} actionable message(s)"]


def _previews(view: InboxView) -> list[str]:
    tasks = [entry for entry in view.entries if entry.kind == "task"]
    lines = [f"    • {fit(entry.text, 6)}" for entry in tasks[:PREVIEWS]]
    left = view.counts.tasks - PREVIEWS
    return [*lines, f"    • ... and {left} more"] if left > 0 else lines


def encode(view: InboxView) -> JsonObject:
    """One inbox for programs: each message as on the wire, with its sender's name, its kind and its text."""
    messages = [
        fields_of(entry.message, from_name=entry.sender_name, kind=entry.kind, text=entry.text)
        for entry in view.entries
    ]
    return fields_of(view, entries=None, messages=messages)


def encode_all(views: InboxesView) -> JsonObject:
    """All inboxes for programs."""
    return fields_of(views, agents=[encode(view) for view in views.agents], conductor=encode(views.conductor))
