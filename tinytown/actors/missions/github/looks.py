"""Which pull requests are worth the large query: those that have changed, and all of them now and then.

With 100 open ones every 180 seconds that is 20 points an hour for the glances and 228 for the regular looks at
everything (some things change no fingerprint: a resolved thread, a comment that was edited); the worst case, in which
each changes each time, is 1,160 of the 5,000 points an hour that GitHub gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.missions.github.pulls import details, glances

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.github.pulls import Glance, Pull
    from tinytown.actors.missions.references import Reference

REFRESH = 900.0
"""Seconds after which a pull request is looked at in full even when it seems unchanged."""


class Looks:
    """What was seen of each pull request, and when in full. Lost with the process: the next look is a full one."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[Reference, tuple[str, float]] = {}

    def wanted(self, seen: Mapping[Reference, Glance | None], now: float) -> list[Reference]:
        """Those of these to look at in full. `now` is in seconds of any clock that goes on."""
        return [reference for reference, glance in seen.items() if glance is not None and self._new(glance, now)]

    def note(self, pulls: Iterable[Pull], now: float) -> None:
        """These were looked at in full."""
        for pull in pulls:
            self._seen[pull.glance.reference] = (pull.glance.fingerprint, now)

    def keep(self, references: Iterable[Reference]) -> None:
        """Forget all others."""
        kept = set(references)
        self._seen = {reference: each for reference, each in self._seen.items() if reference in kept}

    def _new(self, glance: Glance, now: float) -> bool:
        fingerprint, at = self._seen.get(glance.reference, ("", 0.0))
        return fingerprint != glance.fingerprint or now - at >= REFRESH


async def look(github: GitHub, references: Iterable[Reference], looks: Looks, now: float) -> dict[Reference, Pull]:
    """The pull requests of which there may be something new, in full; those that cannot be read are left out.

    Raises `GitHubLimited` and `GitHubFailed`; then nothing is noted as seen.
    """
    wanted = list(references)
    looks.keep(wanted)
    changed = looks.wanted(await glances(github, wanted), now)
    found = {reference: pull for reference, pull in (await details(github, changed)).items() if pull is not None}
    looks.note(found.values(), now)
    return found
