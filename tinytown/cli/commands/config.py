"""`tt config`: read and change a configuration file. No town is opened and nothing is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.session import named_as_typed, text_or_input
from tinytown.cli.terminal import note, say
from tinytown.config_trust import HIDDEN
from tinytown.errors import Forbidden, Invalid, TownError
from tinytown.runtime import configuring
from tinytown.runtime.caller import credential
from tinytown.text import term_safe
from tinytown.transport.files import TownFiles

if TYPE_CHECKING:
    from tinytown.cli.asked import ConfigAsked
    from tinytown.cli.invocation import Common
    from tinytown.config_rules import ConfigValue


def config(request: ConfigAsked, common: Common) -> int:
    """Show the file, show one value, or set one."""
    if request.user and request.project:
        raise Invalid("--user and --project name two files", hint="Give one of them.")
    files = None
    if request.project:
        with named_as_typed(common):
            files = TownFiles.find(Path(common.start), environ=os.environ)
    file = configuring.ConfigFile(Path.home(), files)
    if request.key is None:
        return _show(file, common)
    if request.value is None:
        found = configuring.effective(file, request.key, os.environ)
        say(json.dumps(found, ensure_ascii=False) if common.json else _plain(found))
        return 0
    return _set(file, request.key, request.value, common)


def _show(file: configuring.ConfigFile, common: Common) -> int:
    if common.json:
        from tinytown.cli.render.encode import dump
        from tinytown.config import redacted

        say(dump({"path": str(file.path), "settings": redacted(file.settings(os.environ))}))
        return 0
    from tinytown.actors.drivers.presets import PRESETS

    which = "Global" if file.files is None else "Town"
    text = configuring.shown(file)
    say(f"⚙️  {which} config: {term_safe(str(file.path), lines=False)}", "")
    if text:
        say(text, "")
    say(f"Available CLIs: {', '.join(PRESETS)}")
    return 0


def _set(file: configuring.ConfigFile, key: str, value: str, common: Common) -> int:
    if credential(os.environ) is not None:
        raise Forbidden("An agent cannot change the configuration", hint="Ask the person whose machine this is.")
    if configuring.reveals(key, value) and value != "-":
        raise Invalid(
            "A password does not belong on a command line, where others can read it",
            hint=f"Give it by standard input: tt config {key} -",
        )
    changed = configuring.change(file, key, text_or_input(value))
    if common.json:
        from tinytown.cli.render.encode import dump

        say(dump(changed))
    else:
        shown = term_safe(json.dumps(changed.value, ensure_ascii=False), lines=False)
        say(f"✅ Set {term_safe(key, lines=False)} = {shown}", f"   Saved to: {term_safe(changed.path, lines=False)}")
    if file.files is None:
        _tell_of_the_town(file, key, changed.value, common)
    if changed.untrusted:
        note("Note: this file would run or reach what you have not accepted. Read it with: tt trust")
    return 0


def _tell_of_the_town(file: configuring.ConfigFile, key: str, value: ConfigValue, common: Common) -> None:
    """Say so when the town that the person is in has a value of its own, which goes first."""
    try:
        town = configuring.ConfigFile(file.home, TownFiles.find(Path(common.start), environ=os.environ))
        found = configuring.effective(town, key, os.environ)
    except TownError:
        # No town here, or one with a fault of its own: the value was set all the same.
        return
    if found not in (value, HIDDEN):
        shown = term_safe(json.dumps(found, ensure_ascii=False), lines=False)
        note(f"Note: in this town {shown} stays in effect: its tinytown.toml or the environment goes first")


def _plain(value: ConfigValue) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return term_safe(text)
