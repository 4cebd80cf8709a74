"""Which pull requests are worth the large query: those that have changed, and all of them now and then.

With 100 open ones every 180 seconds that is 20 points an hour for the glances and 228 for the regular looks at
everything (some things change no fingerprint: a resolved thread, a comment that was edited); the worst case, in which
each changes each time, is 1,160 of the 5,000 points an hour that GitHub gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytown.actors.missions.github.reading import details, glances

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.github.pulls import Glance, Pull
    from tinytown.actors.missions.references import Reference

REFRESH = 900.0
"""Seconds after which a pull request is looked at in full even when it seems unchanged."""


class Looks:
    """Each pull request as it was last seen in full, and when. Lost with the process: the next look is a full one."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[Reference, tuple[Pull, float]] = {}

    def __getitem__(self, reference: Reference) -> Pull | None:
        """The pull request as it was last seen."""
        seen = self._seen.get(reference)
        return None if seen is None else seen[0]

    def wanted(self, seen: Mapping[Reference, Glance | None], now: float) -> list[Reference]:
        """Those of these to look at in full. `now` is in seconds of any clock that goes on."""
        return [reference for reference, glance in seen.items() if glance is not None and self._new(glance, now)]

    def note(self, pulls: Iterable[Pull], now: float) -> None:
        """These were looked at in full."""
        for pull in pulls:
            self._seen[pull.glance.reference] = (pull, now)

    def keep(self, references: Iterable[Reference]) -> None:
        """Forget all others."""
        kept = set(references)
        self._seen = {reference: each for reference, each in self._seen.items() if reference in kept}

    def _new(self, glance: Glance, now: float) -> bool:
        seen = self._seen.get(glance.reference)
        return seen is None or seen[0].glance.fingerprint != glance.fingerprint or now - seen[1] >= REFRESH


async def look(github: GitHub, references: Iterable[Reference], looks: Looks, now: float) -> dict[Reference, Pull]:
    """These pull requests in full, as they are or as they were seen before and still are; without those that cannot be
    read.

    Raises `GitHubLimited` and `GitHubFailed`; then nothing is noted as seen.
    """
    seen = await glances(github, list(references))
    changed = await details(github, looks.wanted(seen, now))
    looks.note((pull for pull in changed.values() if pull is not None), now)
    found: dict[Reference, Pull] = {}
    for reference, glance in seen.items():
        pull = looks[reference] if changed.get(reference, glance) is not None else None
        if pull is not None:
            found[reference] = pull
    return found
