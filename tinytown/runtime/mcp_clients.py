"""The clients that `tt mcp install` knows: where each keeps its servers, and how a server is written there.

What must be true: what else stands in a file stays as it is; a file that cannot be understood is not touched; and
there is the old file or the new one, never half of one. Nothing of the town is secret in what is written.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tinytown.errors import Conflict
from tinytown.transport.disk import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SERVER = "tinytown"
"""What the server is called in every client."""

Name = Literal["claude", "claude-desktop", "cursor", "vscode", "codex", "gemini"]
Shape = Literal["json", "toml"]

_LONGEST = 4 << 20


@dataclass(frozen=True, slots=True)
class McpClient:
    """One client. `base` says whose file it is; `section` is the table of its servers there."""

    title: str
    base: Literal["project", "codex", "applications"]
    path: str
    section: str
    shape: Shape = "json"
    typed: bool = False
    """It wants to be told that the server speaks on standard input and output."""

    def file(self, root: Path, home: Path, environ: Mapping[str, str]) -> Path:
        """Its file, for the town in `root`."""
        if self.base == "project":
            return root / self.path
        if self.base == "codex":
            return (type(home)(environ["CODEX_HOME"]) if environ.get("CODEX_HOME") else home / ".codex") / self.path
        if sys.platform == "darwin":
            return home / "Library" / "Application Support" / self.path
        config = environ.get("XDG_CONFIG_HOME")
        return (type(home)(config) if config else home / ".config") / self.path


CLIENTS: Mapping[Name, McpClient] = {
    "claude": McpClient("Claude Code", "project", ".mcp.json", "mcpServers"),
    "claude-desktop": McpClient("Claude Desktop", "applications", "Claude/claude_desktop_config.json", "mcpServers"),
    "cursor": McpClient("Cursor", "project", ".cursor/mcp.json", "mcpServers"),
    "vscode": McpClient("VS Code", "project", ".vscode/mcp.json", "servers", typed=True),
    "codex": McpClient("Codex", "codex", "config.toml", "mcp_servers", "toml"),
    "gemini": McpClient("Gemini CLI", "project", ".gemini/settings.json", "mcpServers"),
}


def command_line(program: str, root: Path, scopes: str | None) -> list[str]:
    """How a client starts the server of the town in `root`."""
    return [program, "mcp-stdio", "--town", str(root), *(("--scopes", scopes) if scopes else ())]


def with_server(client: McpClient, text: str, command: Sequence[str], *, where: str) -> str:
    """The text of a client's file, with this server in it and all else as it was.

    Raises `Conflict` for a text that is not what the client's file is made of; `where` names the file in it.
    """
    try:
        return (_in_toml if client.shape == "toml" else _in_json)(client, text, command)
    except (ValueError, RecursionError):
        raise Conflict(
            f"{where} cannot be read, so nothing was written",
            hint="Comments in it, perhaps? See what to put there with --print, and put it there yourself.",
        ) from None


def install(path: Path, text: str) -> Path | None:
    """Put the text in place of the file, and what was there beside it; gives that, None when there was nothing.

    A link is followed: the file it leads to is replaced. Raises `OSError`.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        atomic_write(target, text.encode(), mode=0o644)
        return None
    mode = target.stat().st_mode & 0o777
    backup = target.with_name(f"{target.name}.bak")
    atomic_write(backup, target.read_bytes(), mode=mode)
    atomic_write(target, text.encode(), mode=mode)
    return backup


def present_text(path: Path) -> str:
    """What the file holds; empty when there is none. Raises `Conflict` for one that is no text."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ""
    if len(raw) > _LONGEST:
        raise Conflict(f"{path} is too long for a file of settings, so nothing was written")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Conflict(f"{path} is no text, so nothing was written") from None


def _entry(client: McpClient, command: Sequence[str]) -> dict[str, object]:
    kind: dict[str, object] = {"type": "stdio"} if client.typed else {}
    return {**kind, "command": command[0], "args": list(command[1:])}


def _in_json(client: McpClient, text: str, command: Sequence[str]) -> str:
    settings = json.loads(text) if text.strip() else {}
    if not isinstance(settings, dict) or not isinstance(settings.setdefault(client.section, {}), dict):
        raise ValueError(client.section)  # noqa: TRY004 - it is the text that is wrong
    servers = settings[client.section]
    kept = servers.get(SERVER)
    # What a person has added to it, such as an environment, stays.
    servers[SERVER] = {**(kept if isinstance(kept, dict) else {}), **_entry(client, command)}
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _in_toml(client: McpClient, text: str, command: Sequence[str]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
    servers = document.get(client.section)
    if servers is None:
        servers = document[client.section] = tomlkit.table(is_super_table=True)
    if not isinstance(servers, dict):
        raise ValueError(client.section)  # noqa: TRY004 - it is the text that is wrong
    table = servers.get(SERVER)
    if not isinstance(table, dict):
        table = servers[SERVER] = tomlkit.table()
    for key, value in _entry(client, command).items():
        table[key] = value
    return tomlkit.dumps(document)
