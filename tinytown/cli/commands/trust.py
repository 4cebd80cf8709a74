"""`tt trust`: what a project's configuration would run or reach, and whether its owner's word counts here.

Nothing is connected and nothing started: a person has to be able to read before anything runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown import config_trust
from tinytown.cli.session import named_as_typed
from tinytown.cli.terminal import note, say
from tinytown.config import load
from tinytown.errors import Conflict, Forbidden
from tinytown.runtime.caller import credential
from tinytown.transport.files import TownFiles

if TYPE_CHECKING:
    from tinytown.cli.asked import Accept
    from tinytown.cli.invocation import Common

SHOWN_DIGITS = 12
"""Of the SHA-256: enough that nobody makes another text with the same ones by trying."""


def show(_request: None, common: Common) -> int:
    """Show it."""
    root, part = _read(common)
    trusted = config_trust.is_trusted(part, root, home=Path.home())
    digest = config_trust.trust_hash(part) if part else None
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"trusted": trusted, "sha256": digest, "lines": config_trust.show(part)}))
        return 0
    if not part:
        say("Nothing in tinytown.toml needs your trust.")
        return 0
    say(f"🔐 {root / 'tinytown.toml'} would run or reach:", *(f"   {line}" for line in config_trust.show(part)))
    if trusted:
        say("✅ You have accepted this. Take it back with: tt trust revoke")
    else:
        say(f"❌ Not accepted, so it has no effect. Accept it with: tt trust accept {_beginning(part)}")
    return 0


def accept(request: Accept, common: Common) -> int:
    """Accept it; on a terminal only after a question, unless the very text that was shown is named."""
    _refuse_agents()
    root, part = _read(common)
    if not part:
        say("Nothing in tinytown.toml needs your trust.")
        return 0
    digest = config_trust.trust_hash(part)
    if request.digest is not None and not _names(request.digest, digest):
        raise Conflict(
            f"This is not what you have read: it is {_beginning(part)} by now",
            hint="Read it again with: tt trust",
        )
    if request.digest is None and not common.json:
        say(f"🔐 {root / 'tinytown.toml'} would run or reach:", *(f"   {line}" for line in config_trust.show(part)))
        if not request.yes and not _agreed():
            raise Conflict("Nothing was accepted")
    config_trust.accept(part, root, home=Path.home())
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"trusted": True, "sha256": digest}))
    else:
        say("✅ Accepted for this directory. A later change asks again.")
    return 0


def revoke(_request: None, common: Common) -> int:
    """Take it back."""
    _refuse_agents()
    with named_as_typed(common):
        root = TownFiles.find(Path(common.start), environ=os.environ).root
    count = config_trust.revoke(root, home=Path.home())
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump({"revoked": count}))
    else:
        say(f"✅ {count} acceptance(s) taken back." if count else "Nothing was accepted for this directory.")
    return 0


def _read(common: Common) -> tuple[Path, str]:
    with named_as_typed(common):
        root = TownFiles.find(Path(common.start), environ=os.environ).root
    return root, load(root, environ=os.environ, home=Path.home()).executable


def _beginning(part: str) -> str:
    return config_trust.trust_hash(part)[:SHOWN_DIGITS]


def _names(given: str, digest: str) -> bool:
    return len(given) >= SHOWN_DIGITS and digest.startswith(given.lower())


def _agreed() -> bool:
    """What the person says; where none sits at the terminal, having given the command is the answer."""
    if sys.stdin is None or not sys.stdin.isatty():
        return True
    note("Accept this? [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _refuse_agents() -> None:
    if credential(os.environ) is not None:
        raise Forbidden("An agent cannot decide what is trusted", hint="Ask the person whose machine this is.")
