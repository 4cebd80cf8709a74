"""Ask a town over HTTP what its description allows, and what it does not: `make test-api`.

    python tests/web/contract/run.py SCHEMATHESIS SECONDS [OPTION...]

SCHEMATHESIS is the program of that name, which gets the options. What it finds it prints, with the requests that
show it; the status is 0 when it has found nothing, and townhall had nothing to complain of in its log either. The
town lives in processes and directories of its own, all that its agents do is say "done", and GitHub is a stand-in.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tinytown.runtime.demo.forge import Forge
from tinytown.runtime.demo.forge.serving import serving

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))

from apart import BIN, UNCOUNTED, Town, town_apart  # noqa: E402

CONFIG = f"""{UNCOUNTED}
failed_logins_per_minute = 1000000

[agent_clis.claude]
command = "'{sys.executable}' '{TESTS / "fake_cli.py"}' say=done"
"""


def surroundings(forge: Forge, url: str, tools: Path) -> Mapping[str, str]:
    """What townhall and the runtime find: no agent CLI of this machine, and no GitHub but the stand-in."""
    repo = forge.repo("acme/town")
    for number in range(1, 4):
        repo.issue(number, f"issue {number}", f"Depends on #{number - 1}" if number > 1 else "")
    git = shutil.which("git")
    if git is not None:
        (tools / "git").symlink_to(git)
    return {
        "PATH": f"{BIN}:{tools}",
        "GITHUB_API_URL": url,
        "GITHUB_GRAPHQL_URL": f"{url}/graphql",
        "GH_TOKEN": "no-token",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def ask(town: Town, url: str, program: Path, seconds: str, options: list[str]) -> int:
    """Let it ask for so long; gives its status."""
    key = town.tt("auth", "token")
    command = [
        *(program.absolute(), "--config-file", HERE / "schemathesis.toml", "--no-color"),
        *("run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {key}"),
        *("--max-time", seconds, "--continue-on-failure"),
    ]
    environ = {**town.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
    return subprocess.run([*command, *options], cwd=town.base, env=environ, check=False).returncode


def main(program: str, seconds: str, *options: str) -> int:
    forge = Forge()
    with (
        TemporaryDirectory() as tools,
        serving(forge) as github,
        town_apart(CONFIG, **surroundings(forge, github, Path(tools))) as town,
    ):
        (town.root / "README.md").write_text("# A project\n", encoding="utf-8")
        for agent in ("ada", "bob", "eve"):
            town.tt("spawn", agent)
        log = town.base / "townhall.log"
        with log.open("wb") as file, town.townhall(log=file) as server:
            status = ask(town, server.url, Path(program), seconds, list(options))
            ended = server.process.poll()
        complaints = [line for line in log.read_text(encoding="utf-8").splitlines() if " ERROR " in line]
    print(*complaints, "" if ended is None else f"townhall ended by itself, with status {ended}", sep="\n")
    return 1 if complaints or ended is not None else status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
