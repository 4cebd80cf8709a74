"""Tokens of a GitHub App: the app signs for itself, and with that gets a token of one installation, for an hour.

What must be true: the private key leaves this process in no form, and neither it nor a token stands in any error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.missions.github.failures import GitHubDenied, GitHubFailed
from tinytown.actors.missions.github.tokens import Token, clean_secret
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import RSAKey

    from tinytown.actors.missions.github.client import GitHub

REFRESH = 3_000.0
"""Seconds after which a token of an installation is replaced: 50 of its 60 minutes."""

SIGNED_FOR = 540
"""Seconds for which a signature is good. GitHub takes at most ten minutes, counted by its own clock."""

SKEW = 60
"""Seconds that our clock may be ahead of GitHub's."""

ID, KEY, KEY_PATH, INSTALLATION = (
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_APP_PRIVATE_KEY_PATH",
    "GITHUB_APP_INSTALLATION_ID",
)


@dataclass(frozen=True, slots=True)
class App:
    """A GitHub App. `installation` is the one to act for, when the environment names it."""

    id: str
    key: RSAKey = field(repr=False)
    installation: str | None = None

    @property
    def source(self) -> str:
        """What people are told of where its tokens come from."""
        return f"GitHub App {self.id}"


def app_of(environ: Mapping[str, str]) -> App | None:
    """The app that an environment names, or None.

    `GitHubDenied` for one that is named by half, or whose key cannot be used.
    """
    app_id = environ.get(ID, "").strip()
    if not app_id:
        return None
    installation = environ.get(INSTALLATION, "").strip() or None
    for name, value in ((ID, app_id), (INSTALLATION, installation or "0")):
        if not (value.isascii() and value.replace(".", "").replace("_", "").isalnum()):
            raise _unusable(f"{name} in the environment is no id: '{one_line(value, 40)}'")
    return App(app_id, _key(environ), installation)


def _key(environ: Mapping[str, str]) -> RSAKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey

    name, pem = KEY, environ.get(KEY, "")
    if not pem and (path := environ.get(KEY_PATH)):
        name = KEY_PATH
        try:
            pem = Path(path).expanduser().read_text("ascii")
        except (OSError, ValueError):
            raise _unusable(f"The file that {KEY_PATH} names cannot be read: {one_line(path, 120)}") from None
    if not pem:
        raise _unusable(f"{ID} is set, but neither {KEY} nor {KEY_PATH}")
    try:
        # A file of settings holds a key on one line.
        key = RSAKey.import_key(pem.replace("\\n", "\n"))
    except (ValueError, JoseError):
        key = None
    if key is None or not key.is_private:
        raise _unusable(f"{name} holds no private RSA key in PEM form")
    return key


def _unusable(message: str) -> GitHubDenied:
    return GitHubDenied(message, status=401, hint=f"Set {ID} and the private key (PEM) of the app, or a token.")


class Signed:
    """The app itself as a source of tokens: a fresh signature for each request."""

    __slots__ = ("_app", "_wall")

    def __init__(self, app: App, wall: Callable[[], float]) -> None:
        self._app = app
        self._wall = wall

    async def token(self) -> Token:
        """A signature that is good now."""
        from joserfc import jwt

        now = int(self._wall())
        claims = {"iat": now - SKEW, "exp": now + SIGNED_FOR, "iss": self._app.id}
        return Token(jwt.encode({"alg": "RS256"}, claims, self._app.key), self._app.source)

    async def refused(self, token: Token) -> None:
        """There is no other."""


class Installation:
    """Tokens of the installation at an owner. `github` is a client that asks with what `Signed` gives."""

    def __init__(self, app: App, github: GitHub, owner: str) -> None:
        self._app = app
        self._github = github
        self._owner = owner
        self._id = app.installation
        self._lock = trio.Lock()
        self._token: Token | None = None
        self._since = 0.0

    async def token(self) -> Token:
        """The present one, or a new one when that is 50 minutes old.

        Raises `GitHubDenied` when the app is not installed there, and what `GitHub.change` raises.
        """
        async with self._lock:
            if self._token is None or self._github.now() - self._since >= REFRESH:
                if self._id is None:
                    self._id = await self._found()
                since = self._github.now()
                made = await self._github.change("POST", f"/app/installations/{self._id}/access_tokens", {})
                secret = clean_secret(str(made.get("token") or "")) if isinstance(made, dict) else ""
                if not secret:
                    raise GitHubFailed(f"GitHub gave no token for {self._app.source}")
                self._token, self._since = Token(secret, self._app.source), since
            return self._token

    async def refused(self, token: Token) -> None:
        """Make a new one the next time, unless that was done since."""
        if self._token == token:
            self._token = None

    async def _found(self) -> str:
        listed = await self._github.pages("/app/installations?per_page=100")
        ids = {
            str(account.get("login")).lower(): str(each.get("id"))
            for each in listed
            if isinstance(each, dict) and isinstance(account := each.get("account"), dict)
        }
        if self._owner in ids:
            return ids[self._owner]
        if len(ids) == 1 and not self._owner:
            return next(iter(ids.values()))
        where = f"at {self._owner}" if self._owner else "in one place alone"
        raise GitHubDenied(
            f"{self._app.source} is not installed {where}, but at: {one_line(', '.join(sorted(ids)) or 'nobody', 200)}",
            status=403,
            hint=f"Install the app there, or name the installation in {INSTALLATION}.",
        )
