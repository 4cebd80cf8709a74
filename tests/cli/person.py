"""A person at a terminal: the real `tt` as a child process, in a home and a project of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime_parts import add

from tinytown.records import Agent
from tinytown.runtime.opening import open_blocking

TT = Path(sys.executable).with_name("tt")
FAKE_CLI = Path(__file__).parent.parent / "fake_cli.py"
LONG = 60.0


@dataclass
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


@dataclass
class Person:
    """Types commands in a directory."""

    directory: Path
    environ: dict[str, str] = field(default_factory=dict)

    def tt(self, *arguments: str | bytes, text: str | bytes = "", **more: str) -> Said:
        """Run `tt` and wait for its end; `text` is its standard input, `more` its environment."""
        done = subprocess.run(
            [TT, *arguments],
            input=text if isinstance(text, bytes) else text.encode(),
            capture_output=True,
            cwd=self.directory,
            env={**self.environ, **more},
            timeout=LONG,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def begin(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """Start `tt` and go on."""
        return subprocess.Popen(
            [TT, *arguments],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
            cwd=self.directory,
            env=self.environ,
        )

    def on_terminal(self, *arguments: str, typed: str = "") -> Said:
        """Run `tt` on a terminal of its own, which shows all that it prints; `typed` are the keys pressed there."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [TT, *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=self.directory, env=self.environ
        )
        os.close(slave)
        os.write(master, typed.encode())
        shown = b""
        with suppress(OSError):  # how the end of a terminal is told
            while chunk := os.read(master, 4096):
                shown += chunk
        os.close(master)
        return Said(process.wait(LONG), shown.decode().replace("\r\n", "\n"), "")

    def agent(self, name: str) -> Agent:
        """A new agent that no runtime runs."""
        with open_blocking(self.directory, environ=self.environ) as town:
            return add(town, name)
