from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from waiting import until_sync

ECHO = Path(__file__).resolve().parents[1] / "servers" / "echo.py"


def _marked(mark: str) -> list[int]:
    """The processes in whose environment the mark is: the fabric and all that it started."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environ = path.read_bytes()
        except OSError:
            continue
        if mark.encode() in environ:
            found.append(int(path.parent.name))
    return found


def _answers(cwd: Path, env: dict[str, str]) -> bool:
    command = [sys.executable, "-m", "mcpweft", "call", "echo.echo", "text=hello"]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_when_up_is_killed_nothing_that_it_started_lives_on(tmp_path: Path) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    server = {"command": sys.executable, "args": [str(ECHO)]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"echo": server}}), encoding="utf-8")
    env = os.environ | {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime), "HOME": str(tmp_path)}
    env.pop("MCPWEFT_URL", None)
    up = subprocess.Popen(
        [sys.executable, "-m", "mcpweft", "up", "mcp.json"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until_sync(lambda: _answers(tmp_path, env), within=30)
        assert len(_marked(str(runtime))) >= 4, "up, its store, a worker and its server"
    finally:
        up.send_signal(signal.SIGKILL)
        up.wait()
    until_sync(lambda: not _marked(str(runtime)), within=20)
