"""`tt mcp install`."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest
from person import Person

from tinytown.errors import Conflict
from tinytown.runtime.mcp_clients import CLIENTS, with_server

COMMAND = ["/bin/townhall", "mcp-stdio", "--town", "/the town"]
WHERE = {
    "claude": ".mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": ".vscode/mcp.json",
    "gemini": ".gemini/settings.json",
}


@pytest.mark.parametrize("client", CLIENTS)
def test_the_client_can_start_what_was_written(town_dir: Person, client: str) -> None:
    home = Path(town_dir.environ["HOME"])
    place = {
        **{name: town_dir.directory / path for name, path in WHERE.items()},
        "codex": home / ".codex" / "config.toml",
        "claude-desktop": home / ".config" / "Claude" / "claude_desktop_config.json",
    }[client]
    said = town_dir.tt("mcp", "install", client, "--scopes", "town.read", XDG_CONFIG_HOME="")

    text = place.read_text()
    found = tomllib.loads(text) if client == "codex" else json.loads(text)
    entry = found[{"codex": "mcp_servers", "vscode": "servers"}.get(client, "mcpServers")]["tinytown"]
    assert said.code == 0
    assert str(place) in said.out
    assert os.access(entry["command"], os.X_OK)
    assert entry["args"] == ["mcp-stdio", "--town", str(town_dir.directory.resolve()), "--scopes", "town.read"]
    assert entry.get("type") == ("stdio" if client == "vscode" else None)
    assert [path.name for path in place.parent.iterdir() if path.name.startswith(place.name)] == [place.name]


def test_what_is_there_is_not_written_again_and_what_is_only_shown_not_at_all(town_dir: Person) -> None:
    place = town_dir.directory / ".mcp.json"
    shown = town_dir.tt("mcp", "install", "claude", "--print")
    assert not place.exists()
    town_dir.tt("mcp", "install", "claude")
    again = town_dir.tt("mcp", "install", "claude")

    assert shown.out == place.read_text()
    assert "already" in again.out
    assert not place.with_name(".mcp.json.bak").exists()


def test_without_a_client_the_entry_is_shown_as_most_take_it(town_dir: Person) -> None:
    shown = town_dir.tt("mcp", "install").json

    assert shown["mcpServers"]["tinytown"]["args"] == ["mcp-stdio", "--town", str(town_dir.directory.resolve())]


def test_what_was_there_stays_and_has_a_copy(town_dir: Person) -> None:
    target = town_dir.directory / "dotfiles.json"
    before = '{"theme": "dark", "mcpServers": {"other": {"command": "x"}, "tinytown": {"env": {"A": "b"}}}}'
    target.write_text(before)
    target.chmod(0o600)
    (town_dir.directory / ".mcp.json").symlink_to(target)
    said = town_dir.tt("mcp", "install", "claude")

    found = json.loads(target.read_text())
    assert said.code == 0
    assert list(found) == ["theme", "mcpServers"]
    assert found["mcpServers"]["other"] == {"command": "x"}
    assert found["mcpServers"]["tinytown"]["env"] == {"A": "b"}
    assert target.stat().st_mode & 0o777 == 0o600
    assert (town_dir.directory / "dotfiles.json.bak").read_text() == before
    assert (town_dir.directory / ".mcp.json").is_symlink()


@pytest.mark.parametrize("text", ["[1]", '{"mcpServers": []}', '{"a": ' * 100_000])
def test_a_file_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(Conflict, match="nothing was written"):
        with_server(CLIENTS["claude"], text, COMMAND, where="it")


@pytest.mark.parametrize("raw", [b"// a comment\n{}", b"\xff"])
def test_a_file_that_cannot_be_understood_is_not_touched(town_dir: Person, raw: bytes) -> None:
    place = town_dir.directory / ".mcp.json"
    place.write_bytes(raw)
    said = town_dir.tt("mcp", "install", "claude")

    assert said.code == 1
    assert "nothing was written" in said.err
    assert place.read_bytes() == raw
    assert not place.with_name(".mcp.json.bak").exists()


def test_a_toml_file_keeps_its_comments() -> None:
    before = '# mine\nmodel = "x"\n\n[mcp_servers.other]\ncommand = "y"  # keep\n'
    after = with_server(CLIENTS["codex"], before, COMMAND, where="it")

    assert after.startswith(before)
    assert tomllib.loads(after)["mcp_servers"]["tinytown"] == {"command": COMMAND[0], "args": COMMAND[1:]}
    with pytest.raises(Conflict):
        with_server(CLIENTS["codex"], "= broken", COMMAND, where="it")


def test_a_scope_that_there_is_not_and_a_place_without_a_town_are_refused(town_dir: Person) -> None:
    wrong = town_dir.tt("mcp", "install", "claude", "--scopes", "town.read,root")
    nowhere = town_dir.tt("mcp", "install", "claude", "--town", "/")

    assert (wrong.code, nowhere.code) == (2, 1)
    assert "no scope 'root'" in wrong.err
    assert "not initialized" in nowhere.err
