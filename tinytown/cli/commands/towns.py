"""`tt towns`: the towns of this user, and how each is. Nothing is started to find out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.terminal import say
from tinytown.runtime.towns_file import look, registered
from tinytown.text import one_line, term_safe

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.towns_file import TownLine


def towns(_request: None, common: Common) -> int:
    """List them."""
    lines = [look(entry, environ=os.environ) for entry in registered(home=Path.home())]
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(lines))
        return 0
    if not lines:
        say("📍 No towns registered yet.", "   Run 'tt init' in a directory to register a town.")
        return 0
    say(f"🏘️  Registered Towns ({len(lines)}):")
    for line in lines:
        name = term_safe(line.name, lines=False)
        say("", f"   {name} - {_status(line)}", f"      📂 {term_safe(line.path, lines=False)}")
    return 0


def _status(line: TownLine) -> str:
    if line.status == "ok":
        return f"[OK] {line.agents} agents ({line.active} active)"
    if line.status == "offline":
        return "[OFFLINE]"
    if line.status == "path not found":
        return "❌ (path not found)"
    return f"⚠️ ({one_line(line.problem or line.status, 200)})"
