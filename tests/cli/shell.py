"""A user at a shell: runs the real `mcpweft`, each command a process of its own, in a home of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ECHO = Path(__file__).parents[1] / "servers" / "echo.py"
MCPWEFT = Path(sys.executable).with_name("mcpweft")


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one value that it printed."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """The values that it printed, a line each."""
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    """Runs commands. Nothing of the test's own environment tells where a fabric is."""

    def __init__(self, home: Path) -> None:
        self.home = home
        runtime = home / "run"
        runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MCPWEFT_", "XDG_"))
        }
        self.env = {
            **kept, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "COLUMNS": "200",
            "MCPWEFT_COORDINATOR__SPARE": "false",  # a process more for each fabric, which no command needs
        }  # fmt: skip

    @property
    def announcements(self) -> list[Path]:
        """What running fabrics have left in the runtime directory."""
        return sorted((self.home / "run").rglob("*.json"))

    def run(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
        within: float = 30.0,
    ) -> Done:
        """Run `mcpweft` with these words, in a session of its own, until it ends."""
        done = subprocess.run(
            [MCPWEFT, *words],
            cwd=cwd or self.home,
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            start_new_session=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start `mcpweft`; whoever starts it ends it."""
        return subprocess.Popen(
            [MCPWEFT, *words],
            cwd=cwd or self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


class Terminal:
    """A terminal of its own with one command in it: `with Terminal(shell, "up", cwd=…) as terminal`."""

    def __init__(self, shell: Shell, *words: str | Path, cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        # setsid makes the terminal the controlling one, so that Ctrl-C becomes a signal.
        self._process = subprocess.Popen(
            ["setsid", "-c", MCPWEFT, *words],
            cwd=cwd,
            env={**shell.env, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self.wait()
        os.close(self._ours)

    def shows(self, text: str) -> bool:
        """Return whether the command has written `text` since it began."""
        while select.select([self._ours], [], [], 0)[0]:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # the other end is closed
                break
            self.text += data.decode(errors="replace")
        return text in self.text

    def until(self, text: str, within: float = 30.0) -> None:
        """Wait until the command has written `text`."""
        until_sync(lambda: self.shows(text), within)

    def press(self, key: bytes) -> None:
        """Type something, such as Ctrl-C."""
        os.write(self._ours, key)

    def wait(self, within: float = 30.0) -> int:
        """Wait for the command's end, reading what it writes; return its exit code."""
        until_sync(lambda: self.shows("\0") or self._process.poll() is not None, within)
        code = self._process.wait()
        self.shows("\0")
        return code


def write_mcp_json(folder: Path, servers: Mapping[str, Sequence[str]]) -> Path:
    """Write an mcp.json of stdio servers, each a script and its arguments; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {
        name: {"command": sys.executable, "args": [str(word) for word in words]}
        for name, words in servers.items()
    }
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": table}), encoding="utf-8")
    return path
