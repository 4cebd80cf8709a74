"""`tt save` and `tt restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.session import opened, place
from tinytown.cli.terminal import say
from tinytown.runtime.operations import saving as operations
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.saving import Restore, Restored, Save


def save(request: Save, common: Common) -> int:
    """Save the town."""
    with opened(common) as town:
        result = run_sync(operations.save(town, request))
        file = place(town, Path(result.path))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(
            "💾 Saving Redis state...",
            f"   Saved {result.size:,} bytes. File: {file}",
            "",
            "   To version control Redis state:",
            f"   git add {file}",
            "   git commit -m 'Save town state'",
        )
    return 0


def restore(request: Restore, common: Common) -> int:
    """Restore the town, or say what that would bring."""
    with opened(common) as town:
        result = run_sync(operations.restore(town, request))
        file = place(town, Path(result.path))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
        return 0
    say(f"📂 AOF file found: {file}", "", *(f"   {line}" for line in result.lines), "")
    if result.dry_run:
        if result.commands:
            note_of = "that nobody here has accepted" if result.unread else "that are accepted"
            say(f"   ⚠️  Commands to verify tasks, {note_of}:", *_commands(result), "")
        say(f"   Nothing was changed. To restore it: tt restore{' --allow-verify' if result.unread else ''}")
    else:
        if result.left_out:
            say("   ⚠️  Left out: tasks will not be verified by these commands:", *_commands(result), "")
        say(
            f"✅ Restored {result.agents} agent(s), {result.tasks} task(s), {result.messages} message(s)",
            "   Agents are stopped. Start one with: tt restart <name>",
        )
    return 0


def _commands(result: Restored) -> list[str]:
    return [f"      {term_safe(command, lines=False)}" for command in result.commands]
