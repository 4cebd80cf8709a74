"""What `tt doctor` says of GitHub: whether missions have a token, and what kind. Nothing goes over the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.errors import TownError
from tinytown.runtime.operations.checks import Check, Verdict
from tinytown.transport.missions import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tinytown.mission_records import Mission

_NONE = "There is no token: only what is public can be read, and nothing merged"
_WIDE = "of a kind that is good for all that you may do; one of fine grain for this repository is safer"


def github_checks(missions: Iterable[Mission], environ: Mapping[str, str]) -> Iterator[Check]:
    """One for each host that a mission at work needs. Blocks, and must not be called under trio."""
    hosts = {(mission.home or "").partition("/")[0] for mission in missions if mission.state in ACTIVE}
    for host in sorted(hosts - {""}):
        yield _check(host, environ)


def _check(host: str, environ: Mapping[str, str]) -> Check:
    import trio

    from tinytown.actors.missions.github.app_tokens import app_of
    from tinytown.actors.missions.github.tokens import find_token

    name = f"token for {host}"
    token = trio.run(find_token, host, environ)
    if token is not None:
        return Check(name, Verdict.OK, f"{token.source}{f', {_WIDE}' if token.wide else ''}")
    try:
        app = app_of(environ)
    except TownError as error:
        return Check(name, Verdict.FAIL, error.message, error.hint)
    if app is not None:
        return Check(name, Verdict.OK, app.source)
    return Check(name, Verdict.WARN, _NONE, "Set GH_TOKEN, or log in with: gh auth login")
