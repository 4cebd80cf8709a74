"""Whether an agent's CLI can be run here, as far as can be seen before it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tinytown.actors.drivers.choice import resolve_cli
from tinytown.actors.drivers.presets import CliPreset, root_refusal
from tinytown.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tinytown.runtime.town import Town


def cli_warning(town: Town, cli: str) -> str | None:
    """Why agents of this CLI will fail on this host, None when nothing speaks against it.

    Raises `UnknownCli`, and `Untrusted` for one that only a part of `tinytown.toml` defines which nobody has
    accepted.
    """
    if f"agent_clis.{cli}" in town.settings.withheld and cli not in town.settings.agent_clis:
        from tinytown.actors.drivers.presets import PRESETS

        if cli not in PRESETS:
            raise Untrusted(f"Agent CLI '{cli}' is defined in {town.files.config.name}, which you have not accepted")
    preset = resolve_cli(town.settings, cli)
    return missing_program(preset, town.root, town.environ) or root_refusal(
        preset, {**town.environ, **preset.env}, os.geteuid()
    )


def missing_program(preset: CliPreset, root: Path, environ: Mapping[str, str]) -> str | None:
    """A sentence that names the program of this CLI when it is not there; None when it is."""
    import shlex
    import shutil

    try:
        words = shlex.split(preset.command)
    except ValueError as error:
        return f"The command of '{preset.name}' cannot be read: {error}"
    program = words[0] if words else ""
    path = {**environ, **preset.env}.get("PATH", os.defpath)
    wanted = str(root / program) if "/" in program else program
    if program and shutil.which(wanted, path=path):
        return None
    return f"'{program}', the program of agent CLI '{preset.name}', is not on the PATH"
