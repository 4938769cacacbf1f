"""`python -m mcpweft_workers --spare`: load what workers need, then wait to be told which one to be.

A launcher keeps one such process (`mcpweft_coordinator.spare`) and writes one JSON object to its standard
input: `{"argv": [what follows the program], "environ": {name: value}}`. From then on it is that worker. Where
the input ends without a word, it ends too.

Above stands `__main__`. Nothing here may connect to anything or start a thread: nobody has said for whom.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

_LIBRARIES = (
    "mcpweft_workers.command", "mcpweft_workers.entry", "mcpweft_workers.stdio", "mcpweft_workers.http",
    "mcpweft_schemas.tomlfile", "mcpweft_schemas.locate",
)  # fmt: skip


def wait() -> bool:
    """Load the libraries and wait; return whether this process is a worker now, as `sys.argv` says."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    said = sys.stdin.buffer.read()
    if not said:
        return False
    order = json.loads(said)
    sys.argv[1:] = order["argv"]
    os.environ.update(order["environ"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # as any worker's
    os.close(nothing)
    return True
