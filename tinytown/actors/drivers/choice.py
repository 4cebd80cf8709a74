"""Which CLI a name means: the built-in ones, changed and completed by the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tinytown.actors.drivers.presets import PRESETS, CliPreset
from tinytown.errors import UnknownCli
from tinytown.text import one_line

if TYPE_CHECKING:
    from tinytown.config import Settings


def known_clis(settings: Settings) -> list[str]:
    """The names that `resolve_cli` takes, sorted."""
    return sorted({*PRESETS, *(name for name, own in settings.agent_clis.items() if own.command)})


def resolve_cli(settings: Settings, name: str) -> CliPreset:
    """How the CLI of this name is run; `UnknownCli` lists the names there are.

    A table `[agent_clis.<name>]` without a command changes only what it says about a built-in CLI.
    """
    preset, own = PRESETS.get(name), settings.agent_clis.get(name)
    if own is None or (preset is None and own.command is None):
        if preset is None:
            raise UnknownCli(
                f"Unknown agent CLI '{one_line(name, 40)}'",
                hint=f"Known are: {', '.join(known_clis(settings))}. Add others as [agent_clis.<name>].",
            )
        return preset
    base = preset or CliPreset(name=name, command="")
    return replace(
        base,
        command=own.command or base.command,
        interactive=own.interactive or base.interactive,
        workdir=own.workdir or base.workdir,
        env={**base.env, **own.env},
        env_pass=(*base.env_pass, *own.env_pass),
    )
