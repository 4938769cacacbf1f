"""Which process is a worker's MCP server."""

from __future__ import annotations

import psutil


def server_of(worker: int | None, marker: str) -> int | None:
    """Return the youngest descendant of a worker whose command line has `marker`; None: there is none."""
    try:
        family = psutil.Process(worker).children(recursive=True) if worker else []
        found = [each for each in family if any(marker in word for word in each.cmdline())]
        return max(found, key=lambda each: each.create_time()).pid if found else None
    except psutil.NoSuchProcess:  # it ended while it was looked at
        return None
