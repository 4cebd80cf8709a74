"""`tt config`, as a person sees it."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from person import Person

from tinytown.config import load
from tinytown.errors import InvalidConfig
from tinytown.runtime.configuring import ConfigFile, change


def user_file(person: Person) -> Path:
    return person.directory.parent / "home/.tt/config.toml"


def test_it_shows_gets_and_sets_as_the_book_says(person: Person) -> None:
    file = user_file(person)
    assert person.tt("config", "default_cli").out == "claude\n"

    said = person.tt("config", "default_cli", "auggie")
    assert (said.code, said.out) == (0, f'✅ Set default_cli = "auggie"\n   Saved to: {file}\n')
    assert person.tt("config", "default_cli").out == "auggie\n"
    assert person.tt("config", "--user", "agent_clis.my-ai", "my-ai-cli --flag").code == 0
    assert person.tt("config", "agent_clis.my-ai").out == "my-ai-cli --flag\n"

    shown = person.tt("config").out
    assert shown.startswith(f"⚙️  Global config: {file}\n\n")
    assert 'default_cli = "auggie"' in shown
    assert "\nAvailable CLIs: claude, auggie, codex, aider, gemini, copilot, cursor" in shown


def test_a_value_that_the_town_overrides_is_set_with_a_word_about_it(town_dir: Person) -> None:
    said = town_dir.tt("config", "default_cli", "auggie")
    assert (said.code, said.err) == (
        0,
        'Note: in this town "claude" stays in effect: its tinytown.toml or the environment goes first\n',
    )
    assert town_dir.tt("config", "--project", "default_cli", "auggie").code == 0
    assert town_dir.tt("config", "default_cli", "auggie").err == ""


def test_comments_and_order_stay_and_numbers_are_numbers(tmp_path: Path) -> None:
    file = tmp_path / ".tt/config.toml"
    file.parent.mkdir()
    file.write_text('# mine\nmax_agents = 3 # few\n\n[runtime]\n# slow\nround_timeout = "5m"\n')

    change(ConfigFile(tmp_path), "max_agents", "7")
    change(ConfigFile(tmp_path), "conductor_cli", "codex")

    text = file.read_text()
    assert text.startswith("# mine\nmax_agents = 7 # few\n")
    assert '# slow\nround_timeout = "5m"' in text
    assert tomllib.loads(text)["conductor_cli"] == "codex"


@pytest.mark.parametrize(("key", "value"), [("max_agents", "many"), ("nonsense", "1"), ("default_cli.x", "1")])
def test_what_does_not_fit_changes_nothing(tmp_path: Path, key: str, value: str) -> None:
    file = tmp_path / ".tt/config.toml"
    file.parent.mkdir()
    file.write_text('default_cli = "codex"\n')
    with pytest.raises(InvalidConfig):
        change(ConfigFile(tmp_path), key, value)
    assert file.read_text() == 'default_cli = "codex"\n'


def test_of_many_changes_at_once_none_is_lost(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: change(ConfigFile(tmp_path), f"agent_clis.cli{n}", f"run {n}"), range(24)))
    table = tomllib.loads((tmp_path / ".tt/config.toml").read_text())
    assert table["agent_clis"] == {f"cli{n}": f"run {n}" for n in range(24)}


def test_of_many_commands_at_once_none_is_lost(person: Person) -> None:
    running = [person.begin("config", f"agent_clis.cli{n}", f"run {n}") for n in range(8)]
    assert [process.wait(60) for process in running] == [0] * len(running)
    for process in running:
        process.communicate()
    table = tomllib.loads(user_file(person).read_text())
    assert table["agent_clis"].items() >= {f"cli{n}": f"run {n}" for n in range(8)}.items()


def test_a_password_is_taken_from_standard_input_and_never_shown(person: Person) -> None:
    refused = person.tt("config", "redis.password", "hunter2")
    assert refused.code != 0
    assert "hunter2" not in refused.out + refused.err

    said = person.tt("config", "redis.password", "-", text="hunter2\n")
    assert said.code == 0
    assert "hunter2" not in said.out + said.err + person.tt("config").out
    assert user_file(person).stat().st_mode & 0o777 == 0o600


def test_what_it_writes_in_a_town_is_trusted(town_dir: Person) -> None:
    said = town_dir.tt("config", "--project", "agent_clis.mine", "mine --go")
    assert (said.code, said.err) == (0, "")
    assert town_dir.tt("trust", "--json").json["trusted"] is True
    assert town_dir.tt("config", "--project", "agent_clis.mine").out == "mine --go\n"


def test_what_came_with_a_repository_is_not_accepted_on_the_way(town_dir: Person) -> None:
    file = town_dir.directory / "tinytown.toml"
    file.write_text(file.read_text() + '\n[agent_clis.evil]\ncommand = "evil"\n')

    said = town_dir.tt("config", "--project", "agent_clis.mine", "mine --go")

    assert "not accepted" in said.err
    assert town_dir.tt("trust", "--json").json["trusted"] is False
    settings = load(town_dir.directory, environ={}, home=town_dir.directory.parent / "home")
    assert "evil" not in settings.agent_clis


def test_an_agent_changes_nothing(town_dir: Person) -> None:
    agent = town_dir.agent("worker-1")
    said = town_dir.tt("config", "default_cli", "codex", TINYTOWN_AGENT_ID=agent.id, TINYTOWN_AGENT_TOKEN="x")
    assert said.code == 1
    assert "default_cli" not in user_file(town_dir).read_text()
