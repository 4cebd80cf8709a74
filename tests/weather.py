"""A mission on trio's clock, and all that can happen to it: what agents, people, checks and GitHub do at random.

Nothing here knows how the scheduler decides. While it storms anything goes, from a seed; when it is calm again
everybody does what would be right, so that the mission has to come to its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import httpx2
import trio
from stage import Run, Runtime, Stage, bad, good, now

from tinytown.actors.drivers.text import TurnResult
from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import Plan
from tinytown.actors.missions.compiler import Issue, Objectives, compile_mission
from tinytown.actors.missions.reconcile import LIVE, open_tasks
from tinytown.actors.missions.references import reference_of
from tinytown.errors import IllegalTransition
from tinytown.ids import MissionId, TaskId
from tinytown.lifecycle import MissionEvent, MissionState, TaskState, WatchState, WorkItemState
from tinytown.mission_records import Mission, SourceText, WorkItem
from tinytown.records import Agent, Event, Task
from tinytown.runtime.demo.brief import Item, read_brief
from tinytown.runtime.demo.forge import Asked, Forge, Pull, Refused
from tinytown.runtime.demo.mission.assignment import Assignment, read_assignment
from tinytown.transport.delivery import ControlKind
from tinytown.transport.missions import ACTIVE, Changed, SeenMission, update_mission

HOME, GATE = "o/r", "other/lib#9"
TEAM = ("ada", "bob", "tester", "reviewer")
OVER = (MissionState.COMPLETED, MissionState.FAILED)


@dataclass
class Sky:
    """The GitHub, its checks and its people. `storms` until it is calm."""

    nursery: trio.Nursery
    dice: Random
    storms: bool = True
    ill: bool = False
    """It answers nothing."""
    approved: set[tuple[int, str]] = field(default_factory=set)
    """Pull requests with the heads that somebody has approved."""
    green: set[str] = field(default_factory=set)
    merged_by_people: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    """What must not have happened."""

    def __post_init__(self) -> None:
        self.forge = Forge(clock=lambda: 1_800_000_000 + trio.current_time(), told=self.told)
        self.repo = self.forge.repo(HOME)
        name, _, number = GATE.partition("#")
        self.gate = self.forge.repo(name).issue(int(number))

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """In place of the network."""
        await trio.sleep(self.dice.uniform(0.05, 2))
        if self.ill:
            if self.dice.random() < 0.5:
                raise httpx2.ConnectError("nobody there", request=request)
            return httpx2.Response(502, json={"message": "Bad gateway"}, request=request)
        asked = Asked.of(request.method, request.url.raw_path.decode(), await request.aread())
        found = self.forge.answer(asked)
        return httpx2.Response(found.status, json=found.value, headers=found.headers, request=request)

    def told(self, what: str, pull: Pull) -> None:
        if what in ("opened", "pushed", "rerun"):
            # That there will be checks is known at once.
            pull.commit.suites = 1
            self.nursery.start_soon(self._check, pull, pull.head)
        if what == "opened" and self._happens(0.15):
            pull.conflicting = True
        if what == "merged" and pull.number not in self.merged_by_people:
            if (pull.number, pull.head) not in self.approved:
                self.wrong.append(f"{pull.key} was merged at {pull.head[:8]}, which nobody approved")
            if pull.head not in self.green:
                self.wrong.append(f"{pull.key} was merged at {pull.head[:8]}, which never was green")

    async def _check(self, pull: Pull, head: str) -> None:
        await trio.sleep(self.dice.uniform(5, 300))
        commit = self.repo.commit(head)
        outcome = self.dice.choices(("SUCCESS", "FAILURE", "TIMED_OUT", None), (75, 15, 5, 5))[0]
        outcome = outcome if self.storms else "SUCCESS"
        if pull.head == head:
            pull.check("tests", outcome, run=pull.repo.number())
        if commit.rollup == "SUCCESS":
            self.green.add(head)
        if outcome is None:
            self.nursery.start_soon(self._check, pull, head)

    def _happens(self, chance: float) -> bool:
        return self.storms and self.dice.random() < chance

    def open_pull(self) -> Pull | None:
        """Any that is open."""
        found = [pull for pull in self.repo.pulls.values() if pull.state == "open"]
        return self.dice.choice(found) if found else None

    # What people do at GitHub.

    async def push(self) -> None:
        if pull := self.open_pull():
            pull.push()

    async def close(self) -> None:
        if pull := self.open_pull():
            pull.close()

    async def merge(self) -> None:
        if pull := self.open_pull():
            self._merge(pull)

    def _merge(self, pull: Pull) -> None:
        self.merged_by_people.add(pull.number)
        try:
            pull.merge()
        except Refused:
            self.merged_by_people.discard(pull.number)

    def finish(self, *, merge: bool) -> None:
        """A person approves of what is green, and may merge it."""
        for pull in self.repo.pulls.values():
            if pull.state == "open" and pull.commit.rollup == "SUCCESS":
                pull.review("mia")
                self.approved.add((pull.number, pull.head))
                if merge:
                    self._merge(pull)

    async def conflict(self) -> None:
        if pull := self.open_pull():
            pull.conflicting = True
            pull.touch()

    async def fall_behind(self) -> None:
        if pull := self.open_pull():
            pull.behind = True
            pull.touch()

    async def say(self) -> None:
        if pull := self.open_pull():
            bot = self.dice.random() < 0.5
            pull.thread("cursor" if bot else "mia", "This is wrong.", bot=bot)

    async def judge(self) -> None:
        if pull := self.open_pull():
            state = self.dice.choice(("APPROVED", "CHANGES_REQUESTED"))
            pull.review("mia", state)
            if state == "APPROVED":
                self.approved.add((pull.number, pull.head))

    async def close_issue(self) -> None:
        still = [issue for issue in self.repo.issues.values() if issue.state == "open"]
        if still and self.dice.random() < 0.2:
            self.dice.choice(still).close(self.dice.choice(("completed", "not_planned")))

    async def open_gate(self) -> None:
        if self.dice.random() < 0.2:
            self.gate.close()

    async def fall_ill(self) -> None:
        self.ill = True
        await trio.sleep(self.dice.uniform(10, 1200))
        self.ill = False

    def clear(self) -> None:
        """It is calm: nobody is against anything any more."""
        self.storms = self.ill = False
        self.gate.close()
        for pull in self.repo.pulls.values():
            for thread in pull.threads:
                thread.resolved = True
            if pull.state == "open" and pull.decision == "CHANGES_REQUESTED":
                pull.review("mia", "DISMISSED")
            if any(not check.good for check in pull.checks):
                self.nursery.start_soon(self._check, pull, pull.head)


@dataclass
class Crew:
    """What the agents do with their tasks."""

    stage: Stage
    sky: Sky
    dice: Random
    failed: dict[str, int] = field(default_factory=dict)
    """Rounds in a row that failed, by agent."""
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def round(self, run: Run) -> TurnResult:
        """One round of an agent."""
        for item in read_brief(run.prompt).items:
            assignment = read_assignment(item.text) if item.asks else None
            if assignment is None:
                continue
            await trio.sleep(self.dice.uniform(5, 400))
            if self._happens(0.06) and self.failed.get(run.agent.name, 0) < 2:
                self.failed[run.agent.name] = self.failed.get(run.agent.name, 0) + 1
                return bad()
            self.failed[run.agent.name] = 0
            await self._do(run.agent, item, assignment)
        return good()

    async def _do(self, agent: Agent, item: Item, assignment: Assignment) -> None:
        self.asked.append((item.task, assignment.kind))
        if self._happens(0.05):
            await self._end(agent, item, lambda task: task.fail("It cannot be done."))
            return
        result = {"work": self._work, "repair": self._repair, "review": self._review}[assignment.kind](item, assignment)
        await self._end(agent, item, lambda task: task.complete(result))

    def _work(self, item: Item, assignment: Assignment) -> str:
        if self._happens(0.1):
            return "It is done, I think."
        self._push(item, assignment)
        pull = self.sky.repo.open_pull(assignment.branch)
        if pull is None:
            body = f"Closes #{assignment.number}\n\n{assignment.trailer}"
            pull = self.sky.repo.pull(assignment.branch, title=assignment.title, body=body)
        return f"https://github.com/{HOME}/pull/{pull.number} is like o/r#1" if self.dice.random() < 0.5 else "done"

    def _repair(self, item: Item, assignment: Assignment) -> str:
        if not self._happens(0.2):
            self._push(item, assignment)
        if pull := self.sky.repo.open_pull(assignment.branch):
            for thread in pull.threads:
                thread.resolved = True
        return "mended"

    def _review(self, item: Item, assignment: Assignment) -> str:
        verdict = self.dice.choices(("APPROVED", "REJECTED: no tests", "Hm."), (70, 20, 10))[0]
        verdict = verdict if self.sky.storms else "APPROVED"
        if verdict == "APPROVED" and assignment.pull:
            head = item.text.partition("at commit ")[2].split(".")[0]
            self.sky.approved.add((int(assignment.pull.partition("#")[2]), head))
        return verdict

    def _push(self, item: Item, assignment: Assignment) -> None:
        self.sky.repo.pushed(assignment.branch, hashlib.sha1(item.task.encode()).hexdigest())

    async def _end(self, agent: Agent, item: Item, how: Callable[[Task], Task]) -> None:
        """End a task as `tt task complete` does; one that was called off stays so."""
        store = self.stage.store
        seen = await store.see_task(TaskId(item.task))
        if seen.record.state.is_terminal or seen.record.assigned_to != agent.id:
            return
        after = how(seen.record)
        change = store.change().replace_task(seen, after)
        await store.commit(change.tell(Event(f"task.{after.state}", agent=agent.id, task=after.id)))

    def _happens(self, chance: float) -> bool:
        return self.sky.storms and self.dice.random() < chance


class Weather:
    """A mission of random size and shape, in the hands of a crew, under a sky."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.dice = stage, Random(seed)
        self.sky = Sky(stage.nursery, self.dice)
        self.crew = Crew(stage, self.sky, self.dice)
        stage.cli.behave = self.crew.round
        stage.environ = {"GH_TOKEN": "of-the-tests", "GITHUB_API_URL": "https://hub.test"}
        stage.environ["GITHUB_GRAPHQL_URL"] = "https://hub.test/graphql"
        self.runtimes = [self._runtime("here"), self._runtime("there")]
        self.mission_id = MissionId("")
        self.absorbed: dict[str, WorkItemState] = {}
        self.kills = self.happened = 0

    def _runtime(self, host: str) -> Runtime:
        # As seldom as can be: most of what it costs to let a night pass is the pulse of the runtimes.
        return Runtime(self.stage, host=host, lease=90.0, interval=30.0, patrol=30.0)

    async def begin(self, bodies: Mapping[int, str] | None = None) -> None:
        """Agents, a runtime, and the mission: of these issues, or of some at random."""
        for name in TEAM:
            await self.stage.agent(name, max_rounds=1_000_000)
        for runtime in self.runtimes:
            await runtime.start()
        mission = Mission(
            max_parallel_items=self.dice.randint(1, 4),
            auto_merge=self.dice.random() < 0.75,
            reviewer_required=self.dice.random() < 0.8,
            home=HOME,
            merge_method="squash",
        )
        self.sky.repo.approvals = int(self.dice.random() < 0.2)
        issues = []
        for number, body in (bodies or self._bodies()).items():
            found = self.sky.repo.issue(number, f"Part {number}", body)
            issues.append(Issue(reference_of(found.key), found.title, body, author="ann", association="MEMBER"))
        compiled = compile_mission(mission, Objectives(issues))
        texts = {item.id: SourceText("ann", "MEMBER", "Do it.") for item in compiled.items}
        missions, store = self.stage.town.missions, self.stage.store
        await store.commit(missions.create(store.change(), Changed(mission, compiled.items, compiled.gates, texts)))
        self.mission_id = mission.id
        self.wake()

    def _bodies(self) -> dict[int, str]:
        found = {}
        for number in range(1, self.dice.randint(4, 9)):
            on = [f"#{each}" for each in range(1, number) if self.dice.random() < 0.3]
            on += [GATE] if self.dice.random() < 0.15 else []
            found[number] = f"Depends on {', '.join(on)}" if on else "Do it."
        return found

    async def storm(self, hours: float) -> None:
        """Anything happens for so long."""
        sky = self.sky
        events: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (6, sky.push),
            (2, sky.close),
            (2, sky.merge),
            (4, sky.conflict),
            (3, sky.fall_behind),
            (6, sky.say),
            (6, sky.judge),
            (3, sky.close_issue),
            (3, sky.open_gate),
            (3, sky.fall_ill),
            (8, self.kill),
            (6, self.lapse),
            (3, self.stop_and_resume),
            (3, self.lose_agent),
        ]
        end = trio.current_time() + hours * 3600
        # What has begun is brought to its end: a runtime that died is followed by another.
        while trio.current_time() < end and not await self.is_over():
            await trio.sleep(self.dice.expovariate(1 / 120))
            (event,) = self.dice.choices([each for _, each in events], [weight for weight, _ in events])
            self.happened += 1
            await event()

    async def calm(self) -> None:
        """Everybody does what is right, people too, until the mission is over."""
        self.sky.clear()
        await self.resume()
        for agent in await self.stage.store.agents():
            if agent.cli and agent.state.is_terminal:
                await self.stage.agent(f"{agent.name}-again", max_rounds=1_000_000)
        with trio.move_on_after(10 * 3600):
            while not await self.is_over():
                await trio.sleep(1200)
                await self.help_out()
                mission = (await self.see()).mission
                if self.sky.repo.approvals or not (mission.auto_merge and mission.reviewer_required):
                    self.sky.finish(merge=not mission.auto_merge)

    async def is_over(self) -> bool:
        return (await self.see()).mission.state in OVER

    async def see(self) -> SeenMission:
        return await self.stage.town.missions.see(self.mission_id)

    # What may happen in the town.

    async def kill(self) -> None:
        """A runtime dies, and another begins on its host."""
        self.kills += 1
        dead = self.dice.randrange(len(self.runtimes))
        await self.runtimes[dead].kill()
        await trio.sleep(self.dice.uniform(0, 60))
        self.runtimes[dead] = await self._runtime(self.runtimes[dead].card.host).start()

    async def lapse(self) -> None:
        """A runtime that is alive is taken for dead: it works on while others take over what it has."""
        runtime = self.dice.choice(self.runtimes)
        await self.stage.town.ask("ZADD", self.stage.town.keys("runtimes"), 1, runtime.card.id)
        self.wake()

    def wake(self) -> None:
        """What was stored without ringing is seen now."""
        for runtime in self.runtimes:
            runtime.scheduler.wake()
            runtime.lifeline.look_at_everybody()

    async def end(self) -> None:
        """Nothing runs any more."""
        for runtime in self.runtimes:
            await runtime.end()

    async def stop_and_resume(self) -> None:
        await self._move(MissionEvent.STOP)
        await trio.sleep(self.dice.uniform(1, 600))
        await self.resume()

    async def resume(self) -> None:
        await self._move(MissionEvent.RESUME)
        self.wake()

    async def _move(self, event: MissionEvent) -> None:
        def decide(seen: SeenMission) -> Changed:
            return Changed(seen.mission.after(event, now()), seen.items, seen.watches)

        try:
            await update_mission(self.stage.store, self.stage.town.missions, self.mission_id, decide)
        except IllegalTransition:
            return

    async def lose_agent(self) -> None:
        """An agent is killed in the middle of what it does, and after a while there is a new one."""
        agents = [agent for agent in await self.stage.store.agents() if agent.cli and not agent.state.is_terminal]
        if len(agents) < 2:
            return
        agent = self.dice.choice(agents)
        await self.stage.control(agent, ControlKind.STOP)
        await trio.sleep(self.dice.uniform(1, 600))
        await self.stage.agent(f"{agent.name[:20]}-{self.happened}", max_rounds=1_000_000)
        self.wake()

    async def help_out(self) -> None:
        """A person sees to what waits for one."""

        def decide(seen: SeenMission) -> Changed:
            items = tuple(
                outcomes.sent_back(item, now(), "try again") if item.waits_for == "person" else item
                for item in seen.items
            )
            return Changed(seen.mission, items, seen.watches)

        seen = await self.see()
        if seen.mission.state in ACTIVE and any(item.waits_for == "person" for item in seen.items):
            await update_mission(self.stage.store, self.stage.town.missions, self.mission_id, decide)

    # What must be true at any time.

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await trio.sleep(29)
            if self.mission_id and self.stage.twin.is_up:
                await self._look()

    async def _look(self) -> None:
        seen = await self.see()
        tasks = await self.stage.store.tasks()
        if (await self.see()).raw != seen.raw:
            return
        wrong = self.sky.wrong
        in_work = [item for item in seen.items if item.state in (WorkItemState.ASSIGNED, WorkItemState.RUNNING)]
        if len(in_work) > seen.mission.max_parallel_items:
            wrong.append(f"{len(in_work)} items in work")
        done = {item.key for item in seen.items if item.state is WorkItemState.DONE}
        done |= {each.target for each in seen.watches if each.state is WatchState.DONE}
        wrong += [f"{item.key} began before {key}" for item in in_work for key in item.depends_on if key not in done]
        known = open_tasks(Plan(seen.mission, seen.items, seen.watches))
        still = [task for task in tasks if task.state in (TaskState.ASSIGNED, TaskState.RUNNING)]
        if seen.mission.state is not MissionState.STOPPED:
            wrong += [f"{_head(task)} is open, and nobody waits for it" for task in still if task.id not in known]
        wrong += self._moved_on(seen.items)
        heads = [_head(task) for task in still]
        wrong += [f"{each} is open twice" for each in set(heads) if heads.count(each) > 1]

    def _moved_on(self, items: tuple[WorkItem, ...]) -> list[str]:
        found = [item.key for item in items if self.absorbed.get(item.id, item.state) is not item.state]
        self.absorbed |= {item.id: item.state for item in items if item.state.is_terminal}
        return [f"{key} was over, and no longer is" for key in found]

    async def story(self) -> str:
        """How all stands, for a test that fails."""
        seen = await self.see()
        lines = [f"{seen.mission.state}: {seen.mission.reason}, after {self.happened} events and {self.kills} deaths"]
        lines += [f"{each.key} {each.state} {each.waits_for} {each.attempts} {each.reason}" for each in seen.items]
        for watch in seen.watches:
            if watch.state in LIVE:
                found = f"{watch.last_result} {watch.findings} {watch.fix_task_id}"
                lines.append(f"  {watch.watch_kind} {watch.target} {watch.state} {found}")
        pulls = self.sky.repo.pulls.values()
        lines += [f"{pull.key} {pull.state} {pull.merge_state} {pull.commit.rollup}" for pull in pulls]
        lines += [f"{agent.name} {agent.state}" for agent in await self.stage.store.agents()]
        tasks = [task for task in await self.stage.store.tasks() if not task.state.is_terminal]
        lines += [f"{task.state} {_head(task)}" for task in tasks]
        return "\n".join([*lines, *(line for runtime in self.runtimes for line in runtime.reports[-5:])])


def _head(task: Task) -> str:
    return task.description.partition("\n")[0]
