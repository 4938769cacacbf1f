"""The second act: questions about Python's standard library, to three pools of search servers, one hurt.

The servers of one pool are stopped at their work, so that questions lie on them, and one of them is killed:
its questions are answered by the other one. Above stands the demonstration.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from family import server_of
from mcpweft.rag import RagClient, RagSettings

if TYPE_CHECKING:
    from rich.console import Console

    from mcpweft import Client
    from mcpweft.rag import Answer

CALM = (
    ("functions similar to copying a whole directory tree", "shutil"),
    ("something like a dictionary with a default for missing keys", "collections"),
    ("something like a queue that hands out the smallest item first", "queue"),
    ("what is most similar to a stopwatch for small pieces of code", "timeit"),
    ("classes that inherit from concurrent.futures.Executor", "concurrent"),
    ("which modules are related to zipfile", "zip"),
    ("what is connected to json.decoder", "json"),
    ("subclasses of socketserver.BaseServer", "socketserver"),
)
STRUCK = (
    ("Which module reads and writes zip archives?", "zipfile"),
    ("How do I compare two texts line by line?", "difflib"),
    ("How are temporary files made safely?", "tempfile"),
    ("How does a program parse its command line?", "argparse"),
)
"""Each question, and a word that the source of a right answer has."""
POOLS = ("vector_search", "graph_query", "hybrid_search")
_STRUCK_POOL = "hybrid_search"
_IN_FLIGHT_S = 10.0
_SHOWN = 46  # characters of a question


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer."""

    text: str
    expected: str
    answer: Answer

    @property
    def found(self) -> bool:
        """Whether one of the results is from where a right answer is."""
        return any(self.expected in each.source for each in self.answer.results)


async def act(client: Client, console: Console) -> bool:
    """Ask all, the last of them around a kill; return whether each was answered."""
    console.print(
        f"Now {len(CALM) + len(STRUCK)} questions to the search servers, through RagClient. The first ones "
        "wait until the index of the\nstandard library is made; the last ones lie on a server that dies.\n"
    )
    settings = RagSettings(timeout=60.0)
    async with RagClient(client, settings) as rag:
        calm = await asyncio.gather(*(_ask(rag, *each) for each in CALM))
        struck, told = await _around_a_kill(client, rag)
    console.print(_table([*calm, *struck]))
    console.print(told)
    asked = [*calm, *struck]
    right = sum(each.found for each in asked)
    console.print(f"Of {len(asked)} questions {right} have a right source among their first five answers.\n")
    return all(each.answer.results for each in asked)


async def _ask(rag: RagClient, text: str, expected: str) -> Asked:
    return Asked(text, expected, await rag.query(text, threshold=0))


async def _around_a_kill(client: Client, rag: RagClient) -> tuple[list[Asked], str]:
    """Ask while a pool's servers stand still, kill one that has questions, and let the others go on."""
    pool = await client.pool(_STRUCK_POOL)
    pids = {
        worker.id: server_of(worker.pid, f"{_STRUCK_POOL}.py") for worker in pool.workers if worker.usable
    }
    standing = {worker: pid for worker, pid in pids.items() if pid is not None}
    for pid in standing.values():
        os.kill(pid, signal.SIGSTOP)
    asking = [asyncio.create_task(_ask(rag, *each)) for each in STRUCK]
    victim, held = await _holder(client, set(standing))
    os.kill(standing.pop(victim), signal.SIGKILL)
    killed = time.monotonic()
    for pid in standing.values():
        os.kill(pid, signal.SIGCONT)
    struck = list(await asyncio.gather(*asking))
    took = 1000 * (time.monotonic() - killed)
    again = [each for each in struck if len(each.answer.metadata.attempts) > 1]
    heirs = sorted({each.answer.metadata.attempts[-1].worker for each in again})
    return struck, (
        f"SIGKILL: the server of {victim}, with {held} of these questions on it. "
        f"{len(again)} moved to {', '.join(heirs) or 'nobody'}; all were answered {took:.0f} ms later."
    )


async def _holder(client: Client, workers: set[str]) -> tuple[str, int]:
    """Return the worker on which most of the questions lie, and how many; the first where none do."""
    end = time.monotonic() + _IN_FLIGHT_S
    while True:
        pool = await client.pool(_STRUCK_POOL)
        held = {worker.id: worker.in_flight or 0 for worker in pool.workers if worker.id in workers}
        victim = max(held, key=lambda worker: held[worker])
        if sum(held.values()) >= len(STRUCK) or time.monotonic() > end:
            return victim, held[victim]
        await asyncio.sleep(0.05)


def _table(asked: list[Asked]) -> Table:
    table = Table(title="Questions about the standard library", title_justify="left")
    for column in ("question", "went to", "best source", "score", "ms", "tries"):
        table.add_column(column, justify="right" if column in {"score", "ms", "tries"} else "left")
    for each in asked:
        said, best = each.answer.metadata, each.answer.results[:1]
        source = best[0].source if best else "-"
        score = f"{best[0].score:.2f}" if best and best[0].score is not None else "-"
        text = each.text if len(each.text) <= _SHOWN else each.text[: _SHOWN - 1] + "…"
        tries = str(len(said.attempts))
        table.add_row(
            text, said.source or said.capability, source, score, f"{said.processing_time:.0f}", tries
        )
    return table
