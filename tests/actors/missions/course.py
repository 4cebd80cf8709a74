"""A mission that a test takes from step to step, with a GitHub beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from github_server import FakeGitHub
from towns import Parts

from tinytown.actors.actor import Bell
from tinytown.actors.missions.compiler import Objectives, compile_mission
from tinytown.actors.missions.github.clients import Clients
from tinytown.actors.missions.github.issues import load_issue
from tinytown.actors.missions.mission_actor import MissionActor
from tinytown.actors.missions.references import Reference, Repository
from tinytown.actors.missions.telling import TRAILER
from tinytown.ids import AgentId
from tinytown.lifecycle import AgentState, TaskState
from tinytown.mission_records import Mission, SourceText, WorkItem
from tinytown.records import Agent, Task
from tinytown.runtime.demo.forge import Pull
from tinytown.times import timestamp
from tinytown.transport.missions import Changed, SeenMission
from tinytown.transport.shelves import Shelves

HOME = Repository("github.com", "o", "r")


@dataclass
class Course:
    """A mission that is worked on step by step: time passes only when a test says so."""

    hub: FakeGitHub
    town: Parts
    clients: Clients
    mission: Mission = field(default_factory=Mission)
    turns: trio.Lock = field(default_factory=trio.Lock)
    actor: MissionActor = field(init=False)

    async def begin(self, *numbers: int, **policy: object) -> None:
        self.mission = Mission(home="github.com/o/r", **policy)  # type: ignore[arg-type]
        github = await self.clients.of("github.com")
        issues = [await load_issue(github, Reference(HOME, number)) for number in numbers]
        compiled = compile_mission(self.mission, Objectives(issues))
        texts = {
            item.id: SourceText(issue.author, issue.association, issue.body)
            for item, issue in zip(compiled.items, issues, strict=True)
        }
        whole = Changed(self.mission, compiled.items, compiled.gates, texts)
        await self.town.store.commit(self.town.missions.create(self.town.store.change(), whole))
        await self.take_over()

    async def take_over(self) -> None:
        """Another process works on it from here on: whatever the one before knew is lost."""
        (placed,) = await self.town.placement.place(await self.town.begin(), [AgentId(self.mission.id)])
        if placed.fence is None:
            await self.town.ask("DEL", self.town.keys("runtimes"))
            (placed,) = await self.town.placement.place(await self.town.begin(), [AgentId(self.mission.id)])
        assert placed.fence is not None
        self.actor = MissionActor(
            self.mission.id,
            placed.fence,
            store=self.town.store,
            missions=self.town.missions,
            shelves=Shelves(self.town.connection, self.town.keys, self.town.limits),
            clients=self.clients,
            bugbots=("cursor",),
            tick_secs=30.0,
            now=lambda: timestamp(self.hub.now),
            bell=Bell(),
            turns=self.turns,
            monotonic=lambda: self.hub.now,
        )

    async def agent(self, name: str) -> Agent:
        agent = Agent(name=name, cli="any", state=AgentState.IDLE)
        await self.town.store.commit(self.town.store.change().create_agent(agent))
        return agent

    async def on(self, *, passes: float = 0.0) -> None:
        """Let time pass, and do what is due."""
        self.hub.now += passes
        await self.actor.once()

    async def see(self) -> SeenMission:
        return await self.town.missions.see(self.mission.id)

    async def item(self, number: int = 1) -> WorkItem:
        return next(item for item in (await self.see()).items if item.number == number)

    async def open_tasks(self, word: str = "") -> list[Task]:
        found = await self.town.store.tasks(TaskState.ASSIGNED)
        return [task for task in found if word in task.description.splitlines()[0]]

    async def end(self, word: str, end: Callable[[Task], Task]) -> Task:
        """End the one open task whose first line has this word."""
        (task,) = await self.open_tasks(word)
        return await self.town.store.update_task(task.id, end)

    async def does(self, number: int = 1, *, pull: int | None = 40) -> None:
        """The agent of an item completes it, with a pull request unless there is none."""
        item = await self.item(number)
        if pull is not None and pull not in self.hub.repo("o/r").pulls:
            self.hub.pull(f"o/r#{pull}", item.branch, body=f"{TRAILER}: {item.id}")
        said = f"https://github.com/o/r/pull/{pull}" if pull else "it is all in the text"
        assert item.task_id is not None
        await self.town.store.update_task(item.task_id, lambda task: task.complete(said))
        await self.on()

    async def with_pull(self, **policy: object) -> Pull:
        """Begin with the first issue, and let its agent do it; gives the pull request."""
        await self.begin(1, **policy)
        await self.on()
        await self.does()
        return self.hub.repo("o/r").pulls[40]

    async def approve(self) -> None:
        await self.end("Review", lambda task: task.complete("APPROVED"))
        await self.on()
