"""What GitHub says of one mission, and what is done there: the part of a mission that waits for the network.

What must be true: what was seen is taken in by one commit, decided on the mission as it is by then; a look that failed
changes no state of any item before the last of a row of them; and what is done at GitHub was written down before, and
is done once by what it is done with: a merge names the head that it is for, and a head is run again or updated once;
and nothing is merged that has changed since it was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import trio

from tinytown.actors.missions import outcomes, sights
from tinytown.actors.missions.actions import MergePull, Plan, UpdateBranch
from tinytown.actors.missions.github.changes import has_suites, merge, rerun_broken, update_branch, updated_at
from tinytown.actors.missions.github.failures import GitHubFailed, GitHubLimited, GitHubRefused
from tinytown.actors.missions.github.finding import find_pull
from tinytown.actors.missions.github.looks import Looks, look
from tinytown.actors.missions.github.standing import standings
from tinytown.actors.missions.reconcile import LIVE, Town, finished, open_tasks
from tinytown.actors.missions.references import reference_of, repository_of
from tinytown.actors.missions.sights import Sights, taken_in
from tinytown.actors.missions.watching import due
from tinytown.mission_records import EXTERNAL_GATE
from tinytown.times import seconds_of
from tinytown.transport.missions import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from tinytown.actors.missions.actions import Outward
    from tinytown.actors.missions.github.client import GitHub
    from tinytown.actors.missions.github.clients import Clients
    from tinytown.actors.missions.references import Reference
    from tinytown.actors.missions.tick import Ticking
    from tinytown.ids import MissionId
    from tinytown.mission_records import WorkItem
    from tinytown.records import Task
    from tinytown.transport.delivery import Fence
    from tinytown.transport.missions import SeenMission

LATER = 60.0
"""Seconds after which a pull request is looked for again that GitHub would not tell of."""

LONGEST = 3600.0
"""Seconds until the next look, should nothing be due before."""

_SHORTEST = 1.0
"""Seconds between two looks that follow each other by themselves, whatever is due."""

_TROUBLE = (GitHubFailed, GitHubRefused)


@dataclass(slots=True)
class Outlook:
    """Looks outside for one mission.

    `monotonic` is a clock that goes on, in seconds; what it times is lost with the process, and then done at once.
    """

    mission_id: MissionId
    fence: Fence
    ticking: Ticking
    clients: Clients
    looks: Looks
    bugbots: Collection[str]
    monotonic: Callable[[], float] = trio.current_time
    outward: list[Outward] = field(default_factory=list)
    """What is still to be done at GitHub."""
    _standing_due: float = 0.0
    _finding_due: float = 0.0
    _unfound: dict[str, int] = field(default_factory=dict)

    async def look(self) -> float:
        """Do what is due, and give the seconds until the next thing will be.

        Raises `LeaseLost`, and the kinds of `Unavailable` of the store; of GitHub nothing.
        """
        seen = await self._seen()
        if seen.mission.state in ACTIVE:
            await self._act()
            await self._find(seen)
            await self._stand(await self._seen())
            await self._watch(await self._seen())
            seen = await self._seen()
        return self._until_due(seen) if seen.mission.state in ACTIVE else LONGEST

    async def _seen(self) -> SeenMission:
        return await self.ticking.missions.see(self.mission_id)

    async def _take_in(self, decide: Callable[[Plan], Plan]) -> None:
        await self.ticking.take_in(self.mission_id, self.fence, decide)

    async def _act(self) -> None:
        """Do what the planner wants done at GitHub, in its order, and what is no longer wanted then not at all."""
        while self.outward:
            action = self.outward[0]
            seen = await self._seen()
            if sights.is_wanted(Plan(seen.mission, seen.items, seen.watches), action):
                try:
                    decide = await self._do(action, seen.mission.merge_method)
                except _TROUBLE as error:
                    decide = self._not_done(action, error)
                await self._take_in(decide)
            self.outward.remove(action)

    async def _do(self, action: Outward, method: str | None) -> Callable[[Plan], Plan]:
        """Do it, and give what it makes of the plan."""
        pull = reference_of(action.pull)
        github = await self.clients.of(pull.repository.host, pull.repository.owner)
        now = self.ticking.now
        if isinstance(action, MergePull):
            seen = self.looks[pull]
            if seen is None or await updated_at(github, pull) != seen.glance.updated_at:
                # Somebody may have asked for changes since the look that found it green.
                return partial(sights.look_again, item=action.item, now=now())
            came = await merge(github, pull, action.head, method)
            if came.result == "merged":
                return partial(sights.merged, action=action, now=now())
            moved = came.result == "moved"
            return partial(sights.not_merged, action=action, reason=came.reason or "", now=now(), moved=moved)
        if isinstance(action, UpdateBranch):
            reason = await update_branch(github, pull, action.head)
            if reason is not None:
                return partial(sights.refused, action=action, reason=reason, now=now())
            return partial(sights.look_again, item=action.item, now=now())
        await rerun_broken(github, pull, action.head)
        return lambda plan: plan

    def _not_done(self, action: Outward, error: GitHubFailed | GitHubRefused) -> Callable[[Plan], Plan]:
        # A limit is a wait and no failure.
        if isinstance(action, MergePull) and not isinstance(error, GitHubLimited):
            return partial(sights.not_merged, action=action, reason=error.message, now=self.ticking.now())
        return partial(sights.refused, action=action, reason=error.message, now=self.ticking.now())

    async def _find(self, seen: SeenMission) -> None:
        """For work that was completed: whether there is a pull request of it."""
        if self.monotonic() < self._finding_due:
            return
        plan = Plan(seen.mission, seen.items, seen.watches)
        tasks = await self.ticking.store.tasks_of(sorted(open_tasks(plan)))
        done = finished(plan, Town({}, {task.id: task for task in tasks}))
        for item, task in done:
            await self._find_for(seen, item, task)
        self._unfound = {task.id: self._unfound[task.id] for _, task in done if task.id in self._unfound}
        self._finding_due = self.monotonic() + LATER if self._unfound else 0.0

    async def _find_for(self, seen: SeenMission, item: WorkItem, task: Task) -> None:
        found = Sights(self.ticking.now(), self.bugbots, ended={item.id: task.id})
        home = repository_of(item.key, seen.mission.home)
        try:
            if home is not None:
                github = await self.clients.of(home.host, home.owner)
                pull = await find_pull(github, item, task.result or "", home)
                found.found.update({} if pull is None else {item.id: pull})
            self._unfound.pop(task.id, None)
        except _TROUBLE as error:
            # A limit is a wait and no failure.
            self._unfound[task.id] = self._unfound.get(task.id, 0) + (not isinstance(error, GitHubLimited))
            if self._unfound[task.id] < outcomes.MOST_ATTEMPTS:
                return
            del self._unfound[task.id]
            found = Sights(self.ticking.now(), self.bugbots, unfound={item.id: error.message})
        await self._take_in(partial(taken_in, sights=found))

    async def _stand(self, seen: SeenMission) -> None:
        """Whether issues of the mission were closed, and how the gates stand."""
        gates = [watch for watch in seen.watches if watch.watch_kind == EXTERNAL_GATE and watch.state in LIVE]
        if not due(gates, self.ticking.now()) and self.monotonic() < self._standing_due:
            return
        wanted = [gate.target for gate in gates]
        wanted += [item.source_ref for item in seen.items if item.source_ref and not item.state.is_terminal]
        self._standing_due = self.monotonic() + seen.mission.watch_interval_secs
        for owner, references in _by_owner(wanted).items():
            found = Sights(self.ticking.now(), self.bugbots)
            try:
                stand = await standings(await self.clients.of(*owner), references)
            except _TROUBLE as error:
                _note(found, references, error)
            else:
                found.standings.update({reference.key: standing for reference, standing in stand.items()})
            await self._take_in(partial(taken_in, sights=found))

    async def _watch(self, seen: SeenMission) -> None:
        """Look at the pull requests that are due."""
        live = [watch for watch in seen.watches if watch.state in LIVE and watch.watch_kind != EXTERNAL_GATE]
        self.looks.keep(reference_of(watch.target) for watch in live)
        targets = (watch.target for watch in due(live, self.ticking.now()))
        for owner, references in _by_owner(targets).items():
            found = Sights(self.ticking.now(), self.bugbots)
            try:
                await self._look_at(await self.clients.of(*owner), references, found)
            except _TROUBLE as error:
                _note(found, references, error)
            await self._take_in(partial(taken_in, sights=found))

    async def _look_at(self, github: GitHub, references: list[Reference], found: Sights) -> None:
        pulls = await look(github, references, self.looks, self.monotonic())
        for reference in references:
            pull = pulls.get(reference)
            if pull is None:
                found.failed[reference.key] = f"it {sights.UNREADABLE}"
                continue
            bare = pull.glance.rollup is None and not pull.checks and pull.glance.state == "OPEN"
            if bare and not await has_suites(github, reference, pull.glance.head):
                found.unchecked.add(reference.key)
            found.pulls[reference.key] = pull

    def _until_due(self, seen: SeenMission) -> float:
        now = seconds_of(self.ticking.now())
        times = [seconds_of(watch.next_due_at) - now for watch in seen.watches if watch.state in LIVE]
        times += [at - self.monotonic() for at in (self._standing_due, self._finding_due) if at]
        return max(_SHORTEST, min([LONGEST, *times]))


def explain(looks: Looks, pull: str, finding: str) -> str:
    """What a watch has found, in the words that GitHub has for it, where those were seen."""
    seen = looks[reference_of(pull)] if pull else None
    for said in (*seen.threads, *seen.comments) if seen is not None else ():
        if said.id == finding:
            where = f" on {said.path}" if said.path else ""
            return f"{said.author}{where}: {said.body}"
    return finding


def _by_owner(keys: Iterable[str]) -> dict[tuple[str, str], list[Reference]]:
    """They go together as far as one client serves them: a GitHub App has a token for each owner."""
    found: dict[tuple[str, str], list[Reference]] = {}
    for key in dict.fromkeys(keys):
        reference = reference_of(key)
        found.setdefault((reference.repository.host, reference.repository.owner), []).append(reference)
    return found


def _note(found: Sights, references: Iterable[Reference], error: GitHubFailed | GitHubRefused) -> None:
    for reference in references:
        # What was seen before it went wrong holds.
        if reference.key in found.pulls:
            continue
        if isinstance(error, GitHubLimited):
            found.limited[reference.key] = error.until
        else:
            found.failed[reference.key] = error.message
