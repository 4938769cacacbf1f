from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- run: (\w+) -->\n```python\n(.*?)```", README, re.DOTALL))
MCP_JSON = re.findall(r"```json\n(.*?)```", README, re.DOTALL)[0]
COMMANDS = re.findall(r"^mcpweft (?:tools|call) .*$", README, re.MULTILINE)

# What a reader of the FastAPI example would do next: ask the application.
_ASK = """
from fastapi.testclient import TestClient

with TestClient(app) as web:
    good = web.get("/time/UTC")
    assert good.status_code == 200, good.text
    assert good.json()["timezone"] == "UTC", good.text
    bad = web.get("/time/Nowhere")
    assert bad.status_code == 502, bad.text
"""


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """`mcpweft up mcp.json` with the README's own file, as a reader starts it; a reader's other terminal."""
    here = tmp_path_factory.mktemp("readme")
    runtime = tmp_path_factory.mktemp("run")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    runtime.chmod(0o700)
    (here / "mcp.json").write_text(MCP_JSON, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(runtime), "PATH": path}
    env.pop("MCPWEFT_URL", None)
    with (here / "log").open("w") as log:
        up = subprocess.Popen(
            ["mcpweft", "up", "mcp.json"], cwd=here, env=env, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            until_sync(lambda: _usable(elsewhere, env) or up.poll() is not None, within=30)
            assert up.poll() is None, (here / "log").read_text()
            yield elsewhere, env
            up.send_signal(signal.SIGINT)
            assert up.wait(20) == 0, (here / "log").read_text()
        finally:
            up.kill()
            up.wait()


def _usable(cwd: Path, env: dict[str, str]) -> bool:
    done = subprocess.run(
        ["mcpweft", "status", "--json"], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return False
    pools = json.loads(done.stdout)["pools"]
    return any(pool["capability"] == "time" and pool["workers"] for pool in pools)


def test_every_block_that_claims_to_run_is_known() -> None:
    assert set(BLOCKS) == {"async", "sync", "fastapi"}
    assert README.count("```python") == len(BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["async", "sync", "fastapi"])
def test_the_readme_s_code_runs(name: str, fabric: tuple[Path, dict[str, str]]) -> None:
    elsewhere, env = fabric
    program = BLOCKS[name] + (_ASK if name == "fastapi" else "")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=elsewhere,
        env=env,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_s_commands_run(command: str, fabric: tuple[Path, dict[str, str]]) -> None:
    elsewhere, env = fabric
    done = subprocess.run(
        command.split(), cwd=elsewhere, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
