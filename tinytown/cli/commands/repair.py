"""`tt recover` and `tt reclaim`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.render import repair as render
from tinytown.cli.session import ask
from tinytown.cli.terminal import note, remark, say

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.orphans import ReclaimOrphans
    from tinytown.runtime.operations.reclaiming import Reclaim
    from tinytown.runtime.operations.recovering import Recover


def recover(request: Recover, common: Common) -> int:
    """Recover what a dead runtime left behind."""
    from tinytown.runtime.operations.recovering import recover as operation

    result = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(*render.recovered(result))
    return 0


def reclaim(request: Reclaim, common: Common) -> int:
    """Move the work of ended agents; 1 when some of it had to stay."""
    from tinytown.runtime.operations.reclaiming import reclaim as operation

    result = ask(common, operation, request)
    if common.json:
        from tinytown.cli.render.encode import dump, fields_of

        say(dump(fields_of(result, note=None)))
    elif request.is_preview:
        say(*render.left(result))
    else:
        say(*render.reclaimed(result))
    remark(result.note)
    note(*(render.busy(agent, "reclaim") for agent in result.busy))
    return 1 if result.busy else 0


def orphans(request: ReclaimOrphans, common: Common) -> int:
    """Show or settle open tasks whose agent has ended or is gone."""
    from tinytown.runtime.operations.orphans import reclaim_orphans

    result = ask(common, reclaim_orphans, request)
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(*render.orphans(result))
    return 0
