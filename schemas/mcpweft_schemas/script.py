"""The scripts: each move's Lua text, put together from its file and the parts it needs, and run by hash.

A script is addressed by the hash of its text and never replaced under a name, so two versions of this
package work on one store side by side. Nothing here knows what a script means.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from mcpweft_schemas.connect import Link


@dataclass(frozen=True, slots=True)
class Script:
    """One move: its whole text and the hash that the store knows it by."""

    name: str
    text: str
    sha: str

    async def run(self, link: Link, key: str, *args: Any) -> Any:
        """Run the move on `key`; send its text only where the store does not know it yet."""
        try:
            return await link.run("EVALSHA", self.sha, 1, key, *args)
        except NoScriptError:
            return await link.run("EVAL", self.text, 1, key, *args)


def _read(name: str) -> str:
    return resources.files("mcpweft_schemas").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """Return the move of that name. Its first line, `-- needs a b`, names the parts `_a.lua`, `_b.lua`."""
    text = _read(name)
    first, _, rest = text.partition("\n")
    needs = first.removeprefix("-- needs ").split()
    parts = [_read(f"_{part}") for part in needs if part != "nothing"]
    whole = "\n".join([*parts, rest])
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())
