"""Who gets a worktree at spawn, and what becomes of worktrees when their agents leave the town."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from leftovers import assigned, dump, stop
from repositories import Checkout, new_repository
from runtime_parts import add, configure, happened, place

from tinytown.actors.worktree import prepare
from tinytown.config import AgentSettings
from tinytown.errors import Conflict
from tinytown.records import Agent
from tinytown.runtime.opening import open_async
from tinytown.runtime.operations.agents import Spawn, spawn
from tinytown.runtime.operations.clearing import Prune, Reset, prune, reset
from tinytown.runtime.operations.worktrees import Checkout as Seen
from tinytown.runtime.operations.worktrees import Cleared, Kept, checkout_of
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

IN_TURN = "its turn is only now being cut; 'tt prune' looks at it again"


@pytest.fixture
def repository(town: Town) -> Checkout:
    """The town is under git."""
    return new_repository(town.root)


def with_worktree(town: Town, name: str) -> Agent:
    """An agent that has worked in its worktree, and left it as it was."""
    agent = add(town, name, worktree=True)
    assert trio.run(lambda: prepare(town.root, name, include=(), port_base=20_000)) is not None
    return agent


def cleared(town: Town, *, everyone: bool = False, force: bool = False) -> Cleared | None:
    return run_sync(prune(town, Prune(everyone=everyone, force=force))).worktrees


# At spawn.


def test_an_agent_has_a_worktree_when_asked_or_configured(town: Town, repository: Checkout) -> None:
    assert repository.path == town.root
    assert not add(town, "ada").worktree
    assert add(town, "bob", worktree=True).worktree
    configure(town, agent=AgentSettings(isolation="worktree"))
    assert add(town, "cleo").worktree
    assert not add(town, "dan", worktree=False).worktree


def test_a_new_life_keeps_it_unless_asked_otherwise(town: Town, repository: Checkout) -> None:
    assert repository.path == town.root
    stop(town, add(town, "ada", worktree=True))
    ada = add(town, "ada")
    assert (ada.incarnation, ada.worktree) == (2, True)
    stop(town, ada)
    assert not add(town, "ada", worktree=False).worktree


def test_a_worktree_is_refused_where_there_can_be_none(town: Town) -> None:
    before = dump(town)
    Checkout(town.root).git("init", "--quiet")
    with pytest.raises(Conflict, match="no commit yet"):
        add(town, "ada", worktree=True)
    new_repository(town.root)
    with pytest.raises(Conflict, match="outside the project"):
        add(town, "ada", worktree=True, workdir="..")
    assert dump(town) == before
    configure(town, agent=AgentSettings(isolation="worktree"))
    spawned = run_sync(spawn(town, Spawn("ada", workdir="..", runtime=False)))
    assert not spawned.agent.worktree
    assert spawned.note is not None
    assert spawned.note.endswith("the directory of the agent is outside the project")


# Seen.


def test_the_branch_that_is_checked_out_is_seen_without_git(town: Town, repository: Checkout) -> None:
    ada = with_worktree(town, "ada")
    assert checkout_of(town.root, ada) == Seen(".tt/agents/ada", "tt/ada")
    inside = Checkout(repository.path / ".tt" / "agents" / "ada")
    inside.git("switch", "--quiet", "--create", "feature/x")
    assert checkout_of(town.root, ada) == Seen(".tt/agents/ada", "feature/x")
    inside.git("checkout", "--quiet", "--detach")
    assert checkout_of(town.root, ada) == Seen(".tt/agents/ada", None)
    (inside.path / ".git").unlink()
    os.mkfifo(inside.path / ".git")
    assert checkout_of(town.root, ada) is None
    assert checkout_of(town.root, add(town, "bob")) is None


# When agents leave.


def test_a_worktree_goes_with_its_agent_and_that_of_one_that_stays_stays(town: Town, repository: Checkout) -> None:
    stop(town, with_worktree(town, "ada"))
    with_worktree(town, "bob")
    assert cleared(town) == Cleared(gone=("ada",))
    assert not repository.has_branch("tt/ada")
    assert repository.has_branch("tt/bob")
    assert cleared(town) is None


@pytest.mark.parametrize("agents_only", [True, False])
def test_a_reset_keeps_what_would_be_lost_and_says_so_before(
    town: Town, repository: Checkout, *, agents_only: bool
) -> None:
    with_worktree(town, "ada")
    with_worktree(town, "bob")
    inside = Checkout(repository.path / ".tt" / "agents" / "bob")
    inside.write("half.txt", "half done")
    kept = Kept("bob", ".tt/agents/bob", "1 file is not in git: half.txt")

    before = dump(town)
    preview = run_sync(reset(town, Reset(agents_only=agents_only))).worktrees
    assert preview == Cleared(gone=("ada",), kept=(kept,))
    assert dump(town) == before
    assert repository.refs("refs/tt") == []

    done = run_sync(reset(town, Reset(force=True, agents_only=agents_only))).worktrees
    (rescue,) = repository.refs("refs/tt/rescue/bob")
    assert done == Cleared(gone=("ada",), kept=(replace(kept, rescue=rescue),))
    assert (inside.path / "half.txt").read_text() == "half done"


def test_the_worktree_of_a_turn_that_is_cut_is_left_to_a_later_prune(town: Town, repository: Checkout) -> None:
    assert repository.path == town.root
    ada = with_worktree(town, "ada")
    fence = place(town, ada)
    assigned(town, ada, "dig")
    run_sync(town.mailbox.claim(fence, count=1, size=1 << 20, lease=60))
    assert cleared(town, everyone=True, force=True) == Cleared(kept=(Kept("ada", ".tt/agents/ada", IN_TURN),))
    assert "agent.pruned" in happened(town)
    assert cleared(town) == Cleared(gone=("ada",))


def test_of_an_agent_of_another_host_it_is_said_where_its_worktree_is(town: Town, repository: Checkout) -> None:
    assert repository.path == town.root
    ada = add(town, "ada", worktree=True)
    run_sync(town.store.update_agent(ada.id, lambda it: replace(it, host="elsewhere")))
    stop(town, ada)
    found = cleared(town)
    assert found == Cleared(kept=(Kept("ada", None, "it is on another host; 'tt prune' there looks at it"),))


def test_what_is_no_worktree_is_left_alone(town: Town) -> None:
    strange = town.root / ".tt" / "agents" / "strange"
    odd = town.root / ".tt" / "agents" / "not a name!"
    for each in (strange, odd):
        each.mkdir()
        (each / "file").touch()
    for under_git in (False, True):
        if under_git:
            new_repository(town.root)
        found = cleared(town)
        assert found is not None
        assert [kept.agent for kept in found.kept] == ["not a name!", "strange"]
        assert all(kept.reason.endswith("is no worktree of this project") for kept in found.kept)
    assert (strange / "file").exists()


async def test_a_program_under_trio_can_ask_for_all_of_it(made: Path) -> None:
    repository = new_repository(made)
    async with open_async(made, environ=os.environ) as town:
        await spawn(town, Spawn("ada", worktree=True, runtime=False))
        await prepare(town.root, "ada", include=(), port_base=20_000)
        preview = (await reset(town, Reset())).worktrees
        done = (await reset(town, Reset(force=True))).worktrees
    assert preview == done == Cleared(gone=("ada",))
    assert not repository.has_branch("tt/ada")
