"""What the two files and the environment come to, and what is said when a file is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.config import (
    AgentSettings,
    Limits,
    MissionSettings,
    RedisSettings,
    RestartSettings,
    RuntimeSettings,
    Settings,
    VerifyCommand,
    default_toml,
    keep_private,
    load,
    parse_settings,
    redacted,
)
from tinytown.config_rules import known_keys
from tinytown.config_sections import PROJECT_KEYS, USER_KEYS
from tinytown.config_trust import show
from tinytown.errors import InvalidConfig, InvalidName, TownError
from tinytown.text import term_safe

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""

CANARY = "c4n4ry-s3cret"


def parse(project: str = "", user: str = "", **environ: str) -> Settings:
    """The settings when the project is trusted."""
    return parse_settings(textwrap.dedent(project), textwrap.dedent(user), environ, trusted=lambda _: True)


def refusal(project: str = "", user: str = "", **environ: str) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        parse(project, user, **environ)
    return caught.value


def harmless(text: str) -> bool:
    return term_safe(text, lines=False) == text


def outcome(project: str = "", user: str = "") -> Settings | str:
    """The settings, or what is said instead; any other error is the test's."""
    try:
        return parse_settings(project, user, {}, trusted=lambda _: True)
    except InvalidConfig as error:
        return str(error)


# --- values ---


def test_without_any_file_the_built_in_defaults_apply() -> None:
    settings = parse_settings("", "", {})
    assert (settings.name, settings.default_cli, settings.conductor_cli) == ("town", "claude", "claude")
    assert settings.max_agents == 10
    assert settings.redis == RedisSettings()
    assert not settings.notices
    assert not settings.agent_clis


def test_the_defaults_are_the_decided_numbers() -> None:
    assert Limits() == Limits(
        message_bytes=262_144,
        inbox_messages=10_000,
        town_messages=100_000,
        prompt_bytes=262_144,
        prompt_messages=50,
        round_log_bytes=67_108_864,
        request_bytes=1_048_576,
        events=10_000,
        max_attempts=5,
        max_recoveries=3,
    )
    assert RestartSettings() == RestartSettings(backoff=5, backoff_cap=300, crashes=5, period=600)
    runtime = RuntimeSettings()
    assert (runtime.max_rounds, runtime.round_timeout, runtime.max_failed_rounds) == (10, 3600, 5)
    assert (runtime.round_backoff, runtime.round_backoff_cap) == (5, 600)
    assert (runtime.placement_lease, runtime.placement_renew) == (15, 5)
    assert (runtime.message_lease, runtime.message_renew) == (60, 15)
    redis = RedisSettings()
    assert (redis.where, redis.durability, redis.socket_path) == ("managed", "always", ".tt/redis.sock")


def test_the_project_goes_before_the_user_and_the_user_before_the_defaults() -> None:
    settings = parse(
        'default_cli = "codex"\n[limits]\nmax_attempts = 7',
        'default_cli = "gemini"\nmax_agents = 3\n[limits]\nmax_attempts = 8\nmax_recoveries = 9',
    )
    assert settings.default_cli == "codex"
    assert settings.max_agents == 3
    assert (settings.limits.max_attempts, settings.limits.max_recoveries) == (7, 9)
    assert settings.limits.inbox_messages == 10_000


def test_default_model_is_another_name_for_default_cli() -> None:
    assert parse('default_model = "aider"').default_cli == "aider"
    assert str(refusal('default_cli = "a"\ndefault_model = "b"')) == (
        "tinytown.toml: default_cli and default_model say the same; keep one"
    )


def test_the_conductor_uses_the_default_cli_unless_another_is_named() -> None:
    assert parse('default_cli = "codex"').conductor_cli == "codex"
    assert parse('default_cli = "codex"\nconductor_cli = "claude"').conductor_cli == "claude"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ("1.5", 1.5), ('"60m"', 3600), ('"1h30m"', 5400), ('"1500ms"', 1.5), ('"2d"', 172_800)],
)
def test_durations_are_seconds_or_texts_with_units(written: str, seconds: float) -> None:
    assert parse(f"[runtime]\nround_timeout = {written}").runtime.round_timeout == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("4096", 4096), ('"256KiB"', 262_144), ('"2 MiB"', 2_097_152), ('"1MB"', 1_000_000), ('"9999"', 9999)],
)
def test_sizes_are_bytes_or_texts_with_units(written: str, size: int) -> None:
    assert parse(f"[limits]\nmessage_bytes = {written}").limits.message_bytes == size


@pytest.mark.parametrize("written", ["true", '""', '"5 bananas"', '"1h 30"', "nan", "inf", "-1", "[1]", "1e300"])
def test_what_is_no_duration_is_refused(written: str) -> None:
    assert "expected seconds" in str(refusal(f"[runtime]\nround_timeout = {written}"))


@pytest.mark.parametrize("written", ["true", '""', '"12XB"', '"1.5MiB"', "1023", '"65MiB"', '"9999999999999999GiB"'])
def test_what_is_no_size_is_refused(written: str) -> None:
    assert "expected bytes" in str(refusal(f"[limits]\nmessage_bytes = {written}"))


def test_agent_clis_are_tables_or_bare_commands() -> None:
    settings = parse(
        """
        [agent_clis.my-ai]
        name = "my-ai"
        command = "my-ai --task {prompt_file}"
        workdir = "~/work"
        env_pass = ["MY_KEY"]
        [agent_clis.my-ai.env]
        MODEL = "v2"
        """,
        '[agent_clis]\nother = "other-ai --fast"',
    )
    mine = settings.agent_clis["my-ai"]
    assert (mine.command, mine.workdir) == ("my-ai --task {prompt_file}", "~/work")
    assert (dict(mine.env), mine.env_pass, mine.source) == ({"MODEL": "v2"}, ("MY_KEY",), "tinytown.toml")
    assert settings.agent_clis["other"].command == "other-ai --fast"
    assert settings.agent_clis["other"].source == "~/.tt/config.toml"


def test_an_agent_cli_of_the_project_gets_no_environment_of_the_users_file() -> None:
    settings = parse(
        '[agent_clis]\nclaude = "./claude-wrapper"',
        f'[agent_clis.claude.env]\nKEY = "{CANARY}"\n',
    )
    assert settings.agent_clis["claude"].command == "./claude-wrapper"
    assert not settings.agent_clis["claude"].env


def test_an_agent_cli_is_called_as_its_table_is() -> None:
    assert str(refusal('[agent_clis.a]\nname = "b"\ncommand = "c"')) == (
        'tinytown.toml: agent_clis.a.name is "b"; expected "a", the name of its table'
    )


def test_every_townhall_key_of_the_book_is_accepted_and_paths_have_one_name() -> None:
    table = parse(
        """
        [townhall]
        bind = "127.0.0.1"
        rest_port = 8787
        request_timeout_ms = 30000
        [townhall.auth]
        mode = "oidc"
        issuer = "https://issuer.example.com"
        audience = "tinytown-api"
        jwks_url = "https://issuer.example.com/.well-known/jwks.json"
        required_scopes = ["tinytown:access"]
        clock_skew_seconds = 60
        api_key_hash = "$argon2id$v=19$m=19456,t=2,p=1$abc"
        api_key_scopes = ["town.read", "town.write", "agent.manage", "admin"]
        [townhall.tls]
        enabled = true
        cert_path = "/c.crt"
        key_file = "/k.key"
        [townhall.mtls]
        enabled = true
        required = true
        ca_path = "/ca.crt"
        """
    ).townhall
    assert table["tls"] == {"enabled": True, "cert_file": "/c.crt", "key_file": "/k.key"}
    assert table["mtls"] == {"enabled": True, "required": True, "ca_file": "/ca.crt"}
    assert table["rest_port"] == 8787


def test_a_town_without_a_name_is_called_as_its_directory_is(tmp_path: Path) -> None:
    root = tmp_path / "my-project"
    root.mkdir()
    assert load(root, environ={}, home=tmp_path).name == "my-project"


# --- Redis ---


def test_redis_url_of_the_environment_goes_before_everything() -> None:
    redis = parse('[redis]\nurl = "redis://file/1"', REDIS_URL="rediss://me:pw@env:1/2").redis
    assert (redis.where, redis.url, redis.url_source) == ("external", "rediss://me:pw@env:1/2", "REDIS_URL")


def test_an_empty_redis_url_is_as_good_as_none() -> None:
    assert parse(REDIS_URL="").redis.where == "managed"


def test_the_url_of_the_file_goes_before_its_host() -> None:
    redis = parse('[redis]\nurl = "redis://file/1"\nuse_socket = false\nhost = "other"').redis
    assert (redis.where, redis.url) == ("external", "redis://file/1")
    assert redis.url_source == "redis.url of tinytown.toml"


def test_a_host_elsewhere_is_an_external_server_as_in_the_book() -> None:
    redis = parse(
        """
        [redis]
        use_socket = false
        host = "redis.example.com"
        port = 6380
        password = "p@ss/w"
        tls_enabled = true
        tls_cert = "/etc/ssl/redis.crt"
        tls_key = "/etc/ssl/redis.key"
        tls_ca_cert = "/etc/ssl/a b.crt"
        """
    ).redis
    assert redis.where == "external"
    assert redis.url == (
        "rediss://:p%40ss%2Fw@redis.example.com:6380/0"
        "?ca_file=/etc/ssl/a%20b.crt&cert_file=/etc/ssl/redis.crt&key_file=/etc/ssl/redis.key"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.2"])
def test_a_host_that_is_this_machine_is_our_own_server(host: str) -> None:
    redis = parse(f'[redis]\nuse_socket = false\nhost = "{host}"').redis
    assert (redis.where, redis.url, redis.use_socket) == ("managed", "", False)


def test_the_books_default_file_is_our_own_server_on_its_socket() -> None:
    redis = parse('[redis]\nuse_socket = true\nsocket_path = ".tt/redis.sock"\nhost = "127.0.0.1"\nport = 6379').redis
    assert redis == RedisSettings()


def test_the_password_of_the_environment_goes_before_that_of_the_file() -> None:
    for project in (
        '[redis]\nuse_socket = false\nhost = "h.example"\npassword = "file"',
        '[redis]\nurl = "redis://:file@h.example:6379/0"',
    ):
        redis = parse(project, TINYTOWN_REDIS_PASSWORD="en:v").redis
        assert redis.url == "redis://:en%3Av@h.example:6379/0"
        assert redis.password == "en:v"


def test_a_url_of_the_environment_keeps_its_own_password_and_takes_none_from_a_file() -> None:
    assert parse(REDIS_URL="redis://:own@h", TINYTOWN_REDIS_PASSWORD="env").redis.url == "redis://:own@h"
    assert parse(REDIS_URL="redis://u@h?db=1", TINYTOWN_REDIS_PASSWORD="env").redis.url == "redis://u:env@h?db=1"
    assert parse('[redis]\npassword = "file"', REDIS_URL="redis://h").redis.url == "redis://h"


def test_a_password_of_the_users_file_never_meets_an_address_of_the_project() -> None:
    redis = parse('[redis]\nhost = "evil.example"', f'[redis]\nhost = "mine.example"\npassword = "{CANARY}"').redis
    assert redis.url == "redis://evil.example:6379/0"
    assert redis.password is None


def test_the_address_of_the_users_file_serves_towns_that_name_none() -> None:
    redis = parse(default_toml("x"), '[redis]\nurl = "redis://mine"').redis
    assert (redis.where, redis.url, redis.url_source) == (
        "external",
        "redis://mine",
        "redis.url of ~/.tt/config.toml",
    )


def test_listening_to_others_needs_a_password() -> None:
    listening = '[redis]\nuse_socket = false\nbind = "0.0.0.0"'
    error = refusal(listening)
    assert 'redis.bind is "0.0.0.0"' in str(error)
    assert "TINYTOWN_REDIS_PASSWORD" in error.hint
    assert parse(listening, TINYTOWN_REDIS_PASSWORD="x").redis.bind == "0.0.0.0"


def test_a_lease_is_not_renewed_too_late() -> None:
    for renew, lease in (("placement_renew", "placement_lease"), ("message_renew", "message_lease")):
        assert f"expected at most half of runtime.{lease}" in str(refusal(f'[runtime]\n{renew} = "40s"'))


def test_tls_is_not_dropped_silently() -> None:
    assert "rediss://" in str(refusal('[redis]\nurl = "redis://h"\ntls_enabled = true'))


def test_one_server_for_all_towns_is_the_users_choice_alone() -> None:
    assert parse(user="[redis]\ncentral = true").redis.central
    error = refusal("[redis]\ncentral = true")
    assert "redis.central cannot be set here" in str(error)
    assert "~/.tt/config.toml" in error.hint


def test_no_town_decides_how_durable_the_server_of_all_towns_is() -> None:
    redis = parse(
        '[redis]\ndurability = "none"\nmax_memory = "1MiB"', '[redis]\ncentral = true\ndurability = "fast"'
    ).redis
    assert (redis.durability, redis.max_memory) == ("fast", 512 * 1024 * 1024)


def test_persist_false_is_durability_none() -> None:
    assert parse("[redis]\npersist = false").redis.durability == "none"
    assert parse("[redis]\npersist = true").redis.durability == "always"
    assert parse('[redis]\npersist = true\ndurability = "fast"').redis.durability == "fast"
    assert "redis.persist is false" in str(refusal('[redis]\npersist = false\ndurability = "always"'))


@pytest.mark.parametrize("key", ["socket_path", "aof_path"])
@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "a/../../b", "~/x", "dir/"])
def test_files_of_the_town_stay_inside_the_town(key: str, path: str) -> None:
    assert "inside the town's directory" in str(refusal(f'[redis]\n{key} = "{path}"'))


# --- where agents work, and what proves their work ---


def test_agents_share_the_project_unless_worktrees_are_wanted() -> None:
    assert parse().agent == AgentSettings(isolation="none", include=(".env",), setup=None, port_base=20_000)
    assert parse().verify == ()
    agent = parse(
        """
        [agent]
        isolation = "worktree"
        include = [".env", "config/**/*.local"]
        setup = "npm ci"
        port_base = 30000
        """
    ).agent
    assert agent == AgentSettings(
        isolation="worktree", include=(".env", "config/**/*.local"), setup="npm ci", port_base=30_000
    )


def test_the_users_file_may_say_how_agents_work_in_all_towns() -> None:
    agent = parse('[agent]\nsetup = "make deps"', '[agent]\nisolation = "worktree"\nsetup = "true"').agent
    assert (agent.isolation, agent.setup) == ("worktree", "make deps")


@pytest.mark.parametrize(
    "wrong",
    [
        'isolation = "container"',
        'include = ".env"',
        'include = ["../secrets"]',
        'include = ["/etc/passwd"]',
        'include = ["~/.netrc"]',
        'setup = ""',
        "port_base = 80",
        "port_base = 65530",
    ],
)
def test_a_place_that_agents_cannot_have_is_refused(wrong: str) -> None:
    assert str(refusal(f"[agent]\n{wrong}")).startswith("tinytown.toml: agent.")


def test_verify_commands_keep_their_order_and_are_called_as_they_are_written() -> None:
    verify = parse(
        """
        [[verify]]
        name = "tests"
        command = "make test"
        timeout = "15m"
        [[verify]]
        command = "npm run lint"
        workdir = "web"
        """
    ).verify
    assert verify == (
        VerifyCommand(name="tests", command="make test", timeout=900),
        VerifyCommand(name="npm run lint", command="npm run lint", workdir="web", timeout=600),
    )


def test_the_verify_commands_of_the_project_replace_those_of_the_user() -> None:
    user = '[[verify]]\ncommand = "mine"\n[[verify]]\ncommand = "mine too"'
    assert [each.command for each in parse('[[verify]]\ncommand = "theirs"', user).verify] == ["theirs"]
    assert [each.command for each in parse("", user).verify] == ["mine", "mine too"]


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ('[[verify]]\nname = "x"', "tinytown.toml: verify[1] has no 'command'"),
        (
            '[verify]\ncommand = "x"',
            "tinytown.toml: verify is a table that cannot be used; expected tables: [[verify]]",
        ),
        ("verify = [1]", "tinytown.toml: verify is a list; expected tables: [[verify]]"),
        (
            '[[verify]]\ncommand = "x"\n[[verify]]\ncommand = 3',
            "tinytown.toml: verify[2].command is 3; expected a command line",
        ),
        (
            '[[verify]]\ncommand = "x"\ntimeuot = 3',
            "tinytown.toml: verify[1].timeuot is no key that Tinytown knows; did you mean verify[1].timeout?",
        ),
    ],
)
def test_a_wrong_verify_command_is_named_by_its_number(project: str, message: str) -> None:
    assert str(refusal(project)) == message


def test_a_cloned_project_sets_nothing_up_and_verifies_nothing_before_it_is_accepted() -> None:
    text = '[agent]\nisolation = "worktree"\nsetup = "./evil"\n[[verify]]\ncommand = "./evil too"'
    settings = parse_settings(text, "", {})
    assert settings.withheld == ("agent.setup", "verify")
    assert (settings.agent.isolation, settings.agent.setup, settings.verify) == ("worktree", None, ())
    shown = "\n".join(show(settings.executable))
    assert "./evil" in shown
    assert "./evil too" in shown


# --- missions ---


def test_the_rules_of_missions_have_the_defaults_of_the_manual() -> None:
    found = parse().mission
    assert (found.tick_secs, found.max_parallel_items, found.watch_interval_secs) == (30.0, 2, 180)
    assert (found.reviewer_required, found.auto_merge, found.merge_method) == (True, False, "auto")
    assert found.bugbot_logins == ("cursor", "bugbot")


def test_the_rules_of_missions_are_read_key_by_key_from_both_files() -> None:
    found = parse(
        '[mission]\nmax_parallel_items = 4\nbugbot_logins = ["sonar"]\nmerge_method = "rebase"',
        '[mission]\nmax_parallel_items = 9\nauto_merge = true\ntick_secs = "1m"',
    ).mission
    assert found == MissionSettings(
        tick_secs=60.0, max_parallel_items=4, auto_merge=True, merge_method="rebase", bugbot_logins=("sonar",)
    )


@pytest.mark.parametrize(
    "line", ['merge_method = "fast-forward"', "max_parallel_items = 0", "tick_secs = 0", 'bugbot_logins = [""]']
)
def test_a_rule_of_missions_that_cannot_be_kept_is_refused(line: str) -> None:
    assert str(refusal(f"[mission]\n{line}")).startswith("tinytown.toml: mission.")


# --- errors ---


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("[redis]\nprot = 1", "tinytown.toml: redis.prot is no key that Tinytown knows; did you mean redis.port?"),
        ("max_agent = 1", "tinytown.toml: max_agent is no key that Tinytown knows; did you mean max_agents?"),
        ("port = 1", "tinytown.toml: port is no key that Tinytown knows; did you mean redis.port?"),
        ("zzzzqqqq = 1", "tinytown.toml: zzzzqqqq is no key that Tinytown knows"),
        (
            '[agent_clis.x]\ncomand = "y"',
            "tinytown.toml: agent_clis.x.comand is no key that Tinytown knows; did you mean agent_clis.x.command?",
        ),
        ('[redis]\nport = "abc"', 'tinytown.toml: redis.port is "abc"; expected a whole number from 1 to 65535'),
        ("[redis]\nport = 70000", "tinytown.toml: redis.port is 70000; expected a whole number from 1 to 65535"),
        ("max_agents = true", "tinytown.toml: max_agents is true; expected a whole number from 1 to 100000"),
        ("redis = 3", "tinytown.toml: redis is 3; expected a table: [redis]"),
        (
            "agent_clis.x = 3",
            "tinytown.toml: agent_clis.x is 3; expected a text (its command) or a table: [agent_clis.x]",
        ),
        (
            '[redis]\ndurability = "sometimes"',
            'tinytown.toml: redis.durability is "sometimes"; expected "always" or "fast" or "none"',
        ),
        (
            '[restart]\nbackoff = "9m"',
            "tinytown.toml: restart.backoff is 540 s; expected at most restart.backoff_cap, which is 300 s",
        ),
    ],
)
def test_an_error_names_file_key_what_was_found_and_what_is_expected(project: str, message: str) -> None:
    assert str(refusal(project)) == message


def test_an_unknown_key_shows_the_known_ones_beside_it() -> None:
    assert refusal("[backlog]\nx = 1").hint == "Known in [backlog]: auto_claim, reclaim_after"
    assert refusal("x = 1").hint.startswith("Known at the top of the file: name, default_cli")


def test_an_error_in_the_users_file_names_that_file() -> None:
    assert str(refusal(user="[redis]\nprot = 1")).startswith("~/.tt/config.toml: redis.prot")
    assert refusal(user='name = "x"').hint == "A town is named in its tinytown.toml."


@pytest.mark.parametrize(
    "broken",
    [
        "name = ",
        "a = " + "[" * 5000,
        "a = 1" + "0" * 5000,
        "max_agents = 0x" + "f" * 5000,
        "max_agents = 1979-05-27",
        '"\\u001b[31mx" = 1',
        "name = 'a\\u0007'\n[name]",
        "\x00",
    ],
)
def test_broken_files_are_told_in_one_harmless_line(broken: str) -> None:
    message = str(refusal(broken))
    assert message.startswith("tinytown.toml")
    assert harmless(message)
    assert len(message) < 300


@pytest.mark.parametrize(
    "project",
    [
        f'[redis]\nurl = "{CANARY}"',
        f'[redis]\nurl = "http://u:{CANARY}@h"',
        f'[redis]\npassword = ["{CANARY}"]',
        f'[townhall.auth]\napi_key_hash = "{CANARY}"',
        f'[agent_clis.x.env]\nKEY = ["{CANARY}"]',
    ],
)
def test_an_error_never_repeats_a_secret(project: str) -> None:
    error = refusal(project)
    assert CANARY not in str(error) + error.hint


def test_a_name_that_no_town_can_have_is_refused_with_its_file() -> None:
    error = refusal('name = "a\\u001bb"')
    assert str(error).startswith("tinytown.toml: name: ")
    assert "printable" in error.hint


@UNTIMED
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_settings_or_a_clear_error(project: str, user: str) -> None:
    told = outcome(project, user)
    assert isinstance(told, Settings) or harmless(told)


_TEXT = st.text(max_size=8)
_JUNK: st.SearchStrategy[object] = st.one_of(st.booleans(), st.integers(), st.floats(), _TEXT, st.just([]))


@UNTIMED
@given(st.sampled_from(sorted(known_keys(PROJECT_KEYS))), _JUNK)
def test_any_value_of_any_key_is_settings_or_a_clear_error(key: str, value: object) -> None:
    if isinstance(value, str):
        # Not JSON's escapes: TOML has no surrogates.
        value = "'" + "".join(char for char in value if char.isprintable() and char != "'") + "'"
    text = f"{key.replace('<name>', 'some')} = {str(value).lower()}"
    told = outcome(text)
    assert isinstance(told, Settings) or (harmless(told) and told.startswith("tinytown.toml"))


def test_both_files_know_the_same_keys_but_for_the_towns_name() -> None:
    project, user = set(known_keys(PROJECT_KEYS)), set(known_keys(USER_KEYS))
    assert project - user == {"name"}
    assert user - project == {"redis.central"}


# --- files ---


def test_the_generated_file_reads_back_as_it_was_meant(tmp_path: Path) -> None:
    text = default_toml('My "Awesome" Projekt ü', default_cli="codex", max_agents=4, presets={"claude": "claude -p"})
    settings = parse_settings(text, "", {})
    assert settings.name == 'My "Awesome" Projekt ü'
    assert (settings.default_cli, settings.max_agents) == ("codex", 4)
    assert settings.redis == RedisSettings()
    assert settings.executable == ""
    assert tomllib.loads(text)["redis"] == {"use_socket": True, "socket_path": ".tt/redis.sock"}


def test_the_generated_file_shows_presets_as_comments_that_work_when_uncommented() -> None:
    text = default_toml("x", presets={"claude": "claude --print", "codex": "codex exec"})
    assert not parse(text).agent_clis
    uncommented = "\n".join(
        line.removeprefix("# ")
        for line in text.splitlines()
        if line.startswith(("# [agent_clis", "# command", "# name ="))
    )
    clis = parse(uncommented).agent_clis
    assert clis["claude"].command == "claude --print"
    assert clis["codex"].command == "codex exec"


def test_a_file_is_not_generated_for_a_name_that_no_town_can_have() -> None:
    with pytest.raises(InvalidName):
        default_toml("a\nb")


def test_files_are_read_from_the_town_and_from_the_home(tmp_path: Path) -> None:
    home, root = tmp_path / "home", tmp_path / "town"
    (home / ".tt").mkdir(parents=True)
    root.mkdir()
    (home / ".tt" / "config.toml").write_text("max_agents = 3")
    (root / "tinytown.toml").write_text('\ufeffname = "here"', encoding="utf-8")
    settings = load(root, environ={}, home=home)
    assert (settings.name, settings.max_agents) == ("here", 3)
    (root / "tinytown.toml").write_text("x = 1")
    with pytest.raises(InvalidConfig, match=str(root / "tinytown.toml")):
        load(root, environ={}, home=home)


def test_what_is_no_readable_text_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tinytown.toml"
    file.write_bytes(b'name = "x"\n\xff\xfe')
    with pytest.raises(InvalidConfig, match=r"not readable as UTF-8 \(line 2\)"):
        load(tmp_path, environ={}, home=tmp_path)
    file.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(InvalidConfig, match="more than"):
        load(tmp_path, environ={}, home=tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(InvalidConfig, match="not a regular file"):
        load(tmp_path, environ={}, home=tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(InvalidConfig, match="not a regular file"):
        load(tmp_path, environ={}, home=tmp_path)


@pytest.mark.parametrize("where", ["project", "user"])
def test_a_file_with_a_password_is_closed_to_others(tmp_path: Path, where: str) -> None:
    (tmp_path / ".tt").mkdir()
    file = tmp_path / ("tinytown.toml" if where == "project" else ".tt/config.toml")
    file.write_text(f'[redis]\nurl = "redis://:{CANARY}@h"')
    file.chmod(0o644)
    notices = load(tmp_path, environ={}, home=tmp_path).notices
    assert any("others could read it (mode 0644); it has mode 0600 now" in line for line in notices)
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any("mode" in line for line in load(tmp_path, environ={}, home=tmp_path).notices)


def test_a_file_without_a_password_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "tinytown.toml"
    file.write_text('name = "x"')
    file.chmod(0o644)
    assert not load(tmp_path, environ={}, home=tmp_path).notices
    assert file.stat().st_mode & 0o777 == 0o644
    assert keep_private(tmp_path / "absent") == ""


def test_neither_the_redacted_settings_nor_their_repr_hold_a_secret() -> None:
    settings = parse(
        f"""
        [redis]
        url = "redis://user:{CANARY}@h/1"
        password = "{CANARY}"
        [agent_clis.a.env]
        KEY = "{CANARY}"
        [townhall.auth]
        api_key_hash = "$argon2id${CANARY}"
        """
    )
    assert CANARY in settings.redis.url
    shown = redacted(settings)
    assert CANARY not in repr(shown) + repr(settings)
    assert shown["redis"]["url"] == "redis://user:***@h/1"  # type: ignore[index,call-overload]
    assert shown["agent_clis"]["a"]["env"] == {"KEY": "***"}  # type: ignore[index,call-overload]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse().redis.port = 1  # type: ignore[misc]


def test_reading_the_settings_loads_nothing_heavy() -> None:
    script = (
        "import sys; from pathlib import Path; import tinytown.config as c\n"
        "assert 'tomllib' not in sys.modules\n"
        "c.load(Path('.'), environ={}, home=Path('.'))\n"
        "print(*{'trio', 'redis', 'asyncio', 'pydantic', 'difflib', 'hashlib', 'socket', 'tomlkit', 'subprocess',"
        " 'tempfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_wrong_file_is_a_failure_and_not_a_wrong_usage() -> None:
    error: TownError = refusal("x = 1")
    assert (error.exit_code, error.code) == (1, "invalid_config")
