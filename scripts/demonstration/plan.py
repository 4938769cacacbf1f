"""What the demonstration calls: a fixed set of questions, each with one right answer, drawn at random.

A question's answer must not depend on when or where it is asked, so that the fabric's answer can be held
against the one that the same server gives directly.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Server:
    """One real MCP server: its name, its command line and the questions it is asked."""

    name: str
    command: tuple[str, ...]
    questions: tuple[tuple[str, dict[str, Any]], ...]
    """(tool, arguments) each."""


def git_server(repository: Path) -> Server:
    """Return the git server on a repository's own history."""
    log = subprocess.run(
        ["git", "-C", str(repository), "log", "-40", "--format=%H"],
        capture_output=True,
        text=True,
        check=True,
    )
    at = {"repo_path": str(repository)}
    shows = [("git_show", at | {"revision": revision}) for revision in log.stdout.split()]
    logs = [("git_log", at | {"max_count": n}) for n in range(1, 21)]
    return Server(
        "git", (sys.executable, "-m", "mcp_server_git", "--repository", str(repository)), (*shows, *logs)
    )


def time_server() -> Server:
    """Return the time server, asked to convert fixed times."""
    zones = ("Europe/Vienna", "Asia/Tokyo", "America/Lima", "Africa/Cairo", "Australia/Perth", "UTC")
    questions = [
        ("convert_time", {"source_timezone": a, "time": f"{hour:02}:30", "target_timezone": b})
        for a in zones
        for b in zones
        for hour in (3, 14)
        if a != b
    ]
    return Server("time", (sys.executable, "-m", "mcp_server_time"), tuple(questions))


def everything_server(npm: Path) -> Server | None:
    """Return npm's reference server, where node and the package are there."""
    program = npm / "node_modules" / ".bin" / "mcp-server-everything"
    if shutil.which("node") is None or not program.exists():
        return None
    sums: list[tuple[str, dict[str, Any]]] = [
        ("get-sum", {"a": a, "b": b}) for a in range(6) for b in range(6)
    ]
    echoes: list[tuple[str, dict[str, Any]]] = [("echo", {"message": f"thread {n}"}) for n in range(30)]
    slow: list[tuple[str, dict[str, Any]]] = [
        ("trigger-long-running-operation", {"duration": tenths / 10, "steps": 2}) for tenths in range(4, 13)
    ]
    return Server("everything", (str(program),), (*sums, *echoes, *slow))


def search_servers(repository: Path, cache: Path) -> list[Server]:
    """Return the three reference search servers, on the standard library; they are asked in words."""
    home = repository / "scripts" / "servers"
    return [
        Server(name, (sys.executable, str(home / f"{name}.py"), "--cache", str(cache)), ())
        for name in ("vector_search", "graph_query", "hybrid_search")
    ]


def servers(repository: Path, npm: Path) -> list[Server]:
    """Return the servers that can run here."""
    found = [git_server(repository), time_server(), everything_server(npm)]
    return [server for server in found if server is not None]


def draw(pool: list[Server], calls: int, rng: random.Random) -> list[dict[str, Any]]:
    """Return `calls` calls, each with a priority from 0 to 10, as the producers read them."""
    drawn: list[dict[str, Any]] = []
    for number in range(calls):
        server = rng.choice(pool)
        tool, arguments = rng.choice(server.questions)
        drawn.append(
            {
                "number": number,
                "capability": server.name,
                "tool": tool,
                "arguments": arguments,
                "priority": rng.choice((1, 2, 5, 5, 5, 7, 8, 9, 10)),
            }
        )
    return drawn


def mcp_json(pool: list[Server]) -> str:
    """Return the pool as the mcp.json that any MCP client would be given."""
    entries = {s.name: {"command": s.command[0], "args": list(s.command[1:])} for s in pool}
    return json.dumps({"mcpServers": entries}, indent=2)


def settings(pool: list[Server], workers: int) -> str:
    """Return the mcpweft.toml: two workers a server, and a queue short enough to fill."""
    parts = ['include = ["mcp.json"]', "[queue]", "bound = 100"]
    parts += [f"[servers.{s.name}]\nworkers = {workers}\nconcurrency = 4" for s in pool]
    return "\n".join(parts) + "\n"
