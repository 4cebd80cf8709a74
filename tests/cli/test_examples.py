"""What the pages of the commands show is what `tt` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from person import Person
from sessions import commands_of, play

from tinytown.cli.app import build
from tinytown.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "docs/cli/examples"
FILES = sorted(EXAMPLES.glob("*.md"))


@pytest.mark.parametrize("document", FILES, ids=[each.stem for each in FILES])
def test_a_session_prints_what_the_page_shows(document: Path, home: Person, request: pytest.FixtureRequest) -> None:
    if "given: a GitHub" in document.read_text(encoding="utf-8"):
        request.getfixturevalue("hub")
    if "given: no town" not in document.read_text(encoding="utf-8"):
        assert main(["init", "--name", "my-project"]) == 0
    play(document, home)


def test_every_command_has_an_example_on_its_page() -> None:
    shown = {each.stem: commands_of(each.read_text(encoding="utf-8")) for each in FILES}
    missing = []
    app = build()
    for name in app:
        command = app[name]
        if name.startswith("-") or not command.show:
            continue
        within = [f"{name} {each}" for each in command if not each.startswith("-")]
        lines = [f"{line} " for line in shown.get(name, ())]
        missing += [each for each in within or [name] if not any(line.startswith(f"tt {each} ") for line in lines)]
    assert not missing, f"write a session into docs/cli/examples for: {', '.join(missing)}"


@pytest.mark.usefixtures("hub")
def test_the_mission_of_its_page_is_completed(home: Person) -> None:
    assert main(["init", "--name", "my-project"]) == 0
    play(EXAMPLES.parents[1] / "missions.md", home)
