"""Who runs which move, and which commands a move's script can reach: both read from the sources.

Above stand the tests of docker/users.acl. Nothing here speaks to a store.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LUA = ROOT / "schemas" / "mcpweft_schemas" / "lua"
MOVES = frozenset(path.stem for path in LUA.glob("[!_]*.lua"))
_LEADING = [f"schemas/mcpweft_schemas/{name}.py" for name in ("rounds", "tenure", "herald")]
SOURCES = {
    "producer": ["producer/mcpweft/*.py", "producer/mcpweft/analytics/*.py"],
    "admin": ["producer/mcpweft/*.py", "producer/mcpweft/analytics/*.py", "producer/mcpweft/cli/*.py"],
    "worker": ["workers/mcpweft_workers/*.py", *_LEADING],
    "coordinator": ["coordinator/mcpweft_coordinator/*.py", *_LEADING],
}
"""Role → the sources that call the store on its behalf."""
_CONTAINERS = {"XGROUP", "XINFO"}


def moves_of(role: str) -> frozenset[str]:
    """Return the moves that a role's sources call."""
    texts = [path.read_text() for pattern in SOURCES[role] for path in ROOT.glob(pattern)]
    return MOVES & {name for text in texts for name in re.findall(r"store\.(\w+)\(", text)}


@cache
def commands_of(move: str) -> frozenset[str]:
    """Return the commands that a move can run, as ACL rules spell them."""
    text = (LUA / f"{move}.lua").read_text()
    needs = [part for part in text.partition("\n")[0].removeprefix("-- needs ").split() if part != "nothing"]
    functions: dict[str, str] = {}
    for part in needs:
        source = (LUA / f"_{part}.lua").read_text()
        outside, inside = _parted(source)
        functions |= inside
        text += outside
    reached: set[str] = set()
    while more := {name for name in functions.keys() - reached if re.search(rf"\b{name}\b", text)}:
        reached |= more
        text += "".join(functions[name] for name in more)
    found = re.findall(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?", text)
    return frozenset(f"{c}|{sub}".lower() if c in _CONTAINERS else c.lower() for c, sub in found)


def _parted(source: str) -> tuple[str, dict[str, str]]:
    """Return what always runs, and each function's text by its name."""
    outside, functions, name = "", dict[str, str](), ""
    for line in source.splitlines(keepends=True):
        head = re.match(r"local function (\w+)", line)
        name = head[1] if head else name
        if name:
            functions[name] = functions.get(name, "") + line
        elif not line.startswith("--"):
            outside += line
        if line == "end\n" or (head and line.endswith(" end\n")):
            name = ""
    return outside, functions
