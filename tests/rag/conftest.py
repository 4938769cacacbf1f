"""A small corpus, the standard library's index, and sessions with the reference servers."""

from __future__ import annotations

import contextlib
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client

from retrieval.corpus import Corpus, folder, standard_library
from retrieval.latent import Latent
from retrieval.library import Library, open_library

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ROOT = Path(__file__).parents[2]
SERVERS = ROOT / "scripts" / "servers"
FILES = {
    "guide.md": """# Sailing for beginners

How to sail a small boat, and come back.

## Knots

The bowline makes a loop at the end of a rope that holds under load. See [weather](notes/weather.md).

```sh
# not a heading
```

## Wind and sails

Trim the sails until they stop to flutter. Close to the wind the boat heels.
""",
    "notes/weather.md": """Weather
=======

Falling pressure brings rain and a gale. Reef the mainsail before the wind grows.
""",
    "notes/engine.txt": "Change the oil of the diesel engine every hundred hours.\n",
    "boat/__init__.py": '''"""Everything about a boat."""
from .hull import *
from .rig import Mast as Pole
''',
    "boat/hull.py": '''"""The hull: planks, keel and rudder."""
import json

__all__ = ["Hull", "float_on"]


class Hull:
    """Keeps the water out."""

    def steer(self, angle):
        """Turn the rudder by an angle."""
        return float_on(json.dumps(angle))

    def _secret(self):
        """Nobody is told."""


def float_on(water, *, depth=1, **more):
    """Let the hull swim on the water."""
''',
    "boat/rig.py": '''"""Mast, boom and shrouds."""
from boat import hull
from boat.hull import Hull as Body
import threading as th


class Mast(Body):
    """Carries the sails."""

    def raise_sail(self):
        """Hoist a sail up the mast."""
        hull.float_on(1)
        self.steer(2)


class Winch(th.Thread):
    """Pulls ropes in a thread of its own."""
''',
    "boat/sunk.py": "raise SystemExit('this was run')\n",
    "boat/broken.py": "def broken(:\n",
    "boat/table.bin": "not text",
}


def write_files(root: Path) -> Path:
    """Write the small corpus below a folder."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def small(tmp_path: Path) -> Corpus:
    """The small corpus, a test's own."""
    return folder(write_files(tmp_path / "sailing"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def sailing(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The library of the small corpus, to look at only."""
    root = shared / "sailing"
    with contextlib.suppress(OSError):  # another process was first: the folder comes whole, or not at all
        write_files(tmp_path_factory.mktemp("made")).rename(root)
    return open_library(folder(root), Latent(), shared / "indexes")


@pytest.fixture(scope="session")
def stdlib(shared: Path) -> Library:
    """The library of Python's standard library, made once in a test run."""
    return open_library(standard_library(), Latent(), shared / "indexes")


@asynccontextmanager
async def talking(name: str, *arguments: str | Path, **environment: str) -> AsyncGenerator[Client]:
    """A session with a server over stdio."""
    command = [str(SERVERS / f"{name}.py"), *map(str, arguments)]
    paths = os.pathsep.join([str(ROOT / "tests"), *sys.path])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, **environment}
    parameters = StdioServerParameters(command=sys.executable, args=command, env=env)
    async with Client(stdio_client(parameters)) as client:
        yield client


async def found(client: Client, query: str, **more: Any) -> list[dict[str, Any]]:
    """The results of a search that must succeed."""
    answer = await client.call_tool("search", {"query": query, **more})
    assert not answer.is_error, answer.content
    assert answer.structured_content is not None
    results: list[dict[str, Any]] = answer.structured_content["results"]
    return results


def names(results: list[dict[str, Any]]) -> list[str]:
    """What was found, by name."""
    return [result["metadata"]["name"] for result in results]
