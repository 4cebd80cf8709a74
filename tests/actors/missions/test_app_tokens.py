"""A GitHub App: how it signs, where it is installed, and how its tokens follow each other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trio
from github_server import START, Call, FakeGitHub, Reply
from joserfc import jwt
from joserfc.jwk import RSAKey

from tinytown.actors.missions.github.app_tokens import REFRESH, app_of
from tinytown.actors.missions.github.clients import Clients
from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed

ISSUE = "/repos/o/r/issues/1"


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048)


@pytest.fixture
def pem(key: RSAKey) -> str:
    return key.as_pem(private=True).decode()


class Apps:
    """What GitHub does for an app: it checks the signature, and gives tokens."""

    def __init__(self, hub: FakeGitHub, key: RSAKey, installed: dict[int, str]) -> None:
        self.hub = hub
        self.key = key
        self.installed = installed
        self.given: list[str] = []

    def answer(self, call: Call) -> Reply:
        signed = jwt.decode(call.headers["authorization"].removeprefix("Bearer "), self.key, algorithms=["RS256"])
        claims = signed.claims
        good = claims["iat"] <= self.hub.now < claims["exp"] <= claims["iat"] + 600 and claims["iss"] == "12"
        if not good:
            return Reply(401, {"message": "A JSON web token could not be decoded"})
        if call.path.startswith("/app/installations?"):
            return Reply(200, [{"id": each, "account": {"login": name}} for each, name in self.installed.items()])
        number = int(call.path.split("/")[3])
        if number not in self.installed:
            return Reply(404, {"message": "Not Found"})
        self.given.append(f"ghs_{self.installed[number]}_{len(self.given)}")
        self.hub.logins = {self.given[-1]: "app"}
        return Reply(201, {"token": self.given[-1], "expires_at": "2030-01-01T00:00:00Z"})


@pytest.fixture
def hub(hub: FakeGitHub) -> FakeGitHub:
    hub.issue("o/r#1", "One")
    return hub


@pytest.fixture
def apps(hub: FakeGitHub, key: RSAKey) -> Apps:
    found = Apps(hub, key, {7: "O"})
    hub.app = found.answer
    return found


@pytest.fixture
def environ(hub: FakeGitHub, pem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    # No `gh` is found there.
    monkeypatch.setenv("PATH", str(tmp_path))
    where = {name: value for name, value in hub.environ.items() if name != "GH_TOKEN"}
    return {**where, "GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY": pem.replace("\n", "\\n")}


Open = Callable[[], AbstractAsyncContextManager[Clients]]


@pytest.fixture
def opened(hub: FakeGitHub, environ: dict[str, str]) -> Open:
    return lambda: Clients.open(environ, sleep=hub.sleep, wall=lambda: hub.now)


async def test_an_app_reads_with_a_token_of_its_installation(hub: FakeGitHub, apps: Apps, opened: Open) -> None:
    async with opened() as clients:
        github = await clients.of("github.com", "o")
        assert await clients.token_source("github.com") == "GitHub App 12"
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(github.get, ISSUE)
        assert await clients.of("github.com", "o") is github

    assert apps.given == ["ghs_O_0"]
    assert hub.calls[-1].headers["authorization"] == "Bearer ghs_O_0"


async def test_its_token_is_replaced_after_fifty_minutes_and_when_it_is_refused(
    hub: FakeGitHub, apps: Apps, opened: Open
) -> None:
    async with opened() as clients:
        github = await clients.of("github.com", "o")
        await github.get(ISSUE)
        hub.now = START + REFRESH - 1
        await github.get(ISSUE)
        assert len(apps.given) == 1
        hub.now = START + REFRESH
        await github.get(ISSUE)
        assert len(apps.given) == 2
        hub.logins = {"revoked": "app"}
        await github.get(ISSUE)

    assert len(apps.given) == 3


async def test_each_owner_has_a_token_of_his_own_installation(apps: Apps, opened: Open) -> None:
    apps.installed = {7: "O", 8: "P"}
    async with opened() as clients:
        one, two = await clients.of("github.com", "o"), await clients.of("github.com", "p")
        await one.get(ISSUE)
        await two.get(ISSUE)

    assert apps.given == ["ghs_O_0", "ghs_P_1"]


@pytest.mark.parametrize(
    ("owner", "installed", "told"),
    [
        ("x", {7: "O", 8: "P"}, "is not installed at x, but at: o, p"),
        ("x", {}, "is not installed at x, but at: nobody"),
        ("", {7: "O", 8: "P"}, "is not installed in one place alone"),
    ],
)
async def test_an_app_that_is_not_installed_there_says_where_it_is(
    apps: Apps, opened: Open, owner: str, installed: dict[int, str], told: str
) -> None:
    apps.installed = installed
    async with opened() as clients:
        github = await clients.of("github.com", owner)
        with pytest.raises(GitHubDenied, match=told) as caught:
            await github.get(ISSUE)

    assert "GITHUB_APP_INSTALLATION_ID" in caught.value.hint


async def test_the_environment_may_name_the_installation(apps: Apps, opened: Open, environ: dict[str, str]) -> None:
    apps.installed = {7: "O", 8: "P"}
    environ["GITHUB_APP_INSTALLATION_ID"] = "8"
    async with opened() as clients:
        await (await clients.of("github.com")).get(ISSUE)

    assert apps.given == ["ghs_P_0"]


async def test_a_token_of_the_environment_goes_before_the_app(
    hub: FakeGitHub, apps: Apps, opened: Open, environ: dict[str, str]
) -> None:
    environ["GITHUB_TOKEN"] = "secret-env"
    async with opened() as clients:
        await (await clients.of("github.com", "o")).get(ISSUE)

    assert apps.given == []
    assert hub.calls[0].headers["authorization"] == "Bearer secret-env"


async def test_a_failure_on_the_way_to_a_token_is_told_as_one(hub: FakeGitHub, apps: Apps, opened: Open) -> None:
    async with opened() as clients:
        github = await clients.of("github.com", "o")
        hub.faults = [Reply(200, [{"id": 7, "account": {"login": "O"}}])]
        for made in ({}, {"token": "ghs_two words"}, []):
            hub.faults.append(Reply(201, made))
            with pytest.raises(GitHubFailed, match="gave no token") as caught:
                await github.get(ISSUE)
            assert "two words" not in str(caught.value)
        hub.faults = [Reply(502, {})]
        with pytest.raises(GitHubFailed, match="status 502"):
            await github.get(ISSUE)
        hub.faults = []
        await github.get(ISSUE)


def test_without_an_id_there_is_no_app(pem: str) -> None:
    assert app_of({"GITHUB_APP_PRIVATE_KEY": pem}) is None


def test_the_key_may_stand_in_a_file(pem: str, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem)

    found = app_of({"GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY_PATH": str(tmp_path / "key.pem")})

    assert found is not None
    assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"GITHUB_APP_ID": "12"}, "neither GITHUB_APP_PRIVATE_KEY nor GITHUB_APP_PRIVATE_KEY_PATH"),
        ({"GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY": "secret stuff"}, "holds no private RSA key"),
        ({"GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY_PATH": "/no/such/file"}, "cannot be read: /no/such/file"),
        ({"GITHUB_APP_ID": "12/../13"}, "is no id"),
    ],
)
def test_an_app_that_is_named_by_half_says_what_is_missing(environ: dict[str, str], told: str) -> None:
    with pytest.raises(GitHubDenied, match=told) as caught:
        app_of(environ)

    assert "secret stuff" not in f"{caught.value!r}"
    # It is of the token, and not of what was asked for.
    assert caught.value.status == 401


def test_a_public_key_is_not_enough(key: RSAKey) -> None:
    with pytest.raises(GitHubDenied, match="no private RSA key"):
        app_of({"GITHUB_APP_ID": "12", "GITHUB_APP_PRIVATE_KEY": key.as_pem(private=False).decode()})
