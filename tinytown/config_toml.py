"""The text of a new `tinytown.toml`.

It says what is usual and shows the rest as comments. Nothing in it needs trust, and no preset is written out: a
command frozen into a file would stay as it is when the CLI behind it changes its options.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tinytown.config_sections import DEFAULT_CLI, DEFAULT_MAX_AGENTS, DEFAULT_SOCKET
from tinytown.ids import town_name

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD = """\
# The configuration of this town. Every key, with its default: docs/configuration.md

name = {name}

# The AI coding CLI of agents spawned without --cli.
default_cli = {cli}

# How many agents may be alive at once.
max_agents = {max_agents}

# The CLI of the conductor, if it is another one.
# conductor_cli = {cli}

[redis]
# A server of this town's own, reached through a Unix socket; `redis-cli -s {socket}` looks inside.
use_socket = true
socket_path = "{socket}"

# What survives a power loss: "always" all that was accepted, "fast" all but the last second, "none" nothing.
# durability = "always"

# Another server instead. Its password belongs into the environment: TINYTOWN_REDIS_PASSWORD.
# url = "rediss://redis.example.com:6379/0"

# Programs and addresses in this file have no effect until you accept them with `tt trust accept`.
#
# The usual CLIs are built in, with the options that fit their present versions. A table changes one or adds
# another. The prompt goes to standard input, or into a file where the command says {{prompt_file}}.
"""

_EXAMPLE = """\
# [agent_clis.my-ai]
# command = "my-ai-cli --task-file {prompt_file}"
# workdir = "~/agents"
# env_pass = ["MY_AI_API_KEY"]
# [agent_clis.my-ai.env]
# MODEL_VERSION = "v2"
"""


def toml_text(text: str) -> str:
    """The text as a TOML string. JSON's escapes are TOML's too, but for DEL, which TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def default_toml(
    name: str,
    *,
    default_cli: str = DEFAULT_CLI,
    max_agents: int = DEFAULT_MAX_AGENTS,
    presets: Mapping[str, str] | None = None,
) -> str:
    """The file that `tt init` writes; `InvalidName` for a name that no town can have.

    `presets` are the built-in CLIs with their commands; they are shown, commented out.
    """
    head = _HEAD.format(
        name=toml_text(town_name(name)),
        cli=toml_text(default_cli),
        max_agents=max_agents,
        socket=DEFAULT_SOCKET,
    )
    tables = [
        f"# [agent_clis.{cli}]\n# name = {toml_text(cli)}\n# command = {toml_text(command)}\n"
        for cli, command in (presets or {}).items()
    ]
    return "\n".join((head, *tables, _EXAMPLE))
