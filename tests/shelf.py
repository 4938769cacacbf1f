"""A fabric whose pools are search servers, and a fallback beside it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mcpweft import Client
from mcpweft.rag import RagClient, RagSettings
from mcpweft_schemas.config import Config, ServerConfig
from workbench import SERVERS

if TYPE_CHECKING:
    from pathlib import Path

    from workbench import Bench

POOLS = ["vector_search", "graph_query", "hybrid_search"]


class Shelf:
    """A bench whose one server, `echo` by name, is a library; and libraries to fall back on."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.beside = bench.ledger.with_name("beside")

    def config(self, *flags: str, **sections: Any) -> Config:
        args = [str(SERVERS / "library.py"), "--ledger", str(self.bench.ledger), *flags]
        return self.bench.config({"args": args, "capabilities": POOLS}, **sections)

    def fallback(self, *flags: str) -> ServerConfig:
        args = [str(SERVERS / "library.py"), "--ledger", str(self.beside), *flags]
        said = {"beside": {"command": sys.executable, "args": args, "mode": "legacy"}}
        return Config.model_validate({"servers": said}).servers["beside"]

    def worker(self, *flags: str, **options: Any) -> Any:
        return self.bench.worker(self.config(*flags), **options)

    def client(self, url: str | None = None) -> Client:
        return Client(url or self.bench.url, namespace=self.bench.namespace)

    def rag(self, url: str | None = None, **settings: Any) -> RagClient:
        said: dict[str, Any] = {"timeout": 20.0, **settings}
        return RagClient(self.client(url), RagSettings(**said))

    def asked(self) -> list[dict[str, Any]]:
        """The questions that reached the fabric's server."""
        return _lines(self.bench.ledger)

    def asked_beside(self) -> list[dict[str, Any]]:
        """The questions that reached the fallback."""
        return _lines(self.beside)


def _lines(ledger: Path) -> list[dict[str, Any]]:
    if not ledger.exists():
        return []
    return [json.loads(line)["nonce"] for line in ledger.read_text().splitlines()]
