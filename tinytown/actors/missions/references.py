"""Which issue of which repository on which host is meant. No I/O.

What must be true: two references are the same exactly when they name the same issue, so owner and repository are
kept in lower case, as GitHub takes them, and the host is a part of the key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Invalid
from tinytown.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

GITHUB = "github.com"

_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::\d{1,5})?"
_OWNER = r"[A-Za-z0-9][A-Za-z0-9-]{0,38}(?:_[A-Za-z0-9]+)?"
_NAME = r"[A-Za-z0-9._-]{1,100}"
_NUMBER = r"[1-9]\d{0,9}"
_BARE = re.compile(rf"#?({_NUMBER})", re.ASCII)
_QUALIFIED = re.compile(rf"({_OWNER})/({_NAME})#({_NUMBER})", re.ASCII)
_URL = re.compile(rf"https?://({_HOST})/({_OWNER})/({_NAME})/(issues|pull)/({_NUMBER})(?:[/?#].*)?", re.ASCII)
_REMOTES = (
    re.compile(rf"(?:https?|git|ssh)://(?:[^@/\s]+@)?({_HOST})/({_OWNER})/({_NAME}?)(?:\.git)?/?", re.ASCII),
    re.compile(rf"(?:[A-Za-z0-9._-]+@)({_HOST}):/?({_OWNER})/({_NAME}?)(?:\.git)?/?", re.ASCII),
)
_LARGEST = 2**31 - 1
"""The largest number that a query of GraphQL may name."""


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository on a host."""

    host: str
    owner: str
    name: str

    @classmethod
    def of(cls, host: str, owner: str, name: str) -> Repository:
        """The repository of these names, however they are spelled."""
        return cls(host.lower().removeprefix("www."), owner.lower(), name.lower())

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One issue or pull request."""

    repository: Repository
    number: int

    @property
    def key(self) -> str:
        """The text that names it everywhere: `owner/repo#23`, with the host before it where that is not GitHub's."""
        host = self.repository.host
        return f"{'' if host == GITHUB else host + '/'}{self.repository.full_name}#{self.number}"

    @property
    def possible(self) -> bool:
        """GitHub may have it: no owner has a dot in his name, and nothing is number 0.

        One that it cannot have fails a query as a whole, with all others in it.
        """
        found = _QUALIFIED.fullmatch(f"{self.repository.full_name}#{self.number}")
        return found is not None and self.number <= _LARGEST and self.repository.name not in (".", "..")

    def __str__(self) -> str:
        return self.key


def objective(text: str, default: Repository | None) -> Reference:
    """The issue that a person names as `23`, `owner/repo#23` or by its address.

    `default` is the repository of the project. `Invalid` for anything else, for the address of a pull request, and
    for a bare number where there is no default.
    """
    text = text.strip()
    found = _named(text, default)
    if found is None or not found.possible:
        raise Invalid(
            f"'{one_line(text, 80)}' names no issue",
            hint="An issue is named as 23, as owner/repo#23, or by its address.",
        )
    return found


def _named(text: str, default: Repository | None) -> Reference | None:
    if found := _URL.fullmatch(text):
        if found[4] == "pull":
            raise Invalid(
                f"{one_line(text, 120)} is a pull request; a mission works through issues",
                hint="Name the issue that it is for.",
            )
        return Reference(Repository.of(found[1], found[2], found[3]), int(found[5]))
    if found := _QUALIFIED.fullmatch(text):
        host = default.host if default is not None else GITHUB
        return Reference(Repository.of(host, found[1], found[2]), int(found[3]))
    if found := _BARE.fullmatch(text):
        if default is None:
            raise Invalid(
                f"Which repository is issue {found[1]} of? This project has no remote 'origin' on a GitHub host",
                hint="Name it as owner/repo#23, or by its address.",
            )
        return Reference(default, int(found[1]))
    return None


def reference_of(key: str) -> Reference:
    """The reference of a key that `Reference.key` made; `Invalid` for any other text."""
    host, slash, rest = key.rpartition("/")[0].rpartition("/")
    found = _QUALIFIED.fullmatch(key.removeprefix(host + slash))
    if found is None or not rest or "/" in host:
        raise Invalid(f"'{one_line(key, 80)}' is no key of an issue")
    return Reference(Repository.of(host or GITHUB, found[1], found[2]), int(found[3]))


def repository_of(key: str, home: str | None) -> Repository | None:
    """The repository that an item of this key is worked on in: its issue's, else `home` (`host/owner/name`)."""
    try:
        return reference_of(key).repository
    except Invalid:
        host, _, rest = (home or "").partition("/")
        owner, _, name = rest.partition("/")
        return Repository.of(host, owner, name) if name else None


def remote(url: str) -> Repository | None:
    """The repository that an address of a git remote names; None when it is a path or cannot be one of GitHub."""
    url = url.strip()
    for form in _REMOTES:
        if found := form.fullmatch(url):
            # The port is that of ssh, if there is one, and none of the API.
            host = found[1] if url.startswith("http") else found[1].partition(":")[0]
            # GitHub's own way through firewalls that let only port 443 pass.
            host = GITHUB if host.lower() == "ssh.github.com" else host
            return Repository.of(host, found[2], found[3])
    return None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the interfaces of a host are; no address ends with a slash."""

    rest: str
    graphql: str


def endpoints(host: str, environ: Mapping[str, str]) -> Endpoints:
    """The addresses for a host. `GITHUB_API_URL` and `GITHUB_GRAPHQL_URL` come first, where they are set."""
    if host == GITHUB:
        found = Endpoints("https://api.github.com", "https://api.github.com/graphql")
    elif host.endswith(".ghe.com"):
        found = Endpoints(f"https://api.{host}", f"https://api.{host}/graphql")
    else:
        found = Endpoints(f"https://{host}/api/v3", f"https://{host}/api/graphql")
    rest = environ.get("GITHUB_API_URL", "").rstrip("/") or found.rest
    return Endpoints(rest, environ.get("GITHUB_GRAPHQL_URL", "").rstrip("/") or found.graphql)
