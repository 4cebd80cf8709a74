"""`tt save`, `tt restore` and `tt migrate`."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import asked
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
    allow_verify: Annotated[
        Flag, Parameter(help="Let the commands run by which tasks in the file are verified.")
    ] = False,
    without_verify: Annotated[Flag, Parameter(help="Leave those commands out.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Restore the town's state from the saved file.

    A file that was not saved here may bring commands that would run later, to verify tasks. They are shown first, and
    taken only with --allow-verify.

    Example: tt restore --dry-run
    """
    from tinytown.runtime.operations.saving import Restore

    return Invocation("restore", Restore(dry_run, force, allow_verify, without_verify), options.common())


def migrate(
    *,
    dry_run: Annotated[Flag, Parameter(name="--dry-run", help="Only say what would be moved.")] = False,
    force: Annotated[Flag, Parameter(help="Do not ask first.")] = False,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Migrate Redis keys from old format to town-isolated format.

    Example: tt migrate --dry-run
    """
    return Invocation("migrate", asked.MigrateAsked(dry_run, force), options.common())
