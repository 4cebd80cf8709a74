"""`tt auth` and `tt audit`: keys for townhall, and who used it."""

from typing import Annotated

from cyclopts import Parameter

from tinytown.cli import requests
from tinytown.cli.grammar.options import QUIET, SHOW, Options, ShowOptions
from tinytown.cli.invocation import Invocation


def gen_key(
    *,
    name: Annotated[str | None, Parameter(help="Keep it in the town, under this name.")] = None,
    scopes: Annotated[
        str | None,
        Parameter(help="Keep it in the town, with these scopes: town.read, town.write, agent.manage, admin."),
    ] = None,
    days: Annotated[float | None, Parameter(help="Keep it in the town for so many days.")] = None,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Generate a new API key and its hash.

    Without further options nothing is kept: put the hash into tinytown.toml. With any of them the town keeps it, and
    'tt auth list' and 'tt auth revoke' know it.

    Example: tt auth gen-key --name phone --scopes town.read,town.write --days 90
    """
    return requests.gen_key(options.common(), name=name, scopes=scopes, days=days)


def list_keys(*, options: ShowOptions = SHOW) -> Invocation:
    """Show the API keys that the town keeps.

    Example: tt auth list
    """
    from tinytown.runtime.operations.api_keys import ListKeys

    return Invocation("auth list", ListKeys(), options.common())


def revoke(
    key: Annotated[str, Parameter(help="Name or id of the key.")], /, *, options: ShowOptions = SHOW
) -> Invocation:
    """Revoke an API key; it opens nothing any more.

    Example: tt auth revoke phone
    """
    from tinytown.runtime.operations.api_keys import RevokeKey

    return Invocation("auth revoke", RevokeKey(key), options.common())


def token(*, options: Options = QUIET) -> Invocation:
    """Print the local token, with which you log in on this machine.

    Example: tt auth token
    """
    return Invocation("auth token", None, options.common())


def audit(
    *,
    count: Annotated[int, Parameter(name=("--count", "-n"), help="How many calls.")] = 50,
    options: ShowOptions = SHOW,
) -> Invocation:
    """Show the calls over HTTP that changed something or were refused.

    Example: tt audit --count 20
    """
    from tinytown.runtime.operations.audit import Audit

    return Invocation("audit", Audit(count), options.common())
