"""`tt bootstrap`: a Redis server for this user. No town is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.terminal import note, say
from tinytown.errors import Forbidden
from tinytown.runtime.bootstrap.choose import Bootstrap
from tinytown.runtime.bootstrap.place import Place, Wanted
from tinytown.runtime.caller import credential
from tinytown.runtime.configuring import ConfigFile
from tinytown.text import term_safe

if TYPE_CHECKING:
    from tinytown.cli.asked import BootstrapAsked
    from tinytown.cli.invocation import Common
    from tinytown.runtime.bootstrap.place import Installed


def bootstrap(request: BootstrapAsked, common: Common) -> int:
    """Install it, unless there is one that fits."""
    if credential(os.environ) is not None:
        raise Forbidden("An agent cannot install a server", hint="Ask the person whose machine this is.")
    home = Path.home()
    wanted = Wanted.parse(request.version)
    place = Place(home, note if common.json else say)
    settings = ConfigFile(home).settings(os.environ)
    work = Bootstrap(place, wanted, settings, cli=request.cli, progress=_progress)
    there = work.there(os.environ.get("PATH", os.defpath)) if request.method == "auto" and not request.cli else None
    if there is None:
        place.tell(f"🚀 Bootstrapping Redis {wanted} to {term_safe(str(place.root), lines=False)}")
    _report(there or work.run(request.method, quiet=common.json), common)
    return 0


def _report(found: Installed, common: Common) -> None:
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(found))
        return
    path = term_safe(found.path, lines=False)
    if found.method == "there":
        say(
            f"✅ {found.name.capitalize()} {found.version} is installed already: {path}",
            "   Another version: tt bootstrap <version>, or choose a way with --method",
        )
        return
    say(
        "",
        "✅ Redis installed successfully!",
        f"   {path} is {found.name} {found.version}",
        "",
        "   Add to your PATH:",
        f'   export PATH="{term_safe(str(Path(found.path).parent), lines=False)}:$PATH"',
        "",
        "   Or add to ~/.zshrc or ~/.bashrc for persistence.",
        "",
        "   Then run: tt init",
    )


def _progress(done: int, whole: int) -> None:
    """How far a download is, on a terminal, in one line that is written over."""
    if sys.stderr is None or not sys.stderr.isatty():
        return
    part = f"{min(100, done * 100 // whole)} %" if whole else f"{done >> 10:,} KiB"
    sys.stderr.write(f"\r   {part}   ")
    if done == whole:
        sys.stderr.write("\r        \r")
    sys.stderr.flush()
