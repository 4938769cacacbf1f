"""What a worker needs to know to reach its one MCP server.

Above stand the worker's composition (which fills it from config) and the session. Below: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One MCP server: a stdio command, a URL, or an object in this process. Seconds and bytes."""

    name: str
    kind: Literal["stdio", "http", "sse", "app"] = "stdio"
    command: tuple[str, ...] = ()
    """stdio: the program and its arguments; no shell."""
    env: dict[str, str] = field(default_factory=dict)
    """stdio: added to the few variables that every server gets (PATH, HOME, …)."""
    cwd: str | None = None
    url: str = ""
    """http, sse: the endpoint."""
    headers: dict[str, str] = field(default_factory=dict)
    app: str = ""
    """app: `module:attribute`, an MCPServer."""
    mode: Literal["auto", "legacy", "2026-07-28"] = "auto"
    """The era to speak: the newest with a fallback, the handshake of 2025-11-25 and before, the newest."""
    connect_timeout: float = 10.0
    """From the start of the process until its tools are listed."""
    discover_timeout: float = 3.0
    """auto: how long a server may be silent on the newest greeting before the old one is tried too."""
    close_grace: float = 1.0
    """stdio: time to exit by itself once stdin is closed, and again after SIGTERM."""
    max_line: int = 8 * MIB
    """stdio: the longest line a server may write."""
    max_result: int = 16 * MIB
    """http, sse: the largest answer."""
