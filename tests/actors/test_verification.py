"""Commands that prove a task: really run, and told as they went."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from repositories import Checkout, new_repository

from tinytown.actors.child import Ladder
from tinytown.actors.processes import look_at
from tinytown.actors.verification import TAIL_BYTES, Evidence, VerifyCommand, feedback, verify
from tinytown.actors.worktree import prepare
from tinytown.errors import BadMessage, InvalidConfig, RuntimeFailed
from tinytown.times import Timestamp, seconds_of

FAKE = Path(__file__).parents[1] / "fake_cli.py"
LADDER = Ladder(interrupt_s=0.05, terminate_s=0.05)


def fake(*actions: str, name: str = "check", workdir: str | None = None, timeout: float = 60) -> VerifyCommand:
    command = f"{sys.executable} -I -S {FAKE} {' '.join(actions)}"
    return VerifyCommand(name=name, command=command, workdir=workdir, timeout=timeout)


async def proof(path: Path, *commands: VerifyCommand, **env: str) -> list[Evidence]:
    environment = {"PATH": os.environ["PATH"], **env}
    return await verify(commands, cwd=path, env=environment, log_path=path.parent / "verify.log", ladder=LADDER)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def evidence(**changes: object) -> Evidence:
    fields: dict[str, object] = {
        "name": "tests",
        "command": "make test",
        "code": 2,
        "failure": None,
        "seconds": 75.5,
        "tail": "one\ntwo",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "at": Timestamp("2026-01-02T03:04:05.678Z"),
    }
    return Evidence(**(fields | changes))  # type: ignore[arg-type]


async def test_commands_run_in_order_where_the_agent_works(place: Path) -> None:
    found = await proof(
        place,
        VerifyCommand(name="one", command="sh -c 'pwd; echo $WHO > made'"),
        VerifyCommand(name="two", command="cat made"),
        WHO="me",
    )
    assert [(each.name, each.code, each.passed) for each in found] == [("one", 0, True), ("two", 0, True)]
    assert [each.tail for each in found] == [str(place.resolve()), "me"]
    assert (place.parent / "verify.log").read_text() == f"{place.resolve()}\nme\n"
    assert feedback(found) == ""


async def test_the_first_failure_ends_the_row(place: Path) -> None:
    found = await proof(place, fake("say=fine", name="a"), fake("exit=3", name="b"), fake("say=never", name="c"))
    assert [(each.name, each.code) for each in found] == [("a", 0), ("b", 3)]
    assert [each.passed for each in found] == [True, False]


async def test_nothing_to_verify_is_no_evidence(place: Path) -> None:
    assert await proof(place) == []
    assert feedback([]) == ""


async def test_the_evidence_tells_when_and_for_how_long(place: Path) -> None:
    [found] = await proof(place, fake("say=x"))
    assert found.at.endswith("Z")
    assert seconds_of(found.at) > 0
    assert 0 < found.seconds < 60


async def test_both_outputs_are_in_the_tail_without_colours_and_bounded(place: Path) -> None:
    [found] = await proof(
        place, VerifyCommand(name="x", command="sh -c 'printf \"\\033[31mred\\033[0m\\n\"; echo err >&2'")
    )
    assert found.tail == "red\nerr"
    [found] = await proof(place, fake("flood=1", "say=last"))
    assert found.tail.endswith("last")
    assert TAIL_BYTES // 2 < len(found.tail.encode()) <= TAIL_BYTES


async def test_the_tail_is_that_of_the_command_and_not_of_the_one_before(place: Path) -> None:
    found = await proof(place, fake("say=before"), fake("exit=1"))
    assert [each.tail for each in found] == ["before", ""]
    assert "It printed nothing." in feedback(found)


async def test_no_shell_reads_a_command(place: Path) -> None:
    [found] = await proof(place, VerifyCommand(name="x", command="echo $HOME ; touch made | x"))
    assert found.tail == "$HOME ; touch made | x"
    assert not list(place.iterdir())


async def test_a_command_that_is_not_there_is_a_failure_with_its_name(place: Path) -> None:
    [found] = await proof(place, VerifyCommand(name="x", command="no-such-program --now"))
    assert (found.code, found.failure, found.passed) == (127, "no such program: no-such-program", False)


async def test_a_killed_command_has_failed(place: Path) -> None:
    [found] = await proof(place, fake("die=SIGSEGV"))
    assert (found.code, found.failure, found.passed) == (None, "killed by SIGSEGV", False)


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(place: Path) -> None:
    [found] = await proof(place, fake("say=begun", "spawn=group", "wait", timeout=0.5), FAKE_PIDS=str(place / "pids"))
    assert (found.code, found.passed) == (None, False)
    assert "ran for longer than" in found.outcome
    assert found.tail == "begun"
    pids = [int(line) for line in (place / "pids").read_text().split()]
    assert len(pids) == 2
    assert not [pid for pid in pids if look_at(pid) is not None]


async def test_a_cancelled_verification_leaves_no_process(place: Path) -> None:
    fifo = place / "fifo"
    os.mkfifo(fifo)
    command = VerifyCommand(name="x", command=f"sh -c 'echo $$ > {fifo}; exec sleep 60'")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(proof, place, command)
        pid = int(await trio.Path(fifo).read_text())
        nursery.cancel_scope.cancel()
    assert look_at(pid) is None


async def test_a_command_may_work_further_down(place: Path) -> None:
    (place / "web").mkdir()
    [found] = await proof(place, VerifyCommand(name="x", command="pwd", workdir="web"))
    assert found.tail == str(place.resolve() / "web")
    [found] = await proof(place, VerifyCommand(name="x", command="pwd", workdir="gone"))
    assert "cannot work in" in found.outcome


async def test_a_link_leads_no_command_away_from_what_it_is_to_prove(place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (place / "web").symlink_to(tmp_path / "elsewhere")
    [found] = await proof(place, VerifyCommand(name="x", command="touch made", workdir="web"))
    assert found.outcome == "web leads out of the directory of the agent"
    assert not list((tmp_path / "elsewhere").iterdir())


async def test_a_command_that_cannot_be_split_stops_all_before_anything_runs(place: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"\[\[verify\]\] cannot be split \(no closing quotation\): make 'test"):
        await proof(place, VerifyCommand(name="a", command="touch made"), VerifyCommand(name="b", command="make 'test"))
    assert not list(place.iterdir())


async def test_a_log_that_cannot_be_written_is_an_error(place: Path, tmp_path: Path) -> None:
    (tmp_path / "verify.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RuntimeFailed, match="symbolic link"):
        await proof(place, fake("say=x"))


# --- what was verified ---


async def test_the_evidence_names_the_commit_and_whether_there_were_changes(tmp_path: Path) -> None:
    project = new_repository(tmp_path / "project")
    head = project.git("rev-parse", "HEAD")
    [found] = await proof(project.path, fake())
    assert (found.commit, found.dirty) == (head, False)
    project.write("code.txt", "changed")
    [found] = await proof(project.path, fake())
    assert (found.commit, found.dirty) == (head, True)


async def test_what_was_brought_into_a_worktree_makes_it_no_dirtier(tmp_path: Path) -> None:
    project = new_repository(tmp_path / "project")
    project.write("token", "SECRET")
    worktree = await prepare(project.path, "alice", include=("token",), port_base=20_000)
    assert worktree is not None
    head = Checkout(worktree.path).commit("code.txt", "two")
    [found] = await proof(worktree.workdir, fake())
    assert (found.commit, found.dirty) == (head, False)


async def test_outside_git_there_is_no_commit(place: Path) -> None:
    [found] = await proof(place, fake())
    assert (found.commit, found.dirty) == (None, False)
    Checkout(place).git("init", "--quiet")
    [found] = await proof(place, fake())
    assert (found.commit, found.dirty) == (None, False)


# --- kept, and told ---


@given(
    st.builds(
        Evidence,
        name=st.text(),
        command=st.text(),
        code=st.none() | st.integers(),
        failure=st.none() | st.text(),
        seconds=st.floats(0, 1e9),
        tail=st.text(),
        commit=st.none() | st.text(),
        dirty=st.booleans(),
        at=st.builds(Timestamp, st.text()),
    )
)
def test_evidence_comes_back_from_json_as_it_was(found: Evidence) -> None:
    assert Evidence.from_json(found.to_json()) == found


def test_what_is_none_is_not_written_and_what_is_unknown_is_not_read() -> None:
    found = evidence(code=None, failure="killed", commit=None)
    assert set(found.to_json()) == {"name", "command", "failure", "seconds", "tail", "dirty", "at"}
    assert Evidence.from_json({**found.to_json(), "later": 1, "seconds": 3}).seconds == 3


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", 1),
        ("code", "2"),
        ("code", True),
        ("seconds", "1"),
        ("seconds", float("nan")),
        ("dirty", 0),
        ("at", None),
    ],
)
def test_json_that_is_no_evidence_is_refused_with_its_field(field: str, wrong: object) -> None:
    with pytest.raises(BadMessage, match=f"evidence: '{field}'"):
        Evidence.from_json({**evidence().to_json(), field: wrong})  # type: ignore[dict-item]


def test_what_is_no_object_is_no_evidence() -> None:
    with pytest.raises(BadMessage, match="JSON object"):
        Evidence.from_json(["x"])


def test_the_agent_is_told_what_failed_where_and_how() -> None:
    told = feedback([evidence(name="lint", code=0), evidence(dirty=True)])
    assert told == (
        "The task is not accepted yet: the check 'tests' failed (exit status 2, after 1m 15s, at commit "
        "0123456789ab with changes that are not committed).\n\n"
        "The command:\n\n    make test\n\n"
        "The end of its output:\n\n    one\n    two\n\n"
        "Passed before it: 'lint'.\n\n"
        "Find the cause, mend it, run the command yourself, and then end the task again."
    )
