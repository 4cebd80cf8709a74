"""Agents in worktrees of their own, from `tt spawn` to `tt prune`, with real git, a real runtime and a scripted CLI."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from person import Person
from repositories import Checkout, new_repository

SCRIPT = """\
cat > "$NOTES/$TINYTOWN_AGENT.prompt$TINYTOWN_ROUND"
if test "$TINYTOWN_ROUND" = 1; then
    echo "$TINYTOWN_AGENT was here" > code.txt
    # Both are in the middle of it at the same time.
    case "$TINYTOWN_AGENT" in
        ada) echo > "$NOTES/to-bob"; cat "$NOTES/to-ada";;
        bob) cat "$NOTES/to-bob"; echo > "$NOTES/to-ada";;
    esac
    git commit --quiet --all --message "the work of $TINYTOWN_AGENT"
    tt list > "$NOTES/$TINYTOWN_AGENT.list"
    (unset TINYTOWN_TOWN; tt status --json > "$NOTES/$TINYTOWN_AGENT.status")
    printf '%s\\n' "$PWD" "$TINYTOWN_PORT_BASE" "$(cat .env)" "$(cat code.txt)" > "$NOTES/$TINYTOWN_AGENT.seen"
else
    touch ready
    git add ready
    git commit --quiet --message "what was missing"
fi
"""

CONFIG = """\
[agent_clis.scripted]
command = "sh {notes}/cli.sh"
env = {{ NOTES = "{notes}" }}

[agent]
isolation = "worktree"
setup = "sh -c 'echo made with $TINYTOWN_PORT_BASE > build'"

[[verify]]
name = "is it ready"
command = "sh -c 'test -f ready || {{ echo nothing is ready in $PWD; exit 3; }}'"
"""


@pytest.fixture
def notes(person: Person) -> Path:
    """Where the scripted CLI notes what it has seen."""
    notes = person.directory.parent / "notes"
    notes.mkdir()
    (notes / "cli.sh").write_text(SCRIPT)
    for name in ("to-ada", "to-bob"):
        os.mkfifo(notes / name)
    home = Path(person.environ["HOME"])
    (home / ".tt" / "config.toml").write_text(CONFIG.format(notes=notes))
    (home / ".gitconfig").write_text("[user]\nname = A Person\nemail = person@example.com\n")
    return notes


@pytest.fixture
def project(person: Person, notes: Path) -> Checkout:
    """A town under git, with its configuration in git too."""
    assert notes.is_dir()
    project = new_repository(person.directory)
    project.write(".gitignore", ".env\nbuild\n")
    project.write(".env", "SECRET=1")
    assert person.tt("init", "--name", "demo").code == 0
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "a town")
    return project


def evidence(person: Person, task: str) -> dict[str, object]:
    """What came of the last check of the task."""
    (found,) = person.tt("task", "show", task, "--json").json["evidence"]
    return dict(found)


def test_two_agents_change_one_file_at_the_same_time_and_each_has_its_own(
    person: Person, notes: Path, project: Checkout
) -> None:
    for name in ("ada", "bob"):
        assert person.tt("spawn", name, "--cli", "scripted").err == ""
    tasks = {name: person.tt("assign", name, "change the file", "--json").json["id"] for name in ("ada", "bob")}
    for task in tasks.values():
        assert person.tt("wait", "--task", task).code == 0

    # Each has seen its own directory, its own file, the secret of the project, and ports of its own.
    seen = {name: (notes / f"{name}.seen").read_text().splitlines() for name in tasks}
    for name, (where, _, secret, code) in seen.items():
        assert where == str(project.path / ".tt" / "agents" / name)
        assert (secret, code) == ("SECRET=1", f"{name} was here")
    ports = {name: int(lines[1]) for name, lines in seen.items()}
    assert abs(ports["ada"] - ports["bob"]) >= 10
    assert (project.path / "code.txt").read_text() == "one\n"
    assert project.git("status", "--porcelain") == ""
    inside = {name: Checkout(project.path / ".tt" / "agents" / name) for name in tasks}
    assert (inside["ada"].path / "build").read_text() == f"made with {ports['ada']}\n"

    # Its own tt spoke to the town, though there is a tinytown.toml in the worktree.
    assert (inside["ada"].path / "tinytown.toml").is_file()
    assert "bob" in (notes / "ada.list").read_text()
    assert json.loads((notes / "ada.status").read_text())["root"] == str(project.path)

    # The check ran in the worktree; what it said came back to the agent, and the second round was the better one.
    prompt = (notes / "ada.prompt2").read_text()
    assert "the check 'is it ready' failed (exit status 3" in prompt
    assert f"nothing is ready in {inside['ada'].path}" in prompt
    assert "on the branch tt/ada" in prompt
    for name, task in tasks.items():
        found = evidence(person, task)
        assert (found["code"], found["dirty"]) == (0, False)
        assert found["commit"] == project.git("rev-parse", f"tt/{name}")

    log = person.tt("logs", "ada").out
    assert f"works in the new worktree .tt/agents/ada, on the branch tt/ada, with the ports {ports['ada']}-" in log
    assert [event["type"] for event in person.tt("events", "--json").json].count("agent.worktree") == 2

    _shown_where_there_is_one(person)
    _pruned_only_when_nothing_is_lost(person, project, inside)


def _shown_where_there_is_one(person: Person) -> None:
    assert "    🌿 tt/ada in .tt/agents/ada\n" in person.tt("list").out
    assert "      🌿 tt/bob in .tt/agents/bob\n" in person.tt("status").out
    assert person.tt("list", "--json").json[0]["checkout"] == {"path": ".tt/agents/ada", "branch": "tt/ada"}
    assert person.tt("status", "--json").json["agents"][1]["checkout"]["branch"] == "tt/bob"


def _pruned_only_when_nothing_is_lost(person: Person, project: Checkout, inside: dict[str, Checkout]) -> None:
    inside["bob"].write("half.txt", "half done")
    for name in inside:
        assert person.tt("kill", name).code == 0
        assert person.tt("wait", name).code == 0
    project.git("merge", "--quiet", "tt/ada")

    preview = person.tt("reset").out
    assert "   🌿 Worktree of ada: goes, its work is somewhere else\n" in preview
    lost = "1 file is not in git: half.txt; 2 commits are in no other branch and no remote"
    assert f"   🌿 Worktree of bob stays in .tt/agents/bob: {lost}\n" in preview
    assert project.refs("refs/tt") == []

    said = person.tt("prune").out
    assert "   🌿 Worktree of ada: removed\n" in said
    assert f"   🌿 Worktree of bob stays in .tt/agents/bob: {lost}\n" in said
    assert not inside["ada"].path.exists()
    assert not project.has_branch("tt/ada")
    assert (inside["bob"].path / "half.txt").read_text() == "half done"
    (rescue,) = project.refs("refs/tt/rescue/bob")
    assert f"      A copy of its work is kept in git: {rescue}\n" in said
    assert project.git("show", f"{rescue}:half.txt") == "half done"

    # Its agent is gone. As soon as its work is somewhere else, it goes too.
    inside["bob"].git("add", "half.txt")
    inside["bob"].git("commit", "--quiet", "--message", "done")
    project.git("branch", "kept", "tt/bob")
    assert person.tt("prune").out == "✨ No agents to prune\n   🌿 Worktree of bob: removed\n"
    assert person.tt("prune").out == "✨ No agents to prune\n"
    assert not inside["bob"].path.exists()


def test_outside_git_a_worktree_is_refused_when_asked_for_and_done_without_when_configured(
    person: Person, notes: Path
) -> None:
    assert notes.is_dir()
    assert person.tt("init", "--name", "demo").code == 0

    refused = person.tt("spawn", "ada", "--cli", "scripted", "--worktree")
    assert refused.code == 1
    assert refused.err == (
        "Error: There can be no worktree: the project is not under git\n"
        "Hint: Run 'git init' and commit, or leave out --worktree.\n"
    )

    spawned = person.tt("spawn", "ada", "--cli", "scripted", "--json")
    assert spawned.json["worktree"] is False
    assert spawned.err == (
        "Note: It works in the project's directory, without a worktree: the project is not under git\n"
    )
    assert person.tt("spawn", "bob", "--cli", "scripted", "--no-worktree").err == ""
