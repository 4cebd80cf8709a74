"""A CLI gets what it needs and no secret of anybody else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tinytown.actors.drivers.presets import PRESETS
from tinytown.actors.environment import UPDATERS_OFF, child_environment, path_with_tt

HARMLESS = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/ann",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TERM": "xterm",
    "TMPDIR": "/tmp",
    "TZ": "UTC",
    "USER": "ann",
    "LOGNAME": "ann",
    "SHELL": "/bin/sh",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
    "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
    "https_proxy": "http://proxy:1",
    "HTTPS_PROXY": "http://proxy:1",
    "NO_PROXY": "localhost",
    "XDG_CONFIG_HOME": "/home/ann/.config",
}
WORDS = (
    *("REDIS_URL", "REDIS_PASSWORD", "REDISCLI_AUTH", "TINYTOWN_REDIS_PASSWORD", "TINYTOWN_AGENT_ID"),
    *("TOWNHALL_API_KEY", "TINYTOWN_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_PAT"),
    *("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_PRIVATE_KEY_PATH"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NPM_TOKEN", "PYPI_TOKEN", "SECRET"),
    *("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "AUGMENT_SESSION_AUTH", "CURSOR_API_KEY"),
    *(
        "COPILOT_GITHUB_TOKEN",
        "SSH_AUTH_SOCK",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "NODE_OPTIONS",
        "GIT_DIR",
        "BASH_ENV",
    ),
    *("DATABASE_URL", "DOCKER_AUTH_CONFIG", "KUBECONFIG", "VAULT_TOKEN", "SLACK_TOKEN", "STRIPE_KEY"),
)
POISON = dict.fromkeys((*WORDS, *(f"MY_SECRET_{number}" for number in range(100 - len(WORDS)))), "poison")

OWN_KEYS = {
    "claude": {"ANTHROPIC_API_KEY"},
    "codex": {"OPENAI_API_KEY"},
    "gemini": {"GEMINI_API_KEY"},
    "agy": {"GEMINI_API_KEY"},
    "auggie": {"AUGMENT_SESSION_AUTH"},
    "cursor": {"CURSOR_API_KEY"},
    "copilot": {"COPILOT_GITHUB_TOKEN"},
    "aider": {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"},
    "opencode": {"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"},
    "amp": set(),
}


def same(path: str) -> str:
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_of_a_hundred_poisoned_variables_only_the_keys_of_the_cli_get_through(name: str) -> None:
    assert len(POISON) == 100
    env = child_environment(HARMLESS | POISON, passed=PRESETS[name].env_pass, extra={}, identity={}, find_path=same)
    assert {key for key, value in env.items() if value == "poison"} == OWN_KEYS[name]
    assert {key: env[key] for key in HARMLESS} == HARMLESS
    assert env.items() >= UPDATERS_OFF.items()


def test_a_secret_passes_when_it_is_named_in_full_but_never_by_a_pattern() -> None:
    base = {"AWS_PROFILE": "work", "AWS_REGION": "x", "MY_REDIS": "x", "GITHUB_X": "x"}
    env = child_environment(base, passed=("AWS_PROFILE", "AWS_*", "*", "MY_*"), extra={}, identity={}, find_path=same)
    assert {key for key in env if key in base} == {"AWS_PROFILE"}


def test_who_the_child_is_comes_from_nowhere_but_its_identity() -> None:
    env = child_environment(
        {"TINYTOWN_AGENT_ID": "inherited"},
        passed=("TINYTOWN_AGENT_ID", "TINYTOWN_TOKEN"),
        extra={"TINYTOWN_AGENT_ID": "configured", "TINYTOWN_X": "configured", "MODEL": "m"},
        identity={"TINYTOWN_AGENT_ID": "true"},
        find_path=same,
    )
    assert {key: value for key, value in env.items() if key.startswith("TINYTOWN_")} == {"TINYTOWN_AGENT_ID": "true"}
    assert env["MODEL"] == "m"


def test_an_identity_sets_nothing_else() -> None:
    with pytest.raises(ValueError, match="PATH"):
        child_environment({}, passed=(), extra={}, identity={"PATH": "/evil"}, find_path=same)


def test_the_configuration_of_a_cli_wins_over_the_surroundings() -> None:
    env = child_environment(
        {"LANG": "C", "DISABLE_AUTOUPDATER": "0"}, passed=(), extra={"LANG": "de"}, identity={}, find_path=same
    )
    assert (env["LANG"], env["DISABLE_AUTOUPDATER"]) == ("de", "1")


def test_without_a_search_path_the_usual_one_is_used() -> None:
    assert child_environment({}, passed=(), extra={}, identity={}, find_path=same)["PATH"] == os.defpath


class TestTheSearchPath:
    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours = tmp_path / "venv" / "bin"
        self.program(self.ours / "tt")
        self.other = tmp_path / "other"
        self.other.mkdir()
        monkeypatch.setattr(sys, "executable", str(self.ours / "python"))

    def program(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)

    def test_ends_with_the_directory_of_tt_so_that_the_project_keeps_its_python(self) -> None:
        assert path_with_tt(str(self.other)) == f"{self.other}:{self.ours}"

    def test_is_left_alone_when_our_tt_is_found(self) -> None:
        (self.other / "tt").symlink_to(self.ours / "tt")
        assert path_with_tt(str(self.other)) == str(self.other)

    def test_begins_with_our_directory_when_another_tt_would_be_found(self) -> None:
        self.program(self.other / "tt")
        assert path_with_tt(str(self.other)) == f"{self.ours}:{self.other}"

    def test_is_left_alone_when_tt_is_not_installed(self) -> None:
        (self.ours / "tt").unlink()
        assert path_with_tt("/bin") == "/bin"
