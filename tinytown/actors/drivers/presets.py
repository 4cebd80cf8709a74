"""The coding CLIs Tinytown knows, each as one command that does one round and ends.

A command is split like a shell would and run without one. `{prompt_file}` in it is replaced by the path of the
prompt; without it the prompt is the standard input, which ends: no CLI may wait for more. All run without asking,
since nobody is there to answer. Written for the versions of autumn 2026; all of it can be overridden in TOML.

`interactive` is the same CLI in a person's terminal, for the conductor. There it asks before it acts, as it does
by itself. `{prompt}` in it becomes what is said to it first, `{context_file}` the path of the conductor's context.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Unhealable:
    """A failure that no repetition mends: a person has to act."""

    reason: str
    text: str = ""
    """A regular expression, matched without regard to case in the last lines of both outputs."""
    codes: frozenset[int] = frozenset()
    """Exit statuses that mean it."""
    even_if_ok: bool = False
    """The CLI prints `text` and yet exits with 0."""


@dataclass(frozen=True, slots=True)
class CliPreset:
    """How one CLI is run."""

    name: str
    command: str
    interactive: str = ""
    """The command for a terminal; empty where none takes a first message."""
    env_pass: tuple[str, ...] = ()
    """Variables of the user that it gets besides the common ones; a trailing `*` stands for the rest of a name."""
    workdir: str | None = None
    """Instead of the agent's directory."""
    env: Mapping[str, str] = field(default_factory=dict)
    unhealable: tuple[Unhealable, ...] = ()
    tokens: str = ""
    """A regular expression whose groups are numbers of tokens, where the CLI says at its end what a round has used."""
    refuses_root: str = ""
    """The option in `command` that the CLI refuses to root, unless it is told that it runs in a sandbox."""


def root_refusal(preset: CliPreset, env: Mapping[str, str], uid: int) -> str | None:
    """Why this CLI would refuse this user (`uid`, 0 for root) with this environment, and what to do; or None."""
    option = preset.refuses_root
    if uid != 0 or not option or option not in preset.command.split() or env.get("IS_SANDBOX") == "1":
        return None
    return (
        f"{preset.name} refuses {option} as root. Run the town as an ordinary user; or, if this machine is a "
        f"sandbox that may be broken, say so with IS_SANDBOX=1 in [agent_clis.{preset.name}.env]; or set a "
        f"command without {option}"
    )


_OPENAI = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
_ANTHROPIC = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL")
_GOOGLE = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION")
# Many models behind one key; aider, opencode.
_BROKERS = ("OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY", "XAI_API_KEY")

_CLAUDE = CliPreset(
    name="claude",
    # Prompt on stdin, of any length. Options: code.claude.com/docs, "CLI reference".
    command="claude --print --dangerously-skip-permissions",
    # The prompt first: whatever follows --allowedTools is taken for one more tool. `tt` alone needs no consent.
    interactive="claude {prompt} --allowedTools 'Bash(tt:*)'",
    env_pass=(*_ANTHROPIC, "ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_*", "IS_SANDBOX"),
    unhealable=(
        # Wordings: anthropics/claude-code issues 6331, 5666, 9694; Anantys-oss/koan issue 1045.
        Unhealable(
            "not logged in; run: claude /login",
            r"^(invalid api key\b|missing api key\b|not logged in\b|please run /login\b)|oauth token has expired",
        ),
        Unhealable("its account has no credit left", r"^credit balance is too low"),
    ),
    refuses_root="--dangerously-skip-permissions",
)
_CODEX = CliPreset(
    name="codex",
    # `-` reads the prompt from stdin up to its end. With a prompt on the command line codex waits for the end of
    # stdin all the same (openai/codex issues 20919, 27019); a file as stdin has one. An agent's directory need
    # not be a repository. Options: openai/codex, codex-rs/exec/src/cli.rs.
    command="codex exec --dangerously-bypass-approvals-and-sandbox --skip-git-repo-check --color never -",
    # developers.openai.com/codex, "Command line options".
    interactive="codex {prompt}",
    env_pass=(*_OPENAI, "CODEX_HOME", "CODEX_API_KEY"),
    unhealable=(
        # openai/codex issues 6096, 7362: it reconnects five times, prints this and exits with 1.
        Unhealable("not logged in; run: codex login", r"^(error: )?not logged in\b|last status: 401 unauthorized"),
    ),
    # openai/codex issue 29272: input that was not cached, and output.
    tokens=r"^tokens used\n([\d,]+)$",
)
_GEMINI = CliPreset(
    name="gemini",
    # google-gemini/gemini-cli, docs/cli/headless.md: without a terminal stdin is the prompt.
    command="gemini --approval-mode yolo --output-format text",
    # The same repository, docs/cli/cli-reference.md.
    interactive="gemini --prompt-interactive {prompt}",
    env_pass=(*_GOOGLE, "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_GENAI_*", "GEMINI_*"),
    unhealable=(
        # The same page, "Exit codes".
        Unhealable("not logged in; run gemini once by hand, or set GEMINI_API_KEY", codes=frozenset({41})),
        Unhealable("its configuration is wrong; run gemini once by hand", codes=frozenset({52})),
    ),
)
_AGY = CliPreset(
    name="agy",
    # google-antigravity/antigravity-cli takes a prompt on its command line only, where one item ends at 128 KiB;
    # so it is told where the prompt stands. Its own limit for a prompt is 5 minutes.
    command=(
        "agy --dangerously-skip-permissions --print-timeout 24h "
        "--print 'Read the file {prompt_file} and do what it says, all of it.'"
    ),
    # It takes no prompt as an argument (standardagents/dmux pull request 96, karaage0703/xangi pull request 179).
    interactive="agy --prompt-interactive {prompt}",
    env_pass=(*_GOOGLE, "GEMINI_*", "ANTIGRAVITY_*"),
    unhealable=(Unhealable("not logged in; run agy once by hand", r"^(error: )?(not logged in|please sign in)\b"),),
)
_AUGGIE = CliPreset(
    name="auggie",
    # docs.augmentcode.com, "CLI reference": no option approves everything; see toolPermissions in its settings.
    command="auggie --print --quiet --instruction-file {prompt_file}",
    interactive="auggie {prompt}",
    env_pass=("AUGMENT_SESSION_AUTH", "AUGMENT_API_TOKEN", "AUGMENT_API_URL"),
    unhealable=(Unhealable("not logged in; run: auggie login", r"not logged in\b|authentication (failed|required)\b"),),
)
_AIDER = CliPreset(
    name="aider",
    # Aider-AI/aider, aider/website/docs/scripting.md. It never reads stdin.
    command=(
        "aider --message-file {prompt_file} --yes-always --no-auto-commits --no-stream --no-pretty "
        "--no-check-update --no-show-release-notes --no-analytics"
    ),
    # With a message it would do that one thing and end; it runs commands only when told to, by /run.
    interactive="aider --read {context_file} --no-check-update",
    env_pass=("AIDER_*", *_OPENAI, *_ANTHROPIC, *_GOOGLE, *_BROKERS),
    unhealable=(
        Unhealable("the key for its model is missing or wrong", r"^litellm\.authenticationerror:", even_if_ok=True),
    ),
    # Aider-AI/aider, aider/coders/base_coder.py: a line for each message to the model.
    tokens=r"^Tokens: ([\d.,]+[kM]?) sent, .*?([\d.,]+[kM]?) received",
)
_COPILOT = CliPreset(
    name="copilot",
    # docs.github.com, "Running GitHub Copilot CLI programmatically": a piped prompt counts only without --prompt.
    command="copilot --silent --allow-all --no-ask-user",
    # docs.github.com, "GitHub Copilot CLI command reference".
    interactive="copilot --interactive {prompt}",
    # Its own token (COPILOT_GITHUB_TOKEN), which goes before the others that it would take: those are what missions
    # act with, and reach no agent unless a person names them.
    env_pass=("COPILOT_*", "COPILOT_GITHUB_TOKEN", "GH_HOST"),
    unhealable=(
        Unhealable("not logged in; run: copilot login", r"no authentication information found|not logged in\b"),
    ),
)
_CURSOR = CliPreset(
    name="cursor",
    # cursor.com/docs/cli: edits are only proposed without --force. Prompt on stdin.
    command="cursor-agent --print --output-format text --force --trust",
    interactive="cursor-agent {prompt}",
    env_pass=("CURSOR_API_KEY", "CURSOR_CONFIG_DIR"),
    unhealable=(Unhealable("not logged in; run: cursor-agent login", r"authentication required|not logged in\b"),),
)
_OPENCODE = CliPreset(
    name="opencode",
    # opencode.ai/docs, "Permissions". What comes on stdin is added to the message of the command line, here none.
    command="opencode run --auto",
    # opencode.ai/docs/cli. Some versions only write it into the line of input (sst/opencode issue 4700).
    interactive="opencode --prompt {prompt}",
    env_pass=("OPENCODE_*", *_OPENAI, *_ANTHROPIC, *_GOOGLE, *_BROKERS),
)
_AMP = CliPreset(
    name="amp",
    # ampcode.com/manual: the prompt may be piped in. On a terminal it takes none.
    command="amp --execute --dangerously-allow-all",
    env_pass=("AMP_API_KEY", "AMP_URL", "AMP_SETTINGS_FILE"),
    unhealable=(Unhealable("not logged in; run: amp login", r"(not logged in\b|run `?amp login)"),),
)

PRESETS: Mapping[str, CliPreset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _CLAUDE,
            _AUGGIE,
            _CODEX,
            _AIDER,
            _GEMINI,
            _COPILOT,
            _CURSOR,
            _AGY,
            _OPENCODE,
            _AMP,
        )
    }
)
"""The built-in CLIs by name."""
