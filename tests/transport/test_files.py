"""The files of a town: found, private, whole after a crash, and never reached through a link."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinytown.errors import Conflict, Forbidden, NotInitialized, RuntimeRunning
from tinytown.ids import new_id
from tinytown.transport.disk import make_inside, open_inside, private_directory, repoint
from tinytown.transport.files import (
    TownFiles,
    atomic_write,
    central_directory,
    locked,
    read_incarnation,
    state_root,
    try_lock,
    update_gitignore,
    write_incarnation,
)
from tinytown.transport.locks import is_locked


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


@pytest.fixture
def town(project: Path, environ: dict[str, str]) -> TownFiles:
    files = TownFiles(project, environ=environ)
    files.initialise()
    return files


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


class TestFinding:
    def test_what_git_has_put_into_a_worktree_is_no_town(self, town: TownFiles, environ: dict[str, str]) -> None:
        worktree = town.agents / "ada"
        for place in (worktree, worktree / "examples" / "nested"):
            place.mkdir(parents=True)
            (place / "tinytown.toml").touch()
            assert TownFiles.find(place, environ=environ).root == town.root
        (worktree / ".tt").mkdir()
        (worktree / ".tt" / "town").write_text(new_id())
        assert TownFiles.find(worktree, environ=environ).root == town.root

    def test_a_path_that_only_looks_like_a_worktree_hides_no_town(
        self, town: TownFiles, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        assert town.root.parent == tmp_path
        place = tmp_path / ".tt" / "agents" / "ada"
        place.mkdir(parents=True)
        (place / "tinytown.toml").touch()
        assert TownFiles.find(place, environ=environ).root == place

    def test_a_town_is_found_from_a_directory_deep_inside(self, town: TownFiles, environ: dict[str, str]) -> None:
        deep = town.root / "src" / "deep"
        deep.mkdir(parents=True)

        assert TownFiles.find(deep, environ=environ).root == town.root

    def test_a_configuration_file_alone_marks_a_town(self, project: Path) -> None:
        (project / "tinytown.toml").write_text("")

        assert TownFiles.find(project).root == project.resolve()

    def test_the_nearest_town_counts(self, town: TownFiles, environ: dict[str, str]) -> None:
        inner = town.root / "vendor"
        inner.mkdir()
        TownFiles(inner, environ=environ).initialise()

        assert TownFiles.find(inner, environ=environ).root == inner

    def test_the_configuration_directory_of_the_user_is_no_town(self, project: Path) -> None:
        (project / ".tt").mkdir()
        (project / ".tt" / "config.toml").write_text("")

        with pytest.raises(NotInitialized, match=r"Town not initialized at .*Run 'tt init' first"):
            TownFiles.find(project)


class TestInitialising:
    def test_it_makes_the_directories_of_the_book(self, town: TownFiles) -> None:
        assert {path.name for path in town.directory.iterdir()} == {"agents", "logs", "tasks", "town"}
        assert town.agent_log("bob") == town.root / ".tt" / "logs" / "bob.log"
        assert town.round_log("bob", 3) == town.root / ".tt" / "logs" / "bob_round_3.log"

    def test_the_state_directory_is_ours_alone(self, town: TownFiles) -> None:
        state = town.state()

        assert mode_of(state.directory) == 0o700
        assert mode_of(town.state_root) == 0o700
        assert state.directory == town.state_root / state.town_id

    def test_a_second_time_changes_nothing(self, town: TownFiles) -> None:
        before = town.state()

        assert town.initialise() == (before, False)

    def test_twenty_at_once_make_one_town(self, project: Path, environ: dict[str, str]) -> None:
        code = (
            "import sys; from pathlib import Path; from tinytown.transport.files import TownFiles\n"
            "files = TownFiles(Path(sys.argv[1])); sys.stdin.read(); state, made = files.initialise()\n"
            "print(state.town_id, made)"
        )
        waiting = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(project)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **environ},
            )
            for _ in range(20)
        ]
        answers = [process.communicate()[0].split() for process in waiting]

        assert len({town_id for town_id, _ in answers}) == 1
        assert [made for _, made in answers].count("True") == 1

    def test_a_town_id_that_came_with_the_repository_is_not_a_town_here(
        self, project: Path, environ: dict[str, str]
    ) -> None:
        foreign = new_id()
        (project / ".tt").mkdir()
        (project / ".tt" / "town").write_text(foreign)
        files = TownFiles(project, environ=environ)

        with pytest.raises(NotInitialized):
            files.state()
        state, made = files.initialise()
        assert made
        assert state.town_id != foreign

    def test_the_state_directory_must_not_be_in_the_project(self, project: Path) -> None:
        files = TownFiles(project, environ={"XDG_STATE_HOME": str(project / "state")})

        with pytest.raises(Forbidden, match="inside the project"):
            files.initialise()

    def test_a_relative_state_home_is_ignored(self) -> None:
        assert state_root({"XDG_STATE_HOME": "state"}) == Path.home() / ".local" / "state" / "tinytown"

    def test_the_central_server_has_a_directory_of_its_own(self, environ: dict[str, str]) -> None:
        assert mode_of(central_directory(environ)) == 0o700


class TestMovedAndCopied:
    def test_a_moved_project_keeps_its_state(self, town: TownFiles, environ: dict[str, str]) -> None:
        before = town.state()
        elsewhere = town.root.with_name("elsewhere")
        town.root.rename(elsewhere)
        moved = TownFiles(elsewhere, environ=environ)

        assert moved.state() == before
        assert (before.directory / "root").read_text() == f"{elsewhere}\n"

    def test_a_copied_project_is_refused_with_the_way_out(self, town: TownFiles, environ: dict[str, str]) -> None:
        copy = Path(shutil.copytree(town.root, town.root.with_name("copy")))
        files = TownFiles(copy, environ=environ)

        with pytest.raises(Conflict, match="is a copy of the town at") as caught:
            files.state()
        assert f"rm '{copy}/.tt/town'" in caught.value.hint
        (copy / ".tt" / "town").unlink()
        state, made = files.initialise()
        assert made
        assert state.town_id != town.state().town_id

    def test_the_original_goes_on_beside_its_copy(self, town: TownFiles, environ: dict[str, str]) -> None:
        before = town.state()
        copy = Path(shutil.copytree(town.root, town.root.with_name("copy")))

        with pytest.raises(Conflict):
            TownFiles(copy, environ=environ).state()
        assert town.state() == before

    def test_a_copy_takes_over_when_the_original_is_gone(self, town: TownFiles, environ: dict[str, str]) -> None:
        before = town.state()
        copy = Path(shutil.copytree(town.root, town.root.with_name("copy")))
        shutil.rmtree(town.root)

        assert TownFiles(copy, environ=environ).state() == before

    def test_another_project_at_the_old_place_does_not_hinder_a_move(
        self, town: TownFiles, environ: dict[str, str]
    ) -> None:
        before = town.state()
        elsewhere = town.root.with_name("elsewhere")
        town.root.rename(elsewhere)
        TownFiles(town.root.parent / town.root.name, environ=environ).root.mkdir()
        TownFiles(town.root, environ=environ).initialise()

        assert TownFiles(elsewhere, environ=environ).state() == before

    def test_a_project_reached_through_a_link_is_the_same_one(self, town: TownFiles, environ: dict[str, str]) -> None:
        link = town.root.with_name("link")
        link.symlink_to(town.root)

        assert TownFiles(link, environ=environ).state() == town.state()


class TestPrivacy:
    def test_a_state_directory_that_is_a_link_is_refused(self, town: TownFiles) -> None:
        directory = town.state().directory
        directory.rename(directory.with_name("real"))
        directory.symlink_to("real")

        with pytest.raises(Forbidden, match="is a link"):
            town.state()

    @pytest.mark.parametrize("mode", [0o770, 0o720, 0o701, 0o755])
    def test_a_state_directory_that_lets_others_in_is_refused(self, town: TownFiles, mode: int) -> None:
        directory = town.state().directory
        directory.chmod(mode)

        with pytest.raises(Forbidden, match="lets other users in") as caught:
            town.state()
        assert caught.value.hint == f"Run: chmod 700 '{directory}'"

    def test_a_directory_that_others_could_replace_is_refused(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        try:
            with pytest.raises(Forbidden, match="Everybody may replace"):
                private_directory(tmp_path / "mine")
        finally:
            tmp_path.chmod(0o700)

    def test_a_file_in_the_place_of_the_directory_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "mine").write_text("")

        with pytest.raises(Forbidden, match="is not a directory"):
            private_directory(tmp_path / "mine")

    def test_the_directory_of_a_round_is_private(self, town: TownFiles) -> None:
        directory = town.state().round_directory(new_id(), 1)

        assert mode_of(directory) == 0o700
        assert mode_of(directory.parent) == 0o700


class TestLinksInTheProject:
    def test_a_dot_directory_that_is_a_link_is_refused(self, project: Path, environ: dict[str, str]) -> None:
        victim = project.with_name("victim")
        victim.mkdir()
        (project / ".tt").symlink_to(victim)

        with pytest.raises(Forbidden, match="is a link"):
            TownFiles(project, environ=environ).initialise()
        assert list(victim.iterdir()) == []

    def test_a_log_that_is_a_link_is_not_written_through(self, town: TownFiles) -> None:
        victim = town.root / "victim"
        victim.write_text("precious")
        town.agent_log("bob").symlink_to(victim)

        with pytest.raises(Forbidden, match="is a link"):
            town.open_log(town.agent_log("bob"))
        assert victim.read_text() == "precious"

    def test_a_log_directory_that_is_a_link_is_not_written_through(self, town: TownFiles) -> None:
        victim = town.root / "victim"
        victim.mkdir()
        town.logs.rmdir()
        town.logs.symlink_to(victim)

        with pytest.raises(Forbidden, match="is a link"):
            town.open_log(town.round_log("bob", 1), fresh=True)
        assert list(victim.iterdir()) == []

    def test_a_planted_pipe_does_not_block(self, town: TownFiles) -> None:
        os.mkfifo(town.agent_log("bob"))
        (town.directory / "town").unlink()
        os.mkfifo(town.directory / "town")

        with pytest.raises(Forbidden, match="not a regular file"):
            town.open_log(town.agent_log("bob"))
        with pytest.raises(Forbidden, match="not a regular file"):
            town.state()

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "a\0b"])
    def test_a_name_is_one_name(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(Forbidden):
            open_inside(tmp_path, [name], os.O_RDONLY)
        with pytest.raises(Forbidden):
            make_inside(tmp_path, [name, "below"])

    def test_logs_are_appended_to_or_begun_anew(self, town: TownFiles) -> None:
        path = town.agent_log("bob")
        for text in (b"one\n", b"two\n"):
            with town.open_log(path) as log:
                log.write(text)
        assert path.read_bytes() == b"one\ntwo\n"
        assert mode_of(path) == 0o600

        with town.open_log(path, fresh=True) as log:
            log.write(b"three\n")
        assert path.read_bytes() == b"three\n"


class TestWritingWhole:
    def test_the_file_has_the_content_and_the_mode(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        before = os.umask(0o077)
        try:
            atomic_write(path, b"new", mode=0o644)
        finally:
            os.umask(before)

        assert path.read_bytes() == b"new"
        assert mode_of(path) == 0o644
        assert list(tmp_path.iterdir()) == [path]

    def test_a_link_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        path = tmp_path / "file"
        path.symlink_to(victim)
        atomic_write(path, b"new")

        assert victim.read_text() == "precious"
        assert not path.is_symlink()

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.mkdir()

        with pytest.raises(IsADirectoryError):
            atomic_write(path, b"new")
        assert list(tmp_path.iterdir()) == [path]

    def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        code = (
            "import os, sys; from pathlib import Path; from tinytown.transport import disk\n"
            "names = ['open', 'write', 'fchmod', 'fsync', 'rename', 'close']\n"
            "left = int(sys.argv[2])\n"
            "def dying(call):\n"
            "    def wrapped(*args, **kwargs):\n"
            "        global left\n"
            "        left -= 1\n"
            "        if left < 0: os.kill(os.getpid(), 9)\n"
            "        return call(*args, **kwargs)\n"
            "    return wrapped\n"
            "path = Path(sys.argv[1])\n"
            "for name in names: setattr(os, name, dying(getattr(os, name)))\n"
            "disk.atomic_write(path, b'new' * 1000)\n"
        )
        seen = set()
        for calls in range(20):
            path.write_bytes(b"old")
            ended = run_python(code, str(path), str(calls))
            seen.add(path.read_bytes())
            if ended.returncode == 0:
                break
        assert ended.returncode == 0
        assert seen == {b"old", b"new" * 1000}

    def test_a_link_is_pointed_elsewhere_and_a_directory_is_left_alone(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to("/old")
        repoint(link, Path("/new"))
        assert link.readlink() == Path("/new")

        link.unlink()
        link.mkdir()
        with pytest.raises(Conflict, match="is a directory"):
            repoint(link, Path("/new"))
        assert list(tmp_path.iterdir()) == [link]

    def test_the_incarnation_is_read_back(self, town: TownFiles) -> None:
        directory = town.state().directory
        assert read_incarnation(directory) is None

        write_incarnation(directory, "first")
        write_incarnation(directory, mark := new_id())

        assert read_incarnation(directory) == mark


class TestLocks:
    def test_a_held_lock_is_not_given_twice(self, tmp_path: Path) -> None:
        with locked(tmp_path / "lock"):
            assert try_lock(tmp_path / "lock") is None
        lock = try_lock(tmp_path / "lock")
        assert lock is not None
        lock.release()
        lock.release()

    def test_looking_at_a_lock_takes_nothing_from_anybody(self, tmp_path: Path) -> None:
        path, enough = tmp_path / "lock", threading.Event()
        assert not is_locked(path)
        assert not path.exists()

        def look() -> None:
            while not enough.is_set():
                is_locked(path)

        watchers = [threading.Thread(target=look) for _ in range(3)]
        for watcher in watchers:
            watcher.start()
        try:
            for _ in range(1000):
                lock = try_lock(path)
                assert lock is not None
                assert is_locked(path)
                lock.release()
        finally:
            enough.set()
            for watcher in watchers:
                watcher.join()

    def test_a_killed_holder_leaves_no_lock(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        code = (
            "import os, sys; from pathlib import Path; from tinytown.transport.files import try_lock\n"
            "lock = try_lock(Path(sys.argv[1])); assert lock; os.kill(os.getpid(), 9)"
        )
        assert run_python(code, str(path)).returncode == -9

        lock = try_lock(path)
        assert lock is not None
        lock.release()

    def test_the_second_runtime_of_a_town_is_told_who_is_there(self, town: TownFiles) -> None:
        state = town.state()
        with state.hold_runtime():
            with pytest.raises(RuntimeRunning, match=f'"pid": {os.getpid()}'):
                state.hold_runtime()
            assert json.loads(state.runtime_note())["pid"] == os.getpid()
        state.hold_runtime().release()

    def test_a_lock_is_not_taken_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to(tmp_path / "victim")

        with pytest.raises(OSError, match="symbolic link"):
            try_lock(tmp_path / "lock")
        assert not (tmp_path / "victim").exists()


class TestGitignore:
    def test_it_is_made_where_there_is_none_and_only_once(self, project: Path) -> None:
        assert update_gitignore(project)
        assert not update_gitignore(project)
        assert (project / ".gitignore").read_bytes() == b".tt/*\n!.tt/redis.aof\n"

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (b"*.pyc", b"*.pyc\n.tt/*\n!.tt/redis.aof\n"),
            (b"a\r\nb\r\n", b"a\r\nb\r\n.tt/*\r\n!.tt/redis.aof\r\n"),
            (b"\xff\xfe odd\n", b"\xff\xfe odd\n.tt/*\n!.tt/redis.aof\n"),
            (b".tt/*\nx\n", b".tt/*\nx\n!.tt/redis.aof\n"),
            (b"!.tt/redis.aof\n.tt/*\n", b"!.tt/redis.aof\n.tt/*\n!.tt/redis.aof\n"),
        ],
    )
    def test_what_is_there_stays(self, project: Path, before: bytes, after: bytes) -> None:
        path = project / ".gitignore"
        path.write_bytes(before)
        path.chmod(0o664)

        assert update_gitignore(project)
        assert not update_gitignore(project)
        assert path.read_bytes() == after
        assert mode_of(path) == 0o664

    def test_a_link_is_left_alone(self, project: Path) -> None:
        victim = project / "victim"
        victim.write_text("precious\n")
        (project / ".gitignore").symlink_to(victim)

        assert not update_gitignore(project)
        assert victim.read_text() == "precious\n"

    def test_git_ignores_the_files_but_not_the_saved_state(self, town: TownFiles) -> None:
        update_gitignore(town.root)
        town.snapshot.write_text("")
        subprocess.run(["git", "init", "-q", str(town.root)], check=True)
        shown = subprocess.run(
            ["git", "-C", str(town.root), "status", "--porcelain", "-uall"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

        assert sorted(shown[1::2]) == [".gitignore", ".tt/redis.aof"]


def test_the_module_is_cheap_to_import() -> None:
    code = (
        "import sys; import tinytown.transport.files, tinytown.transport.server\n"
        "print([m for m in ('trio', 'redis', 'asyncio', 'pydantic', 'rich', 'subprocess', 'shutil', 'hiredis')"
        " if m in sys.modules])"
    )
    ended = run_python(code)

    assert ended.stdout == "[]\n", ended.stderr
