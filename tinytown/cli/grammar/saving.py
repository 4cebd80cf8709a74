"""`tt save` and `tt restore`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli.grammar.options import SHOW, Flag, ShowOptions
from tinytown.cli.invocation import Invocation


def save(*, options: ShowOptions = SHOW) -> Invocation:
    """Save the town's state to a file for version control.

    Example: tt save && git add .tt/redis.aof
    """
    from tinytown.runtime.operations.saving import Save

    return Invocation("save", Save(), options.common())


def restore(
    *,
    dry_run: Annotated[Flag, Parameter(name="--dry-run", help="Only say what the file would bring.")] = False,
    force: Annotated[Flag, Parameter(help="Also replace a town that runs or is not empty.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Restore the town's state from the saved file.

    Example: tt restore --dry-run
    """
    from tinytown.runtime.operations.saving import Restore

    return Invocation("restore", Restore(dry_run=dry_run, force=force), options.common())
