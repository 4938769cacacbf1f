"""Helpers for the tests of services that call tools through mcpweft; docs/testing.md shows how they are used.

    mcpweft_fake          a Client that is answered by what the test says, with no store and no server
    mcpweft_fake_sync     the same for SyncClient
    mcpweft_fabric        a whole fabric in the test's process, with a server that is an object

`plugin` brings the three to pytest, which loads it wherever this distribution is installed. Nothing here is
imported by `import mcpweft`. What stands here is for annotations, and is loaded on its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcpweft.testing.answer import Answers
    from mcpweft.testing.call import Call, Calls
    from mcpweft.testing.fabric import Fabric
    from mcpweft.testing.fake import FakeClient, FakeSyncClient

_HOME = {
    "Answers": "mcpweft.testing.answer",
    "Call": "mcpweft.testing.call",
    "Calls": "mcpweft.testing.call",
    "Fabric": "mcpweft.testing.fabric",
    "FakeClient": "mcpweft.testing.fake",
    "FakeSyncClient": "mcpweft.testing.fake",
}

__all__ = ["Answers", "Call", "Calls", "Fabric", "FakeClient", "FakeSyncClient"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'mcpweft.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
