"""`tt towns`, and the list that `tt init` keeps."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from person import Person

from tinytown.errors import InvalidConfig
from tinytown.runtime.towns_file import Registered, register, registered


def test_without_a_town_it_says_how_to_get_one(person: Person) -> None:
    said = person.tt("towns")
    expected = "📍 No towns registered yet.\n   Run 'tt init' in a directory to register a town.\n"
    assert (said.code, said.out) == (0, expected)


def test_init_enters_a_town_and_the_list_tells_how_each_is(town_dir: Person) -> None:
    home = town_dir.directory.parent / "home"
    entered = tomllib.loads((home / ".tt/towns.toml").read_text())
    assert entered == {"towns": [{"name": "demo", "path": str(town_dir.directory)}]}
    town_dir.agent("worker-1")
    gone, bare = town_dir.directory.parent / "gone", town_dir.directory.parent / "bare"
    for directory in (gone, bare):
        directory.mkdir()
        register(directory.name, directory, home=home)
    shutil.rmtree(gone)

    said = town_dir.tt("towns")

    assert said.code == 0
    assert said.out == (
        "🏘️  Registered Towns (3):\n"
        f"\n   demo - [OK] 1 agents (1 active)\n      📂 {town_dir.directory}\n"
        f"\n   gone - ❌ (path not found)\n      📂 {gone}\n"
        f"\n   bare - ⚠️ (no config)\n      📂 {bare}\n"
    )


def test_a_town_without_its_server_is_offline_and_stays_so(town_dir: Person) -> None:
    assert town_dir.tt("stop", "--redis", "--now").code == 0
    for _ in range(2):
        assert "   demo - [OFFLINE]\n" in town_dir.tt("towns").out
    assert town_dir.tt("towns", "--json").json[0]["status"] == "offline"


def test_of_towns_made_at_once_none_is_lost_and_comments_stay(tmp_path: Path) -> None:
    (tmp_path / ".tt").mkdir()
    (tmp_path / ".tt/towns.toml").write_text('# mine\n[[towns]]\nname = "old"\npath = "/old"  # here\n')
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: register(f"t{n}", tmp_path / str(n), home=tmp_path), range(16)))
    assert {entry.name for entry in registered(home=tmp_path)} == {"old", *(f"t{n}" for n in range(16))}
    assert (
        (tmp_path / ".tt/towns.toml").read_text().startswith('# mine\n[[towns]]\nname = "old"\npath = "/old"  # here')
    )


def test_of_commands_that_enter_towns_at_once_none_is_lost(person: Person) -> None:
    home = person.directory.parent / "home"
    code = "import sys; from pathlib import Path; from tinytown.runtime.towns_file import register\n"
    code += "for n in range(5): register(f'{sys.argv[1]}-{n}', Path(f'/x/{sys.argv[1]}/{n}'), home=Path.home())"
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=person.environ) for n in range(6)]
    assert [process.wait(60) for process in running] == [0] * len(running)
    assert {entry.name for entry in registered(home=home)} == {f"{m}-{n}" for m in range(6) for n in range(5)}


def test_a_directory_is_entered_once_with_its_last_name(tmp_path: Path) -> None:
    register("first", tmp_path, home=tmp_path)
    register("second", tmp_path, home=tmp_path)
    assert registered(home=tmp_path) == (Registered("second", str(tmp_path)),)


@pytest.mark.parametrize("text", ["towns = 3", "[[towns]]\nname = 1\npath = 'x'", "[[towns", "[[towns]]\nname = 'x'"])
def test_a_broken_list_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ".tt").mkdir()
    (tmp_path / ".tt/towns.toml").write_text(text)
    with pytest.raises(InvalidConfig):
        registered(home=tmp_path)


def test_a_broken_list_hinders_no_new_town(person: Person) -> None:
    (person.directory.parent / "home/.tt/towns.toml").write_text("broken")
    made = person.tt("init", "--name", "demo")
    assert made.code == 0
    assert "not entered in the list of towns" in made.err
