"""`tt auth` and `tt audit`. Of a key only whoever makes it sees more than its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.cli.session import ask, opened
from tinytown.cli.terminal import say

if TYPE_CHECKING:
    from tinytown.cli.invocation import Common
    from tinytown.runtime.operations.api_keys import ListKeys, MakeKey, RevokeKey
    from tinytown.runtime.operations.audit import Audit


def gen_key(request: MakeKey | None, common: Common) -> int:
    """Print a new key: with its hash, for the configuration, or as the town keeps it."""
    from tinytown.cli.render import auth as render

    if request is None:
        from tinytown.runtime.api_key import generate

        made = generate()
        _show(common, {"api_key": made.key, "api_key_hash": made.hash}, render.for_configuration(made))
        return 0
    from tinytown.runtime.operations.api_keys import make_key

    with opened(common) as town:
        from tinytown.transport.blocking import run_sync

        kept = run_sync(make_key(town, request))
        _show(common, {"api_key": kept.key, **render.encode(kept.stored)}, render.kept(kept, town.name))
    return 0


def list_keys(request: ListKeys, common: Common) -> int:
    """Show the keys of the town."""
    from tinytown.cli.render import auth as render
    from tinytown.runtime.operations import api_keys as operations

    found = ask(common, operations.list_keys, request)
    _show(common, [render.encode(key) for key in found.keys], render.listed(found))
    return 0


def revoke(request: RevokeKey, common: Common) -> int:
    """Revoke one."""
    from tinytown.runtime.operations.api_keys import revoke_key
    from tinytown.text import term_safe

    gone = ask(common, revoke_key, request)
    _show(common, gone, [f"🔒 Revoked API key '{term_safe(gone.name, lines=False)}' ({gone.id})"])
    return 0


def token(_request: None, common: Common) -> int:
    """Print the local token."""
    from tinytown.runtime.local_token import ensure_token
    from tinytown.runtime.operations.registry import Scope, require

    with opened(common) as town:
        require(town, Scope.ADMIN)
        say(ensure_token(town.ground.state.directory))
    return 0


def audit(request: Audit, common: Common) -> int:
    """Show who called."""
    from tinytown.cli.render import auth as render
    from tinytown.runtime.operations.audit import audit as operation

    found = ask(common, operation, request)
    _show(common, found.records, render.audited(found.records))
    return 0


def _show(common: Common, result: object, lines: list[str]) -> None:
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(result))
    else:
        say(*lines)
