"""Where an agent works: the project or a worktree, and what happens when there is no such place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from repositories import Checkout, new_repository

from tinytown.actors.child import Ladder
from tinytown.config import AgentSettings, Settings
from tinytown.errors import Invalid, RuntimeFailed
from tinytown.records import Agent
from tinytown.runtime.workplace import Workplace, workplace_of
from tinytown.transport.files import TownFiles

ADA = Agent(name="ada", cli="any", worktree=True)
NOBODY: Mapping[str, str] = {}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = new_repository(tmp_path / "project")
    project.commit("web/page.txt", "a page\n")
    return project


async def where(
    project: Checkout, agent: Agent = ADA, configured: str | None = None, *, setup: str | None = None
) -> Workplace:
    files = TownFiles(project.path, environ=NOBODY)
    files.logs.mkdir(parents=True, exist_ok=True)
    return await workplace_of(
        agent,
        configured,
        files=files,
        settings=Settings("demo", agent=AgentSettings(setup=setup)),
        env={"PATH": os.environ["PATH"]},
        ladder=Ladder(),
    )


async def test_without_a_worktree_it_is_the_project_or_the_directory_that_was_named(project: Checkout) -> None:
    plain = Agent(name="ada", cli="any")
    assert await where(project, plain) == Workplace(project.path)
    assert (await where(project, plain, "web")).cwd == project.path / "web"
    assert (await where(project, plain, "/")).cwd == Path("/")
    assert not (project.path / ".tt" / "agents").exists()


@pytest.mark.parametrize("named", ["web", "{project}/web"])
async def test_a_directory_of_the_project_is_that_directory_in_the_worktree(project: Checkout, named: str) -> None:
    found = await where(project, ADA, named.format(project=project.path))
    worktree = project.path / ".tt" / "agents" / "ada"
    assert found.cwd == worktree / "web"
    assert found.identity["TINYTOWN_WORKTREE"] == str(worktree)
    assert (found.cwd / "page.txt").read_text() == "a page\n"


async def test_only_a_worktree_that_was_made_just_now_is_news(project: Checkout) -> None:
    first = await where(project)
    assert first.news is not None
    assert first.news.startswith("works in the new worktree .tt/agents/ada, on the branch tt/ada, with the ports ")
    again = await where(project)
    assert (again.news, again.identity) == (None, first.identity)


async def test_what_a_worktree_cannot_have_is_an_error_that_no_repetition_mends(project: Checkout) -> None:
    with pytest.raises(Invalid, match="outside the project"):
        await where(project, ADA, "..")
    (project.path / "scratch").mkdir()
    with pytest.raises(Invalid, match="only what git tracks"):
        await where(project, ADA, "scratch")
    project.git("switch", "--quiet", "--create", "tt/bob")
    with pytest.raises(Invalid, match="The branch tt/bob is checked out in"):
        await where(project, Agent(name="bob", cli="any", worktree=True))


async def test_an_agent_with_a_worktree_does_not_work_in_a_project_that_is_under_git_no_more(project: Checkout) -> None:
    (project.path / ".git").rename(project.path.parent / "git")
    with pytest.raises(Invalid, match="not under git") as caught:
        await where(project)
    assert "tt spawn ada --no-worktree" in caught.value.hint


async def test_a_setup_command_is_run_again_until_it_has_succeeded_and_no_more_then(project: Checkout) -> None:
    setup = "sh -c 'echo tried >> build; echo its words; test -f go'"
    worktree = project.path / ".tt" / "agents" / "ada"
    with pytest.raises(RuntimeFailed, match="exit status 1\nits words"):
        await where(project, setup=setup)
    (worktree / "go").touch()
    for _ in range(2):
        await where(project, setup=setup)
    assert (worktree / "build").read_text() == "tried\n" * 2
    assert (project.path / ".tt" / "logs" / "ada_setup.log").read_text() == "its words\n" * 2


async def test_a_setup_command_that_is_accepted_later_runs_in_a_worktree_that_is_there(project: Checkout) -> None:
    await where(project)
    await where(project, setup="touch build")
    assert (project.path / ".tt" / "agents" / "ada" / "build").exists()


async def test_another_host_makes_a_worktree_of_its_own_and_goes_on_with_what_was_pushed(
    project: Checkout, tmp_path: Path
) -> None:
    here = Checkout((await where(project)).cwd)
    pushed = here.commit("code.txt", "two\n")
    project.git("clone", "--quiet", ".", str(tmp_path / "elsewhere"))
    elsewhere = Checkout(tmp_path / "elsewhere")
    elsewhere.git("branch", "--quiet", "tt/ada", "origin/tt/ada")
    there = Checkout((await where(elsewhere)).cwd)
    assert there.path == elsewhere.path / ".tt" / "agents" / "ada"
    assert there.git("rev-parse", "HEAD") == pushed
    assert here.git("rev-parse", "HEAD") == pushed
