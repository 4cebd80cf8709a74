"""Where the token for a host comes from.

It lives in this process only: its `repr` and `str` hide it, and nothing writes it to Redis, a log or an event. What
agents get for an environment never holds one (`tinytown.actors.environment`).
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import trio

from tinytown.actors.missions.references import GITHUB
from tinytown.errors import Forbidden
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWER_WITHIN = 10.0
"""Seconds in which `gh` has to give a token."""


LOOK_AGAIN = 60.0
"""Seconds after which a token is looked for again where there was none."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and where it was found."""

    secret: str = field(repr=False)
    source: str

    def __str__(self) -> str:
        return f"the token of {self.source}"

    @property
    def wide(self) -> bool:
        """It is of a kind (classic, or of an OAuth app as `gh`) that no repository bounds, by the way it begins."""
        return self.secret.startswith(("ghp_", "gho_"))


class TokenSource(Protocol):
    """Gives the token for each request, so that one can take the place of another."""

    async def token(self) -> Token | None:
        """The one to use now; None to ask without."""

    async def refused(self, token: Token) -> None:
        """GitHub does not know this one: if there may be a newer one, `token` gives that from now on."""


@dataclass(frozen=True, slots=True)
class Given:
    """A token that stays as it is."""

    given: Token | None

    async def token(self) -> Token | None:
        """That token."""
        return self.given

    async def refused(self, token: Token) -> None:
        """There is no other."""


class Found:
    """The token that the environment or `gh` has for a host; looked for again when GitHub refuses it.

    So a runtime that has been running for days takes up a new `gh auth login`; and after a while also the first one.
    """

    __slots__ = ("_again_at", "_environ", "_host", "_token")

    def __init__(self, host: str, environ: Mapping[str, str], token: Token | None) -> None:
        self._host = host
        self._environ = environ
        self._token = token
        self._again_at = trio.current_time() + LOOK_AGAIN

    async def token(self) -> Token | None:
        """The one that was found last."""
        if self._token is None and trio.current_time() >= self._again_at:
            self._again_at = trio.current_time() + LOOK_AGAIN
            self._token = await find_token(self._host, self._environ)
        return self._token

    async def refused(self, token: Token) -> None:
        """Look again; what is gone leaves the old one, which GitHub then refuses by itself."""
        self._token = await find_token(self._host, self._environ) or token


def refuse_strange(host: str, home: str | None, environ: Mapping[str, str]) -> None:
    """Raise `Forbidden` for a host that neither GitHub runs nor the person works with.

    The tokens for other hosts than GitHub's are not for a certain one, so whoever names a host would get them.
    `home` is the host of the project's remote.
    """
    if not _of_github(host) and host not in (home, environ.get("GH_HOST", "").strip().lower()):
        raise Forbidden(
            f"{one_line(host, 80)} is not the host of this project, so it is not asked: it would be sent a token",
            hint=f"If you work with it, set GH_HOST={one_line(host, 80)}.",
        )


def _of_github(host: str) -> bool:
    return host == GITHUB or host.endswith(".ghe.com")


async def find_token(host: str, environ: Mapping[str, str]) -> Token | None:
    """The token for a host: of the environment in the order of `gh help environment`, then of `gh` itself.

    None when there is none; public repositories can be read without, sixty times an hour.
    """
    names = ("GH_TOKEN", "GITHUB_TOKEN") if _of_github(host) else ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    for name in names:
        if secret := clean_secret(environ.get(name, "")):
            return Token(secret, name)
    secret = await _from_gh(host, environ)
    return Token(secret, "gh auth token") if secret else None


async def _from_gh(host: str, environ: Mapping[str, str]) -> str:
    with trio.move_on_after(_ANSWER_WITHIN):
        try:
            done = await trio.run_process(
                ["gh", "auth", "token", "--hostname", host],
                stdin=b"",
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
                check=False,
                env=dict(environ),
            )
        except OSError:
            return ""
        return clean_secret(done.stdout.decode("ascii", "replace")) if done.returncode == 0 else ""
    return ""


def clean_secret(secret: str) -> str:
    """The secret without white space around it; nothing when it could not stand in a header.

    A header that cannot be sent is shown in the error, and the secret with it.
    """
    secret = secret.strip()
    return secret if secret.isascii() and secret.isprintable() and " " not in secret else ""
