"""Runs a server: its flags, its library that is opened in a thread, and its transport.

A server answers `initialize` and lists its tools at once, however long its index takes; a call waits for
it. An index that cannot be had fails the calls with its reason, not the server. Above stand the three
servers. Below are the library and the SDK's transports.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from retrieval.corpus import folder, standard_library

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp.server import MCPServer

    from retrieval.library import Library

READS = ToolAnnotations(
    read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=False
)
"""What every tool here promises: it looks things up, so a call that may have run can simply be made again."""


class Opening:
    """A library that is being opened."""

    def __init__(self) -> None:
        self._library: Future[Library] = Future()

    def begin(self, open_it: Callable[[], Library]) -> None:
        """Open it in a thread, which ends with the process."""
        threading.Thread(target=self._open, args=(open_it,), name="opening", daemon=True).start()

    async def library(self) -> Library:
        """Return it, once it is there.

        Raises:
            ToolError: it cannot be opened.

        """
        try:
            return await asyncio.shield(asyncio.wrap_future(self._library))
        except Exception as exc:  # an embedder of somebody else's may raise anything
            raise ToolError(f"the index cannot be had: {exc}") from exc

    def _open(self, open_it: Callable[[], Library]) -> None:
        try:
            self._library.set_result(open_it())
        except BaseException as exc:  # noqa: BLE001  # whoever waits for it is told
            self._library.set_exception(exc)


def options(description: str | None) -> argparse.Namespace:
    """Read the command line that all three servers have."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--transport", choices=("stdio", "http"), default="stdio")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen, with http")
    parser.add_argument("--port", type=int, default=0, help="the port, with http; any free one by default")
    parser.add_argument(
        "--corpus", type=Path, metavar="DIR", help="a folder to search; by default Python's standard library"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="where indexes are kept; by default the user's cache"
    )
    parser.add_argument(
        "--embedder",
        metavar="MODULE:NAME",
        help="what makes vectors; by default TF-IDF and its decomposition",
    )
    return parser.parse_args()


def serve(server: MCPServer, opening: Opening, asked: argparse.Namespace) -> None:
    """Open the library and serve until the transport ends; over HTTP, say first where."""
    opening.begin(lambda: _open(asked))
    if asked.transport == "stdio":
        server.run("stdio")
        return
    listener = socket.create_server((asked.host, asked.port))
    address = f"http://{asked.host}:{listener.getsockname()[1]}/mcp"
    print(f"listening on {address}", file=sys.stderr, flush=True)
    config = uvicorn.Config(server.streamable_http_app(host=asked.host), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def _open(asked: argparse.Namespace) -> Library:
    from retrieval.embedder import load_embedder  # noqa: PLC0415  # numpy and networkx load while clients are greeted
    from retrieval.latent import Latent  # noqa: PLC0415  # likewise
    from retrieval.library import open_library  # noqa: PLC0415  # likewise

    corpus = folder(asked.corpus) if asked.corpus else standard_library()
    embedder = load_embedder(asked.embedder) if asked.embedder else Latent()
    return open_library(corpus, embedder, asked.cache)
