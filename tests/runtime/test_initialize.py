"""`tt init`: what it makes, what it keeps, and that of several at once one makes the town."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import RunningServer, valkey_server

from tinytown.errors import (
    AlreadyInitialized,
    Conflict,
    Forbidden,
    InvalidConfig,
    InvalidName,
    RedisVersionTooOld,
    TownNameTaken,
    Unavailable,
)
from tinytown.runtime.ground import survey
from tinytown.runtime.naming import default_name
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.initialize import Initialized, InitRequest, initialize
from tinytown.transport.blocking import run_sync


def init(root: Path, name: str | None = "demo", *, join: bool = False, fresh: bool = False) -> Initialized:
    return initialize(InitRequest(root, name, join=join, fresh=fresh), environ=os.environ)


def elsewhere(monkeypatch: pytest.MonkeyPatch, user: Path, host: str) -> Path:
    """Another host with a clone of the project: no state of its own yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(user / f"state of {host}"))
    clone = user / host
    clone.mkdir()
    return clone


def test_it_makes_everything_a_town_needs(project: Path) -> None:
    made = init(project)
    assert (made.name, made.root, made.socket, made.kept_config) == ("demo", project.resolve(), False, False)
    assert 'name = "demo"' in (project / "tinytown.toml").read_text()
    assert sorted(path.name for path in (project / ".tt").iterdir()) == ["agents", "logs", "tasks", "town"]
    assert (project / ".gitignore").read_text() == ".tt/*\n!.tt/redis.aof\n"
    with open_blocking(project, environ=os.environ) as town:
        (event,) = run_sync(town.journal.latest(10))
        assert event.type == "town.initialized"
        assert run_sync(town.store.find_agent("conductor")).agent_type == "supervisor"


def test_it_makes_the_directory_too(project: Path) -> None:
    assert init(project / "new" / "deep").root == (project / "new" / "deep").resolve()


def test_a_second_one_is_refused_and_changes_nothing(project: Path) -> None:
    init(project)
    before = (project / "tinytown.toml").read_text()
    for name in (None, "demo"):
        with pytest.raises(AlreadyInitialized, match="There is a town at") as caught:
            init(project, name)
        assert "tt start" in caught.value.hint
    assert (project / "tinytown.toml").read_text() == before


def test_of_several_at_once_exactly_one_makes_the_town(project: Path) -> None:
    code = (
        "import os, sys, json; from pathlib import Path\n"
        "from tinytown.errors import TownError\n"
        "from tinytown.runtime.operations.initialize import InitRequest, initialize\n"
        "sys.stdin.read()\n"
        "try: print(json.dumps(['made', initialize(InitRequest(Path('.')), environ=os.environ).name]))\n"
        "except TownError as error: print(json.dumps([error.code, error.message]))\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    said = []
    for racer in racers:
        with racer:
            assert racer.stdout is not None
            said.append(json.loads(racer.stdout.read()))
    assert sorted(code for code, _ in said) == ["already_initialized"] * 3 + ["made"]
    with open_blocking(project, environ=os.environ) as town:
        assert len(run_sync(town.journal.latest(10))) == 1


def test_a_fresh_clone_is_completed_and_its_configuration_kept(project: Path) -> None:
    (project / "tinytown.toml").write_text('name = "cloned"\nmax_agents = 3\n')
    made = init(project, None)
    assert (made.name, made.kept_config) == ("cloned", True)
    assert (project / "tinytown.toml").read_text() == 'name = "cloned"\nmax_agents = 3\n'


def test_the_programs_of_a_clone_are_not_trusted_by_init(project: Path) -> None:
    (project / "tinytown.toml").write_text('name = "cloned"\n[agent_clis.evil]\ncommand = "rm -rf /"\n')
    assert "agent_clis.evil" in init(project, None).notices[0]
    with open_blocking(project, environ=os.environ) as town:
        assert town.settings.withheld == ("agent_clis.evil",)


def test_a_name_that_contradicts_the_configuration_is_refused(project: Path) -> None:
    (project / "tinytown.toml").write_text('name = "cloned"\n')
    with pytest.raises(Conflict, match="calls this town 'cloned'"):
        init(project, "another")
    assert not (project / ".tt").exists()


def test_a_broken_configuration_is_named_and_can_be_mended(project: Path) -> None:
    (project / "tinytown.toml").write_text("max_agents = 'many'\n")
    with pytest.raises(InvalidConfig, match=r"tinytown\.toml.*max_agents"):
        init(project, None)
    (project / "tinytown.toml").write_text("max_agents = 4\n")
    assert init(project, None).name == "project"


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "two\nlines", "a\x1b[31mred", "\u202eback"])
def test_a_name_no_town_can_have_is_refused_before_anything_is_made(project: Path, name: str) -> None:
    with pytest.raises(InvalidName, match="cannot be used"):
        init(project, name)
    assert list(project.iterdir()) == []


@pytest.mark.parametrize("name", ["a:b*?[x]", 'quo"ted\\', "Ünïcode ✨", "tt:demo:agent"])
def test_a_strange_name_works(project: Path, name: str) -> None:
    init(project, name)
    with open_blocking(project, environ=os.environ) as town:
        assert town.name == name


def test_two_towns_of_one_name_on_one_server_are_told_apart(project: Path) -> None:
    init(project / "one")
    with pytest.raises(TownNameTaken, match="is called 'demo' already") as caught:
        init(project / "two")
    assert "--name" in caught.value.hint
    assert not (project / "two" / "tinytown.toml").exists()
    init(project / "two", "another")
    with open_blocking(project / "one", environ=os.environ) as town:
        assert town.name == "demo"


def test_a_name_taken_in_a_kept_configuration_points_to_the_file(project: Path) -> None:
    init(project / "one")
    (project / "two").mkdir()
    (project / "two" / "tinytown.toml").write_text('name = "demo"\n')
    with pytest.raises(TownNameTaken) as caught:
        init(project / "two", None)
    assert "tinytown.toml" in caught.value.hint
    assert (project / "two" / "tinytown.toml").exists()


def test_another_host_joins_the_town(project: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init(project)
    with open_blocking(project, environ=os.environ) as town:
        town_id = town.ground.state.town_id
    clone = elsewhere(monkeypatch, user, "host-2")
    assert init(clone, join=True).joined
    with open_blocking(clone, environ=os.environ) as town:
        assert town.ground.state.town_id == town_id
    assert [path.name for path in (user / "state of host-2" / "tinytown").iterdir() if path.is_dir()] == [town_id]


def test_there_must_be_something_to_join(project: Path) -> None:
    with pytest.raises(Conflict, match="There is no town 'demo'"):
        init(project, join=True)
    assert init(project).name == "demo"


def test_begin_anew_is_refused_while_the_data_is_there(project: Path) -> None:
    init(project)
    with pytest.raises(AlreadyInitialized):
        init(project, None, fresh=True)
    with open_blocking(project, environ=os.environ) as town:
        assert len(run_sync(town.journal.latest(10))) == 1


def test_an_init_that_was_killed_before_its_mark_is_completed(project: Path) -> None:
    init(project)
    (survey(project, environ=os.environ).state.directory / "incarnation").unlink()
    assert init(project, None).kept_config
    with open_blocking(project, environ=os.environ) as town:
        assert len(run_sync(town.journal.latest(10))) == 1


def test_without_a_server_nothing_stands_in_the_way_of_the_next_try(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["REDIS_URL"]
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        init(project, "first")
    monkeypatch.setenv("REDIS_URL", url)
    assert init(project, "second").name == "second"


def test_a_server_program_that_is_too_old_is_refused(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = user / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=7.4.1 sha=0 malloc=libc bits=64 build=0'\n")
    old.chmod(0o755)
    (user / "home" / ".tt").mkdir()
    (user / "home" / ".tt" / "config.toml").write_text(f'[redis]\nserver = "{old}"\n')
    with pytest.raises(RedisVersionTooOld, match=r"Redis version 7\.4(\.1)? is too old"):
        init(user / "project")


def test_a_directory_that_cannot_be_made_is_named(project: Path) -> None:
    (project / "file").write_text("")
    with pytest.raises((Conflict, Forbidden), match="No town can be made here"):
        init(project / "file")


def test_the_first_town_of_a_user_starts_the_server(user: Path) -> None:
    root = user / "project"
    made = init(root)
    ground = survey(root, environ=os.environ)
    assert ground.server is not None
    try:
        assert (made.started_server, made.socket) == (True, True)
        assert (root / ".tt" / "redis.sock").is_socket()
        status = ground.server.status()
        assert status is not None
        assert status.durability == "durable"
    finally:
        ground.server.stop()


def test_a_server_with_a_password_is_used_and_the_password_never_shown(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with valkey_server(password="very-secret") as guarded:
        monkeypatch.setenv("REDIS_URL", f"unix://{guarded.socket_path}")
        with pytest.raises(Unavailable) as caught:
            init(user / "project")
        assert "TINYTOWN_REDIS_PASSWORD" in caught.value.hint
        monkeypatch.setenv("TINYTOWN_REDIS_PASSWORD", "very-secret")
        assert "very-secret" not in repr(init(user / "project"))
        assert "very-secret" not in (user / "project" / "tinytown.toml").read_text()


def git(path: Path, head: str) -> Path:
    (path / ".git").mkdir(parents=True)
    (path / ".git" / "HEAD").write_text(head)
    return path


def test_the_default_name_is_repository_and_branch(tmp_path: Path) -> None:
    repository = git(tmp_path / "shop", "ref: refs/heads/feature/auth\n")
    (repository / "src").mkdir()
    assert default_name(repository) == default_name(repository / "src") == "shop-feature/auth"


@pytest.mark.parametrize("head", ["1234567890123456789012345678901234567890\n", "ref: refs/heads/.invalid\n", ""])
def test_without_a_branch_it_is_the_repository(tmp_path: Path, head: str) -> None:
    assert default_name(git(tmp_path / "shop", head)) == "shop"


def test_a_linked_work_tree_has_the_name_of_its_repository(tmp_path: Path) -> None:
    repository = git(tmp_path / "shop", "ref: refs/heads/main\n")
    inner = repository / ".git" / "worktrees" / "w1"
    inner.mkdir(parents=True)
    (inner / "HEAD").write_text("ref: refs/heads/topic\n")
    (inner / "commondir").write_text("../..\n")
    (tmp_path / "w1").mkdir()
    (tmp_path / "w1" / ".git").write_text(f"gitdir: {inner}\n")
    assert default_name(tmp_path / "w1") == "shop-topic"


def test_outside_of_a_repository_it_is_the_directory(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert default_name(tmp_path / "plain") == "plain"


def test_a_name_made_of_nothing_printable_gives_way(tmp_path: Path) -> None:
    (tmp_path / "\x1b\x07").mkdir()
    assert default_name(tmp_path / "\x1b\x07") == "town"
    assert len(default_name(git(tmp_path / "long", f"ref: refs/heads/{'b' * 200}\n"))) == 100


def test_the_server_of_the_test_run_is_left_alone(project: Path, server: RunningServer) -> None:
    assert not init(project).started_server
    assert server.command("PING") in (b"PONG", "PONG")
