"""`tt migrate`: what an older version left in Redis becomes part of this town, after a look and a question."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tinytown.cli.session import opened
from tinytown.cli.terminal import note, say
from tinytown.errors import Conflict
from tinytown.runtime.operations.migrating import Migrate
from tinytown.runtime.operations.migrating import migrate as operation
from tinytown.text import term_safe
from tinytown.transport.blocking import run_sync

if TYPE_CHECKING:
    from tinytown.cli.asked import MigrateAsked
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.migrating import Migrated


def migrate(request: MigrateAsked, common: Common) -> int:
    """Show it, ask, do it. Status 1 when keys of the old layout are left."""
    with opened(common) as town:
        found = run_sync(operation(town, Migrate(dry_run=True)))
        if found.moved and not request.dry_run:
            if not request.force:
                _ask(found)
            found = run_sync(operation(town, Migrate()))
    _report(found, common)
    return 1 if found.kept and not request.dry_run else 0


def _ask(found: Migrated) -> None:
    if found.neighbours:
        names = ", ".join(term_safe(name, lines=False) for name in found.neighbours)
        note(f"Note: other towns use this Redis ({names}). The old keys do not say whose they are.")
    note(f"Migrate {len(found.moved)} key(s) to town '{term_safe(found.town, lines=False)}'? [y/N]")
    line = sys.stdin.readline() if sys.stdin is not None else ""
    if line.strip().lower() not in ("y", "yes"):
        raise Conflict("Nothing was migrated", hint="Without a question: tt migrate --force")


def _report(found: Migrated, common: Common) -> None:
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found))
    elif found.dry_run and found.moved:
        say(*_preview(found))
    elif found.moved:
        say(
            f"✅ Migrated {len(found.moved)} key(s) to town '{term_safe(found.town, lines=False)}'",
            *_moves(found),
            "   Agents are stopped. Start one with: tt restart <name>",
        )
    elif not found.kept:
        say("✅ No migration needed: no keys are in the old format.")
    note(*(f"Note: {term_safe(each.key, lines=False)} stays: {term_safe(each.reason)}" for each in found.kept))


def _preview(found: Migrated) -> list[str]:
    return [
        "🔍 Migration Preview (dry run)",
        f"   Town: {term_safe(found.town, lines=False)}",
        "",
        "   Keys to migrate:",
        *_moves(found),
        "",
        f"   Total: {len(found.moved)} key(s) would be migrated",
        "",
        "   Run 'tt migrate' (without --dry-run) to perform migration.",
    ]


def _moves(found: Migrated) -> list[str]:
    lines = []
    for each in found.moved:
        told = f" ({each.note})" if each.note else ""
        lines.append(term_safe(f"   {each.old} → {each.new}{told}", lines=False))
    return lines
