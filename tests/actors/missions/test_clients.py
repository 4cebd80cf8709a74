"""One client for each host, and a token that may change under it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from github_server import SECRET, FakeGitHub

from tinytown.actors.missions.github.client import GitHub
from tinytown.actors.missions.github.clients import Clients
from tinytown.actors.missions.github.failures import GitHubDenied
from tinytown.actors.missions.github.tokens import Token
from tinytown.actors.missions.references import Endpoints

ISSUE = "/repos/o/r/issues/1"


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1", "One")
    return hub


def gh(folder: Path, *, counted: bool = False) -> str:
    """A PATH with a `gh` that gives what stands in the file `token`."""
    program = folder / "gh"
    count = f"echo x >> {folder}/asked\n" if counted else ""
    program.write_text(f"#!/bin/sh\n{count}cat {folder}/token\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}/bin{os.pathsep}/usr/bin"


async def test_a_host_has_one_client_and_gh_is_asked_once(
    hub: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = gh(tmp_path, counted=True)
    monkeypatch.setenv("PATH", path)
    (tmp_path / "token").write_text("secret-gh")
    environ = {name: value for name, value in hub.environ.items() if name != "GH_TOKEN"} | {"PATH": path}
    found: list[GitHub] = []

    async def take() -> None:
        found.append(await clients.of("github.com"))

    async with Clients.open(environ) as clients:
        assert not (tmp_path / "asked").exists()
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(take)
        await found[0].get(ISSUE)
        other = await clients.of("git.example.org")

    assert len(set(map(id, found))) == 1
    assert other is not found[0]
    assert hub.calls[0].headers["authorization"] == "Bearer secret-gh"
    assert (tmp_path / "asked").read_text().count("x") == 2


async def test_people_are_told_where_the_token_comes_from_and_never_the_token(hub: FakeGitHub) -> None:
    async with Clients.open(hub.environ) as clients:
        assert await clients.token_source("github.com") == "GH_TOKEN"
        await (await clients.of("github.com")).get(ISSUE)

    assert hub.calls[0].headers["authorization"] == f"Bearer {SECRET}"


async def test_without_a_token_what_is_public_can_be_read(hub: FakeGitHub, tmp_path: Path) -> None:
    environ = {"GITHUB_API_URL": hub.url, "PATH": str(tmp_path)}
    async with Clients.open(environ) as clients:
        assert await clients.token_source("github.com") in (None, "gh auth token")
        github = await clients.of("git.example.org")
        await github.get(ISSUE)

    assert "authorization" not in hub.calls[0].headers


async def test_a_new_login_is_taken_up_without_a_restart(
    hub: FakeGitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = gh(tmp_path)
    monkeypatch.setenv("PATH", path)
    (tmp_path / "token").write_text("old")
    hub.logins = {"old": "worker"}
    environ = {name: value for name, value in hub.environ.items() if name != "GH_TOKEN"} | {"PATH": path}
    async with Clients.open(environ) as clients:
        github = await clients.of("github.com")
        await github.get(ISSUE)
        hub.logins = {"new": "worker"}
        with pytest.raises(GitHubDenied, match="Bad credentials"):
            await github.get(ISSUE)
        (tmp_path / "token").write_text("new")

        assert (await github.get(ISSUE)).value["title"] == "One"  # type: ignore[call-overload, index]


class Changing:
    """A source of tokens that are used up one after the other."""

    def __init__(self, *secrets: str) -> None:
        self.left = [Token(secret, "test") for secret in secrets]

    async def token(self) -> Token:
        return self.left[0]

    async def refused(self, token: Token) -> None:
        del self.left[:-1]


async def test_what_one_token_has_read_is_not_taken_for_what_another_may_read(hub: FakeGitHub) -> None:
    tokens = Changing("one", "two")
    async with GitHub.open(Endpoints(hub.url, f"{hub.url}/graphql"), tokens) as github:
        await github.get(ISSUE)
        await github.get(ISSUE)
        tokens.left.pop(0)
        await github.get(ISSUE)

    assert ["if-none-match" in call.headers for call in hub.calls] == [False, True, False]


async def test_a_token_that_has_run_out_is_replaced_once_even_for_what_is_sent_once(hub: FakeGitHub) -> None:
    hub.pull("o/r#2")
    hub.logins = {"good": "ann"}
    async with GitHub.open(Endpoints(hub.url, f"{hub.url}/graphql"), Changing("stale", "good")) as github:
        await github.change("POST", "/repos/o/r/issues/2/comments", {"body": "hi"})
    async with GitHub.open(Endpoints(hub.url, f"{hub.url}/graphql"), Changing("stale", "bad")) as github:
        with pytest.raises(GitHubDenied):
            await github.get(ISSUE)

    assert len(hub.repo("o/r").pulls[2].comments) == 1
    assert len(hub.calls) == 4
