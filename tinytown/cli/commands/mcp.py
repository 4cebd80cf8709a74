"""`tt mcp install`: the town's server in the configuration of a client."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.cli.session import named_as_typed
from tinytown.cli.terminal import say
from tinytown.errors import Forbidden, Invalid, RuntimeFailed
from tinytown.runtime.caller import Scope, credential
from tinytown.runtime.mcp_clients import CLIENTS, command_line, install, present_text, with_server
from tinytown.transport.files import TownFiles

if TYPE_CHECKING:
    from tinytown.cli.asked import McpInstall
    from tinytown.cli.invocation import Common


def install_client(request: McpInstall, common: Common) -> int:
    """Write the server into the client's file, or show what would be written."""
    if credential(os.environ) is not None:
        raise Forbidden("An agent cannot change what other programs start", hint="Ask the person at this machine.")
    _check_scopes(request.scopes)
    with named_as_typed(common):
        root = TownFiles.find(Path(common.start), environ=os.environ).root
    command = command_line(_townhall(), root, request.scopes)
    if request.client is None:
        say(with_server(CLIENTS["claude"], "", command, where="").rstrip("\n"))
        return 0
    client = CLIENTS[request.client]
    path = client.file(root, Path.home(), os.environ)
    before = present_text(path)
    after = with_server(client, before, command, where=str(path))
    if request.show:
        say(after.rstrip("\n"))
        return 0
    if after == before:
        say(f"✅ {client.title} has this town already, in {path}")
        return 0
    try:
        backup = install(path, after)
    except OSError as error:
        raise RuntimeFailed(f"{path} cannot be written: {error.strerror}") from None
    say(f"✅ {client.title} can use this town: written to {path}")
    if backup is not None:
        say(f"   What was there is in {backup}")
    say(f"   Start {client.title} anew to see it.")
    return 0


def _check_scopes(scopes: str | None) -> None:
    known = [str(each) for each in Scope]
    wrong = next((name for name in (scopes or "").split(",") if scopes and name.strip() not in known), None)
    if wrong is not None:
        raise Invalid(f"There is no scope '{wrong}'", hint=f"Known are: {', '.join(known)}")


def _townhall() -> str:
    """The program by its whole path: what starts it has another PATH than this terminal."""
    beside = Path(sys.executable).with_name("townhall")
    return str(beside) if beside.exists() else shutil.which("townhall") or "townhall"
