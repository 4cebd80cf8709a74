"""Worktrees in real repositories: made once, found again, and never removed with work in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from repositories import IDENTITY, Checkout, new_repository

from tinytown.actors.ports import BLOCK, choose_ports, is_free
from tinytown.actors.repository import Repository
from tinytown.actors.worktree import Removal, Setup, Worktree, branch_of, prepare, remove, status
from tinytown.actors.worktree_record import WorktreeRecord
from tinytown.errors import Conflict, Forbidden, Full, InvalidConfig, InvalidName, RuntimeFailed

BASE = 20_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any configuration of git."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_repository(tmp_path_factory.mktemp("template") / "project").path


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Checkout:
    return Checkout(Path(shutil.copytree(template, tmp_path / "project", symlinks=True)))


async def made(
    project: Checkout,
    name: str = "alice",
    *,
    include: tuple[str, ...] = (".env",),
    port_base: int = BASE,
    setup: Setup | None = None,
) -> Worktree:
    worktree = await prepare(project.path, name, include=include, port_base=port_base, setup=setup)
    assert worktree is not None
    return worktree


def inside(worktree: Worktree) -> Checkout:
    return Checkout(worktree.path)


def admin(worktree: Worktree) -> Path:
    return Path(inside(worktree).git("rev-parse", "--absolute-git-dir"))


async def kept(project: Checkout, name: str = "alice") -> Removal:
    """A removal that must not have removed."""
    removal = await remove(project.path, name)
    assert removal.kept_because is not None
    assert not removal.gone
    assert (project.path / ".tt" / "agents" / name).is_dir()
    return removal


# --- made, and found again ---


async def test_an_agent_gets_the_projects_files_on_a_branch_of_its_own(project: Checkout) -> None:
    worktree = await made(project)
    assert worktree.path == worktree.workdir == project.path / ".tt" / "agents" / "alice"
    assert (worktree.path / "code.txt").read_text() == "one\n"
    assert (worktree.branch, worktree.created, worktree.notes) == ("tt/alice", True, ())
    assert inside(worktree).git("rev-parse", "HEAD") == project.git("rev-parse", "main")
    assert project.git("status", "--porcelain") == ""
    assert worktree.environment == {
        "TINYTOWN_WORKTREE": str(worktree.path),
        "TINYTOWN_PORT_BASE": str(worktree.ports.start),
    }


async def test_an_agent_finds_its_worktree_as_it_left_it(project: Checkout) -> None:
    first = await made(project)
    inside(first).git("switch", "--quiet", "--create", "feature/x")
    inside(first).write("half.txt", "half done")
    project.commit("code.txt", "two\n")
    again = await made(project)
    assert (again.created, again.branch, again.ports) == (False, "feature/x", first.ports)
    assert (again.path / "half.txt").read_text() == "half done"
    assert (again.path / "code.txt").read_text() == "one\n"


async def test_a_branch_without_a_worktree_is_gone_on_with(project: Checkout) -> None:
    project.git("branch", "tt/alice")
    project.commit("code.txt", "two\n")
    worktree = await made(project)
    assert (worktree.path / "code.txt").read_text() == "one\n"
    assert worktree.branch == "tt/alice"


async def test_five_agents_get_their_worktrees_at_once(project: Checkout) -> None:
    found: list[Worktree] = []

    async def one(name: str) -> None:
        found.append(await made(project, name))

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c", "d", "e"):
            nursery.start_soon(one, name)
            nursery.start_soon(one, name)  # and nobody gets two
    assert sorted(each.name for each in found if each.created) == ["a", "b", "c", "d", "e"]
    assert len({each.path for each in found}) == 5
    assert len({each.ports for each in found}) == 5
    assert len(project.git("worktree", "list").splitlines()) == 6


async def test_processes_at_once_do_not_meet_either(project: Checkout) -> None:
    script = (
        "import sys, trio; from pathlib import Path; from tinytown.actors.worktree import prepare\n"
        "async def main():\n"
        "    async with trio.open_nursery() as nursery:\n"
        "        for name in sys.argv[2:]:\n"
        "            nursery.start_soon(one, name)\n"
        "async def one(name):\n"
        "    print(name, (await prepare(Path(sys.argv[1]), name, include=[], port_base=20000)).created)\n"
        "trio.run(main)"
    )
    command = [sys.executable, "-c", script, str(project.path), "a", "b", "c"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join([(await trio.to_thread.run_sync(process.communicate))[0] for process in running])
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(line for line in said.splitlines() if line.endswith("True")) == ["a True", "b True", "c True"]


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "a..b", "a.", "x.lock", "9", "z" * 64])
async def test_every_name_that_an_agent_may_have_has_a_worktree(project: Checkout, name: str) -> None:
    worktree = await made(project, name)
    assert worktree.path.name == name
    assert worktree.branch == branch_of(name)
    assert (await made(project, name)).created is False
    assert (await remove(project.path, name)).gone
    assert not worktree.path.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-f", ".git", "conductor", "a b", "a\n", "z" * 65])
async def test_a_name_that_no_agent_can_have_is_refused(project: Checkout, name: str) -> None:
    for attempt in (made(project, name), status(project.path, name), remove(project.path, name)):
        with pytest.raises(InvalidName):
            await attempt


@given(st.text("aB.%2E", min_size=1, max_size=12), st.text("aB.%2E", min_size=1, max_size=12))
def test_two_names_never_share_a_branch(one: str, other: str) -> None:
    names = [name.replace("%", "") for name in (one, other)]
    assert (branch_of(names[0]) == branch_of(names[1])) == (names[0] == names[1])


async def test_a_detached_head_is_a_place_to_begin_at(project: Checkout) -> None:
    first = project.git("rev-parse", "HEAD")
    project.commit("code.txt", "two\n")
    project.git("checkout", "--quiet", "--detach", first)
    worktree = await made(project)
    assert (worktree.branch, inside(worktree).git("rev-parse", "HEAD")) == ("tt/alice", first)


async def test_a_worktree_in_the_middle_of_a_rebase_is_taken_as_it_is(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).git("checkout", "--quiet", "--detach")
    again = await made(project)
    assert (again.created, again.branch) == (False, None)


async def test_a_project_below_the_top_of_its_repository_is_found_in_the_worktree(tmp_path: Path) -> None:
    whole = new_repository(tmp_path / "mono")
    whole.commit("services/api/main.txt", "api")
    whole.write("services/api/.env", "SECRET=1")
    worktree = await made(Checkout(whole.path / "services" / "api"))
    assert worktree.path == whole.path / "services" / "api" / ".tt" / "agents" / "alice"
    assert worktree.workdir == worktree.path / "services" / "api"
    assert sorted(path.name for path in worktree.workdir.iterdir()) == [".env", "main.txt"]
    assert (await remove(whole.path / "services" / "api", "alice")).gone


async def test_a_project_may_itself_be_a_worktree(project: Checkout, tmp_path: Path) -> None:
    project.git("worktree", "add", "--quiet", str(tmp_path / "second"))
    await made(project, "alice")
    worktree = await made(Checkout(tmp_path / "second"), "bob")
    assert worktree.path.parent == tmp_path / "second" / ".tt" / "agents"
    with pytest.raises(Conflict, match="The branch tt/alice is checked out in"):
        await made(Checkout(tmp_path / "second"), "alice")


async def test_a_moved_project_takes_its_worktrees_along(project: Checkout, tmp_path: Path) -> None:
    worktree = await made(project)
    inside(worktree).write("half.txt", "half done")
    moved = Checkout(project.path.rename(tmp_path / "moved"))
    again = await made(moved)
    assert (again.created, again.path) == (False, moved.path / ".tt" / "agents" / "alice")
    assert inside(again).git("status", "--porcelain") == "?? half.txt"


# --- where there is no worktree to have ---


async def test_outside_git_there_is_no_worktree(tmp_path: Path) -> None:
    assert await prepare(tmp_path, "alice", include=(), port_base=BASE) is None
    assert await status(tmp_path, "alice") is None
    assert await remove(tmp_path, "alice") == Removal()


async def test_a_repository_that_knows_nothing_of_the_project_is_not_its_repository(home: Path) -> None:
    new_repository(home)
    (home / "town").mkdir()
    assert await prepare(home / "town", "alice", include=(), port_base=BASE) is None


async def test_without_git_a_project_under_git_is_an_error_and_another_is_not(
    project: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await prepare(tmp_path / "home", "alice", include=(), port_base=BASE) is None
    with pytest.raises(RuntimeFailed, match="git is not installed"):
        await made(project)


async def test_a_repository_without_a_commit_is_told(tmp_path: Path) -> None:
    Checkout(tmp_path).git("init", "--quiet")
    with pytest.raises(Conflict, match="has no commit yet") as caught:
        await made(Checkout(tmp_path))
    assert "first commit" in caught.value.hint
    assert not (tmp_path / ".tt" / "agents" / "alice").exists()


async def test_a_branch_that_is_checked_out_elsewhere_is_named_with_its_place(
    project: Checkout, tmp_path: Path
) -> None:
    project.git("worktree", "add", "--quiet", "-b", "tt/alice", str(tmp_path / "mine"))
    with pytest.raises(Conflict, match=f"The branch tt/alice is checked out in {tmp_path / 'mine'}"):
        await made(project)


async def test_a_branch_that_leaves_no_room_for_ours_is_named(project: Checkout) -> None:
    project.git("branch", "tt")
    with pytest.raises(RuntimeFailed, match="'refs/heads/tt' exists"):
        await made(project)


async def test_what_is_in_the_way_is_left_alone(project: Checkout) -> None:
    file = project.write(".tt/agents/alice/notes.txt", "mine")
    with pytest.raises(Conflict, match="is in the way"):
        await made(project)
    assert "is no worktree" in str((await remove(project.path, "alice")).kept_because)
    assert file.read_text() == "mine"


async def test_another_repository_in_its_place_is_no_worktree(project: Checkout) -> None:
    other = new_repository(project.path / ".tt" / "agents" / "alice")
    other.write("work.txt", "x")
    assert await status(project.path, "alice") is None
    with pytest.raises(Conflict, match="is in the way"):
        await made(project)
    await kept(project)
    assert (other.path / "work.txt").exists()


@pytest.mark.parametrize("link", [".tt", ".tt/agents", ".tt/agents/alice"])
async def test_a_link_in_the_place_of_a_directory_is_not_followed(project: Checkout, tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (project.path / link).parent.mkdir(parents=True, exist_ok=True)
    (project.path / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Forbidden, match="link"):
        await made(project)
    assert not list((tmp_path / "elsewhere").iterdir())


# --- what git runs for us ---


async def test_no_hook_runs_when_we_call_git(project: Checkout, tmp_path: Path) -> None:
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        script = project.write(f".git/hooks/{hook}", f"#!/bin/sh\necho {hook} >> {tmp_path}/ran\nexit 1\n")
        script.chmod(0o755)
    monitor = project.write("monitor", f"#!/bin/sh\necho monitor >> {tmp_path}/ran\n")
    monitor.chmod(0o755)
    project.git("config", "core.fsmonitor", str(monitor))
    worktree = await made(project)
    (worktree.path / "new").write_text("x")
    await kept(project)
    (worktree.path / "new").unlink()
    assert (await remove(project.path, "alice")).gone
    assert not (tmp_path / "ran").exists()


async def test_the_callers_git_environment_leads_nobody_astray(
    project: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repository(tmp_path / "other")
    for name, value in (
        ("GIT_DIR", other.path / ".git"),
        ("GIT_WORK_TREE", other.path),
        ("GIT_INDEX_FILE", tmp_path / "index"),
    ):
        monkeypatch.setenv(name, str(value))
    await made(project)
    assert (await remove(project.path, "alice")).gone
    monkeypatch.undo()
    assert not other.refs("refs/tt")
    assert len(project.refs("refs/tt")) == 1


async def test_a_failure_of_git_is_told_in_its_words(project: Checkout) -> None:
    (project.path / ".git" / "config").write_text("[core\n")
    with pytest.raises(RuntimeFailed, match="bad config"):
        await made(project)


# --- repaired ---


async def test_a_worktree_whose_directory_was_deleted_is_made_again_and_its_commit_kept(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).git("checkout", "--quiet", "--detach")
    lost = inside(worktree).commit("only-here.txt", "x")
    subprocess.run(["rm", "-rf", str(worktree.path)], check=True)
    assert await status(project.path, "alice") is None
    again = await made(project)
    assert (again.created, again.branch) == (True, "tt/alice")
    [ref] = project.refs("refs/tt/rescue/alice")
    assert project.git("rev-parse", ref) == lost
    assert ref in again.notes[0]


async def test_an_agent_that_made_a_repository_of_its_worktree_has_none_now(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).write("work.txt", "x")
    (worktree.path / ".git").unlink()
    inside(worktree).git("init", "--quiet")
    assert await status(project.path, "alice") is None
    await kept(project)
    with pytest.raises(Conflict, match="is in the way"):
        await made(project)
    assert (worktree.path / "work.txt").read_text() == "x"


@pytest.mark.parametrize("damage", ["gitdir: /nowhere/.git/worktrees/alice\n", "rubbish", None])
async def test_a_damaged_git_file_is_mended(project: Checkout, damage: str | None) -> None:
    worktree = await made(project)
    inside(worktree).write("work.txt", "x")
    (worktree.path / ".git").unlink()
    if damage is not None:
        (worktree.path / ".git").write_text(damage)
    # Not the project's repository, which is the next one above.
    assert await status(project.path, "alice") is None
    await kept(project)
    again = await made(project)
    assert again.created is False
    assert inside(again).git("status", "--porcelain") == "?? work.txt"


async def test_what_a_killed_git_has_half_made_is_made_anew(project: Checkout) -> None:
    worktree = await made(project)
    notes = admin(worktree)
    (notes / "locked").write_text("initializing")
    (notes / "tinytown.json").unlink()
    (worktree.path / "code.txt").unlink()
    again = await made(project)
    assert again.created
    assert (again.path / "code.txt").read_text() == "one\n"
    assert "half made" in again.notes[0]


async def test_a_git_that_was_killed_in_the_middle_of_a_checkout_is_got_over(project: Checkout) -> None:
    project.commit(".gitattributes", "*.txt filter=killer\n")
    project.git("config", "filter.killer.smudge", "kill -9 0")
    with pytest.raises(RuntimeFailed, match="killed by signal 9"):
        await made(project)
    project.git("config", "--unset", "filter.killer.smudge")
    worktree = await made(project)
    assert worktree.created
    assert "half made" in worktree.notes[0]
    assert inside(worktree).git("status", "--porcelain") == ""
    assert (await remove(project.path, "alice")).gone


async def test_when_a_runtime_dies_the_next_one_waits_for_the_git_it_has_left(
    project: Checkout, tmp_path: Path
) -> None:
    up, go = tmp_path / "up", tmp_path / "go"
    os.mkfifo(up)
    os.mkfifo(go)
    project.commit(".gitattributes", "*.txt filter=slow\n")
    project.git("config", "filter.slow.smudge", f"echo up > {up}; read word < {go}; cat")
    script = (
        "import sys, trio; from pathlib import Path; from tinytown.actors.worktree import prepare\n"
        "trio.run(lambda: prepare(Path(sys.argv[1]), 'alice', include=[], port_base=20000))"
    )
    runtime = subprocess.Popen([sys.executable, "-c", script, str(project.path)])
    assert await trio.Path(up).read_text() == "up\n"
    runtime.kill()
    runtime.wait()
    with trio.move_on_after(0.2) as scope:
        await made(project)
    assert scope.cancelled_caught
    await trio.Path(go).write_text("go\n")
    worktree = await made(project)
    assert (worktree.created, worktree.notes) == (False, ())
    assert inside(worktree).git("status", "--porcelain") == ""


async def test_a_worktree_that_an_agent_had_is_never_taken_for_half_made(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).write("work.txt", "x")
    inside(worktree).git("worktree", "lock", "--reason", "initializing", str(worktree.path))
    assert (await made(project)).created is False
    assert (worktree.path / "work.txt").exists()


async def test_a_start_that_is_cancelled_can_be_made_again(project: Checkout) -> None:
    for delay in (0.0, 0.005, 0.01, 0.02, 0.04):
        with trio.move_on_after(delay):
            await made(project)
    worktree = await made(project)
    assert inside(worktree).git("status", "--porcelain") == ""
    assert worktree.branch == "tt/alice"


async def test_who_gives_up_waiting_does_not_keep_the_lock(project: Checkout) -> None:
    repository = await Repository.find(project.path)
    assert repository is not None
    async with repository.holding("alice"):
        with trio.move_on_after(0.05) as scope:
            await made(project)
        assert scope.cancelled_caught
    assert (await made(project)).created


# --- files that are brought ---


async def test_the_environment_file_is_brought_with_its_mode(project: Checkout) -> None:
    project.write(".env", "SECRET=1").chmod(0o600)
    project.write("config/dev.local", "x")
    project.write("config/deep/er/dev.local", "y")
    project.write("unasked.txt", "no")
    worktree = await made(project, include=(".env", "config/**/*.local"))
    assert (worktree.path / ".env").read_text() == "SECRET=1"
    assert (worktree.path / ".env").stat().st_mode & 0o777 == 0o600
    assert (worktree.path / "config/dev.local").read_text() == "x"
    assert (worktree.path / "config/deep/er/dev.local").read_text() == "y"
    assert not (worktree.path / "unasked.txt").exists()


async def test_a_directory_is_brought_whole_but_never_ours_or_another_repository(project: Checkout) -> None:
    project.write("secrets/a", "a")
    project.write("secrets/b/c", "c")
    project.write(".tt/redis.aof", "x")
    new_repository(project.path / "nested")
    first = await made(project, "alice", include=("**",))
    worktree = await made(project, "bob", include=("**",))
    assert (worktree.path / "secrets/a").exists()
    assert (worktree.path / "secrets/b/c").exists()
    assert not (worktree.path / ".tt").exists()
    assert not (worktree.path / "nested").exists()
    assert inside(first).git("status", "--porcelain", "code.txt") == ""


async def test_what_is_not_there_is_not_missed(project: Checkout) -> None:
    assert (await made(project)).notes == ()


async def test_a_tracked_file_is_never_written_over(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).git("add", "--force", "--", str(inside(worktree).write(".env", "committed")))
    project.write(".env", "SECRET=1")
    project.write("code.txt", "changed, not committed")
    again = await made(project, include=(".env", "code.txt"))
    assert (again.path / ".env").read_text() == "committed"
    assert (again.path / "code.txt").read_text() == "one\n"
    (again.path / ".env").unlink()
    assert not ((await made(project)).path / ".env").exists()


async def test_a_copy_follows_the_original_until_the_agent_changes_it(project: Checkout) -> None:
    project.write(".env", "one")
    worktree = await made(project)
    project.write(".env", "two")
    await made(project)
    assert (worktree.path / ".env").read_text() == "two"
    inside(worktree).write(".env", "the agent's")
    project.write(".env", "three")
    await made(project)
    assert (worktree.path / ".env").read_text() == "the agent's"
    assert "brought from the project and changed here: .env" in str((await kept(project)).kept_because)


async def test_a_file_of_the_agents_own_is_not_taken_for_a_copy(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).write("notes", "mine")
    project.write("notes", "theirs")
    await made(project, include=("notes",))
    assert (worktree.path / "notes").read_text() == "mine"
    assert "not in git: notes" in str((await kept(project)).kept_because)


async def test_nothing_comes_through_a_link_out_of_the_project(project: Checkout, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "key").write_text("secret")
    (project.path / ".env").symlink_to(tmp_path / "outside" / "key")
    (project.path / "linked").symlink_to(tmp_path / "outside")
    worktree = await made(project, include=(".env", "linked/key", "linked/**", "linked"))
    assert not os.path.lexists(worktree.path / ".env")
    assert not os.path.lexists(worktree.path / "linked")
    assert any(note.startswith(".env was not brought: it is a link") for note in worktree.notes)


async def test_a_link_inside_the_project_is_brought_as_the_file_it_means(project: Checkout) -> None:
    project.write("config/dev.env", "SECRET=1")
    (project.path / ".env").symlink_to("config/dev.env")
    worktree = await made(project)
    assert not (worktree.path / ".env").is_symlink()
    assert (worktree.path / ".env").read_text() == "SECRET=1"


async def test_nothing_is_written_through_a_link_in_the_worktree(project: Checkout, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    worktree = await made(project)
    (worktree.path / "config").symlink_to(tmp_path / "outside")
    project.write("config/dev.local", "x")
    again = await made(project, include=("config/*",))
    assert not list((tmp_path / "outside").iterdir())
    assert "config/dev.local was not brought" in again.notes[0]


async def test_a_pattern_that_git_would_take_for_more_is_only_a_pattern(project: Checkout) -> None:
    project.write("a", "a")
    worktree = await made(project, include=(":(top)a", "!a", "--exclude=x"))
    assert not (worktree.path / "a").exists()


# --- ports ---


async def test_an_agents_ports_are_its_own_and_stay(project: Checkout) -> None:
    first, second = await made(project, "alice"), await made(project, "bob")
    assert len(first.ports) == BLOCK
    assert not set(first.ports) & set(second.ports)
    assert (await made(project, "alice")).ports == first.ports
    moved = await made(project, "alice", port_base=25_000)
    assert moved.ports.start >= 25_000


@given(st.lists(st.text(max_size=8), min_size=1, max_size=30, unique=True), st.integers(1024, 32_000))
@settings(deadline=None)
def test_blocks_of_ports_never_overlap_and_are_the_same_on_every_day(owners: list[str], base: int) -> None:
    taken: list[int] = []
    for owner in owners:
        block = choose_ports(owner, base=base, taken=taken)
        assert block == choose_ports(owner, base=base, taken=list(taken))
        assert base <= block.start
        assert block.stop <= 65_536
        assert all(block.start >= other + BLOCK or other >= block.stop for other in taken)
        taken.append(block.start)


def test_a_block_with_a_port_in_use_is_passed_over() -> None:
    first = choose_ports("alice", base=BASE, taken=())
    after = choose_ports("alice", base=BASE, taken=(), is_free=lambda port: port != first[7])
    assert after.start in (first.stop, BASE)


def test_ports_stay_below_those_of_outgoing_connections() -> None:
    assert all(choose_ports(str(each), base=BASE, taken=()).stop <= 32_768 for each in range(500))


def test_when_all_ports_are_taken_the_setting_is_named() -> None:
    with pytest.raises(Full, match="None of the 1 blocks of 10 ports from 65526 to 65535") as caught:
        choose_ports("alice", base=65_526, taken=(65_526,))
    assert "port_base" in caught.value.hint


async def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    assert not is_free(port)
    await listeners[0].aclose()
    assert is_free(port)


# --- setup ---


def setup_of(tmp_path: Path, command: str) -> Setup:
    return Setup(command=command, env={"PATH": os.environ["PATH"]}, log_path=tmp_path / "setup.log")


async def test_the_setup_command_runs_once_in_the_worktree(project: Checkout, tmp_path: Path) -> None:
    project.write(".env", "SECRET=1")
    setup = setup_of(tmp_path, """sh -c 'cat .env; echo " $TINYTOWN_PORT_BASE" | tee -a build.log'""")
    worktree = await made(project, setup=setup)
    await made(project, setup=setup)
    assert (worktree.path / "build.log").read_text() == f" {worktree.ports.start}\n"
    assert (tmp_path / "setup.log").read_text() == f"SECRET=1 {worktree.ports.start}\n"


async def test_a_setup_that_fails_says_why_and_runs_again(project: Checkout, tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailed) as caught:
        await made(project, setup=setup_of(tmp_path, "sh -c 'echo \x1b[31mno network\x1b[0m >&2; exit 7'"))
    assert str(caught.value) == ("The setup command of the worktree of 'alice' failed: exit status 7\nno network")
    assert str(tmp_path / "setup.log") in caught.value.hint
    worktree = await made(project, setup=setup_of(tmp_path, "touch done"))
    assert worktree.created is False
    assert (worktree.path / "done").exists()


async def test_a_setup_that_was_cancelled_runs_again(project: Checkout, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: made(project, setup=setup_of(tmp_path, f"sh -c 'echo up > {fifo}; sleep 60'")))
        assert await trio.Path(fifo).read_text() == "up\n"
        nursery.cancel_scope.cancel()
    worktree = await made(project, setup=setup_of(tmp_path, "touch done"))
    assert (worktree.path / "done").exists()


async def test_a_setup_command_that_cannot_be_meant_is_refused_before_anything_is_made(
    project: Checkout, tmp_path: Path
) -> None:
    for command in ("npm 'ci", "", "''"):
        with pytest.raises(InvalidConfig, match=r"agent\.setup"):
            await made(project, setup=setup_of(tmp_path, command))
    with pytest.raises(RuntimeFailed, match="no such program: no-such-program"):
        await made(project, "bob", setup=setup_of(tmp_path, "no-such-program"))
    assert not (project.path / ".tt" / "agents" / "alice").exists()


# --- removed, or not ---


async def test_a_worktree_without_work_goes_with_its_branch(project: Checkout) -> None:
    project.write(".env", "SECRET=1")
    worktree = await made(project)
    (worktree.path / "build").mkdir()
    (worktree.path / "build" / "output").write_text("ignored")
    removal = await remove(project.path, "alice")
    assert removal.gone
    assert not worktree.path.exists()
    assert not project.has_branch("tt/alice")
    assert project.git("rev-parse", str(removal.rescue)) == project.git("rev-parse", "main")
    assert len(project.git("worktree", "list").splitlines()) == 1
    assert await status(project.path, "alice") is None
    assert await remove(project.path, "alice") == Removal()
    project.commit("code.txt", "two\n")
    assert ((await made(project)).path / "code.txt").read_text() == "two\n"


def modify(work: Checkout) -> None:
    work.write("code.txt", "changed")


def stage(work: Checkout) -> None:
    work.write("code.txt", "staged")
    work.git("add", "code.txt")


def delete(work: Checkout) -> None:
    (work.path / "code.txt").unlink()


def add_untracked(work: Checkout) -> None:
    work.write("deep/new file\twith\nodd \u00fcname", "new")


def add_a_repository(work: Checkout) -> None:
    new_repository(work.path / "nested")


def add_an_empty_repository(work: Checkout) -> None:
    (work.path / "nested").mkdir()
    Checkout(work.path / "nested").git("init", "--quiet")


def commit(work: Checkout) -> None:
    work.commit("code.txt", "two\n")


def commit_detached(work: Checkout) -> None:
    work.git("checkout", "--quiet", "--detach")
    work.commit("code.txt", "two\n")


def commit_on_another_branch(work: Checkout) -> None:
    work.git("switch", "--quiet", "--create", "feature/x")
    work.commit("code.txt", "two\n")


def commit_then_leave_the_branch(work: Checkout) -> None:
    work.commit("code.txt", "two\n")
    work.git("switch", "--quiet", "--create", "feature/x", "HEAD~")


def begin_a_bisection(work: Checkout) -> None:
    work.git("bisect", "start")


def begin_an_orphan(work: Checkout) -> None:
    work.git("checkout", "--quiet", "--orphan", "fresh")


def mode_bits(work: Checkout) -> None:
    (work.path / "code.txt").chmod(0o755)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (modify, "1 file is changed: code.txt"),
        (stage, "1 file is changed: code.txt"),
        (delete, "1 file is changed: code.txt"),
        (mode_bits, "1 file is changed: code.txt"),
        (add_untracked, "1 file is not in git: deep/new file with odd \u00fcname"),
        (add_a_repository, "1 file is not in git: nested/"),
        (add_an_empty_repository, "1 file is not in git: nested/"),
        (commit, "1 commit is in no other branch and no remote"),
        (commit_detached, "1 commit is in no other branch and no remote"),
        (commit_on_another_branch, "1 commit is in no other branch and no remote"),
        (commit_then_leave_the_branch, "1 commit is in no other branch and no remote"),
        (begin_a_bisection, "a bisection is going on"),
        (begin_an_orphan, "2 files are changed: .gitignore, code.txt"),
    ],
)
async def test_work_that_is_nowhere_else_keeps_the_worktree(
    project: Checkout, work: Callable[[Checkout], None], reason: str
) -> None:
    worktree = await made(project)
    work(inside(worktree))
    before = snapshot(worktree.path)
    removal = await kept(project)
    assert removal.kept_because == reason
    found = await status(project.path, "alice")
    assert found is not None
    assert found.blocker == reason
    assert snapshot(worktree.path) == before
    assert project.has_branch("tt/alice")
    assert removal.rescue in project.refs("refs/tt/rescue/alice")
    assert (await kept(project)).rescue == removal.rescue


def snapshot(path: Path) -> dict[str, tuple[int, bytes]]:
    files = (found for found in path.rglob("*") if found.is_file())
    return {str(found): (found.stat().st_mode, found.read_bytes()) for found in files}


@pytest.mark.parametrize("where", ["branch", "another agent", "tag", "remote"])
async def test_commits_that_are_somewhere_else_do_not_keep_it(project: Checkout, tmp_path: Path, where: str) -> None:
    worktree = await made(project)
    tip = inside(worktree).commit("code.txt", "two\n")
    await kept(project)
    if where == "branch":
        project.git("merge", "--quiet", "tt/alice")
    elif where == "another agent":
        inside(await made(project, "bob")).git("merge", "--quiet", "tt/alice")
    elif where == "tag":
        project.git("tag", "v1", tip)
    else:
        Checkout(tmp_path).git("init", "--quiet", "--bare", "remote.git")
        project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
        inside(worktree).git("push", "--quiet", "origin", "tt/alice")
    removal = await remove(project.path, "alice")
    assert removal.kept_because is None
    assert not project.has_branch("tt/alice")
    assert project.git("rev-parse", str(removal.rescue)) == tip


async def test_a_branch_that_the_agent_made_stays(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).git("switch", "--quiet", "--create", "feature/x")
    inside(worktree).commit("code.txt", "two\n")
    project.git("merge", "--quiet", "feature/x")
    assert (await remove(project.path, "alice")).gone
    assert project.has_branch("feature/x")
    assert not project.has_branch("tt/alice")


async def test_a_rescue_brings_everything_back(project: Checkout) -> None:
    project.commit("other.txt", "other\n")
    project.commit("gone.txt", "gone\n")
    worktree = await made(project)
    work = inside(worktree)
    committed = work.commit("committed.txt", "c")
    work.write("code.txt", "staged\n")
    work.git("add", "code.txt")
    work.write("code.txt", "staged, and changed again\n")
    work.write("other.txt", "changed\n")
    (work.path / "gone.txt").unlink()
    work.write("deep/new file\twith\nodd \u00fcname", "new")
    work.write("script.sh", "#!/bin/sh\n").chmod(0o755)
    (work.path / "link").symlink_to("code.txt")
    work.write("build/output", "ignored")
    before = {path: value for path, value in snapshot(work.path).items() if "/build/" not in path}
    states = work.git("status", "--porcelain")
    ref = str((await kept(project)).rescue)
    assert work.git("status", "--porcelain") == states

    subprocess.run(["rm", "-rf", str(work.path)], check=True)
    project.git("worktree", "prune")
    project.git("branch", "--delete", "--force", "tt/alice")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")

    assert project.git("rev-parse", f"{ref}^1") == committed
    assert project.git("show", f"{ref}^2:code.txt") == "staged"
    project.git("worktree", "add", "--quiet", "--detach", str(work.path), f"{ref}^1")
    work.git("stash", "apply", "--index", ref)
    found = snapshot(work.path)
    found[str(work.path / ".git")] = before[str(work.path / ".git")]
    assert found == before
    assert (work.path / "link").readlink() == Path("code.txt")
    assert work.git("show", ":code.txt") == "staged"


async def test_a_rescue_in_the_middle_of_a_conflict_has_the_files_with_their_marks(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).commit("code.txt", "hers\n")
    project.commit("code.txt", "mine\n")
    merge = ["git", "merge", "main"]
    subprocess.run(merge, cwd=worktree.path, env={**os.environ, **IDENTITY}, capture_output=True, check=False)
    removal = await kept(project)
    assert "a merge is going on" in str(removal.kept_because)
    assert "<<<<<<<" in project.git("show", f"{removal.rescue}:code.txt")


async def test_secrets_that_were_brought_do_not_go_into_git(project: Checkout) -> None:
    project.write("token", "SECRET")
    project.write(".env", "SECRET")
    worktree = await made(project, include=(".env", "token"))
    inside(worktree).write(".env", "SECRET 2")
    inside(worktree).write("new", "x")
    removal = await kept(project)
    assert project.git("ls-tree", "-r", "--name-only", str(removal.rescue)).split() == [
        ".gitignore",
        "code.txt",
        "new",
    ]


async def test_an_unchanged_copy_that_git_does_not_ignore_keeps_nothing(project: Checkout) -> None:
    project.write("token", "SECRET")
    worktree = await made(project, include=("token",))
    found = await status(project.path, "alice")
    assert found is not None
    assert found.blocker is None
    assert (await remove(project.path, "alice")).gone
    assert not worktree.path.exists()
    assert (project.path / "token").read_text() == "SECRET"


async def test_a_record_that_was_forged_removes_nothing(project: Checkout, tmp_path: Path) -> None:
    from hashlib import sha256

    victim = tmp_path / "victim"
    victim.write_text("mine")
    worktree = await made(project)
    digest = sha256(b"mine").hexdigest()
    far = os.path.relpath(victim, worktree.path)
    (worktree.path / "link").symlink_to(tmp_path)
    WorktreeRecord(ready=True, brought={far: digest, "link/victim": digest, "": digest}).write(admin(worktree))
    await kept(project)
    assert victim.read_text() == "mine"


async def test_a_locked_worktree_is_kept_with_gits_reason(project: Checkout) -> None:
    project.write("token", "SECRET")
    worktree = await made(project, include=("token",))
    project.git("worktree", "lock", "--reason", "in use by me", str(worktree.path))
    assert "in use by me" in str((await kept(project)).kept_because)
    assert ((await made(project, include=("token",))).path / "token").read_text() == "SECRET"


async def test_a_submodule_is_not_lost(project: Checkout, tmp_path: Path) -> None:
    library = new_repository(tmp_path / "library")
    project.git("submodule", "--quiet", "add", str(library.path), "library")
    project.git("commit", "--quiet", "--message", "library")
    worktree = await made(project)
    inside(worktree).git("submodule", "--quiet", "update", "--init")
    assert "submodules" in str((await kept(project)).kept_because)


async def test_a_rescue_that_cannot_be_written_keeps_the_worktree(project: Checkout) -> None:
    worktree = await made(project)
    project.write(".git/refs/tt", "in the way")
    with pytest.raises(RuntimeFailed):
        await remove(project.path, "alice")
    assert (worktree.path / "code.txt").exists()


async def test_a_look_takes_no_lock_from_the_agent(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).write("new", "x")
    lock = admin(worktree) / "index.lock"
    lock.write_bytes(b"")
    found = await status(project.path, "alice")
    assert found is not None
    assert found.changes.untracked == ("new",)
    await kept(project)
    assert lock.exists()
    assert (await made(project)).path == worktree.path


async def test_a_status_counts_what_is_there(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).commit("a", "a")
    inside(worktree).commit("b", "b")
    for name in "cdefg":
        inside(worktree).write(name, name)
    found = await status(project.path, "alice")
    assert found is not None
    assert (found.branch, found.unpublished, found.operation) == ("tt/alice", 2, None)
    assert found.head == inside(worktree).git("rev-parse", "HEAD")
    assert found.blocker == (
        "5 files are not in git: c, d, e and 2 more; 2 commits are in no other branch and no remote"
    )


async def test_a_broken_record_costs_another_setup_and_no_work(project: Checkout) -> None:
    worktree = await made(project)
    inside(worktree).write("work", "x")
    for broken in ("", "[]", '{"ready": true}', "[" * 100_000, '{"brought": 3}'):
        (admin(worktree) / "tinytown.json").write_text(broken)
        assert (await made(project)).created is False
    assert (worktree.path / "work").exists()
