"""`tt plan` and `tt sync`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.render import plan as render
from tinytown.cli.session import opened
from tinytown.cli.terminal import note, remark, say
from tinytown.errors import NotFound
from tinytown.plan import PLAN_FILE, parse_plan
from tinytown.runtime import plan_file
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.cli.asked import PlanAsked, SyncAsked
    from tinytown.cli.invocation import Common
    from tinytown.runtime.town import Town


def plan(request: PlanAsked, common: Common) -> int:
    """Show the plan, or make one. Needs no Redis, and not even a town."""
    path = plan_file.plan_path(Path(common.start), environ=os.environ)
    if request.init:
        plan_file.init_plan(path)
        if common.json:
            from tinytown.cli.render.encode import dump

            say(dump({"created": str(path)}))
        else:
            say(f"📝 Created {_name(path)}")
        return 0
    found = parse_plan(plan_file.read_plan(path))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(render.flat(found, graph=request.graph)))
    elif request.graph:
        say(*render.graph(found, _name(path)))
    else:
        say(*render.listing(found, _name(path)))
    return 0


def sync(request: SyncAsked, common: Common) -> int:
    """Bring the plan to the town, or what came of it back."""
    with opened(common) as town:
        path = plan_file.plan_path(town.root, environ=os.environ)
        return _push(town, path, request, common) if request.direction == "push" else _pull(town, path, request, common)


def _push(town: Town, path: Path, request: SyncAsked, common: Common) -> int:
    from tinytown.runtime.operations.plan import Push, push
    from tinytown.transport.blocking import run_sync

    text = plan_file.read_plan(path)
    result = run_sync(push(town, Push(text, allow_verify=request.allow_verify)))
    remark(*result.notes)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(f"⬆️  Pushed {len(result.tasks)} tasks from {PLAN_FILE} to Redis")
        if common.verbose:
            note(f"tt: {result.created} new, {result.changed} changed")
    return 0


def _pull(town: Town, path: Path, request: SyncAsked, common: Common) -> int:
    from tinytown.runtime.operations.plan import Pull, pull
    from tinytown.transport.blocking import run_sync

    text = None
    with suppress(NotFound):
        text = plan_file.read_plan(path)
    result = run_sync(pull(town, Pull(text, everything=request.everything)))
    if result.text != text:
        plan_file.write_plan(path, result.text)
    if result.missing:
        note(f"Note: not pushed yet: {', '.join(result.missing[:10])}" + (", ..." if len(result.missing) > 10 else ""))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"pulled": result.count, "added": result.added, "missing": result.missing}))
    else:
        say(f"⬇️  Pulled {result.count} tasks from Redis to {PLAN_FILE}")
    return 0


def _name(path: Path) -> str:
    """The plan as the person in this directory calls it."""
    here = os.path.realpath(path.parent) == os.path.realpath(os.curdir)
    return f"./{path.name}" if here else term_safe(str(path), lines=False)
