"""A search server over stdio, as quick as echo.py: a shelf of books, found by their words.

    python tests/servers/library.py [--ledger FILE] [--writes] [--quick] [--tool NAME]

Its tool is search(query, max_results, threshold, context): each book whose title has a word of the query,
with the part of the query's words that it has as its score. A query may also say `wait N` (answer after N
ms), `fail` (answer an error), `strange` (answer what is no search result) or `crash`. `--writes` leaves out
the annotation that it only reads; `--quick` waits for nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a server gets a bare environment

from servers.echo import READS, Server

BOOKS = (
    "The History of the Zip Archive",
    "Trees and Graphs",
    "A Dictionary of Sockets",
    "Graphs of Dictionaries",
    "The Zip and the Graph",
)
ERA = "2025-06-18"


class Library(Server):
    """One connection."""

    def __init__(self, ledger: str | None, tool: str, *, writes: bool, quick: bool) -> None:
        super().__init__(ERA, ledger)
        self.quick = quick
        texts = {name: {"type": "string"} for name in ("query", "context")}
        numbers = {"max_results": {"type": "integer"}, "threshold": {"type": "number"}}
        listed = {
            "name": tool,
            "description": "Find books.",
            "inputSchema": {"type": "object", "properties": {**texts, **numbers}, "required": ["query"]},
        }
        self.tools = [listed if writes else {**listed, "annotations": READS}]

    def call(self, rid: Any, params: dict[str, Any]) -> None:
        arguments = params["arguments"]
        self.record(params["name"], {**arguments, "_nonce": {**arguments, "_meta": params.get("_meta")}})
        words = str(arguments["query"]).lower().split()
        if "crash" in words:
            os._exit(3)
        if "wait" in words and not self.quick:
            time.sleep(float(words[words.index("wait") + 1]) / 1000)
        if "fail" in words:
            self.text(rid, "the shelf fell over", is_error=True)
        elif "strange" in words:
            self.result(rid, {"content": [], "structuredContent": {"books": 3}})
        else:
            found = sorted(self.found(set(words)), key=lambda each: -each["score"])
            self.result(rid, {"content": [], "structuredContent": {"results": found}})

    @staticmethod
    def found(words: set[str]) -> list[dict[str, Any]]:
        books = []
        for place, title in enumerate(BOOKS):
            own = set(re.findall(r"\w+", title.lower())) & words
            if own:
                books.append(
                    {
                        "content": title,
                        "score": len(own) / len(words),
                        "source": f"shelf/{place}",
                        "metadata": {"words": sorted(own)},
                        "relationships": [{"kind": "beside", "target": f"shelf/{place + 1}"}],
                    }
                )
        return books


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger")
    parser.add_argument("--writes", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tool", default="search")
    options = parser.parse_args()
    try:
        Library(options.ledger, options.tool, writes=options.writes, quick=options.quick).serve()
    except (KeyboardInterrupt, BrokenPipeError):
        os._exit(0)
    os._exit(0)


if __name__ == "__main__":
    main()
