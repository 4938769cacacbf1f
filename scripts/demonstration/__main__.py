"""The main job on real input, on the embedded store: two producers, real MCP servers, three kills, one proof.

First hundreds of calls, then a dozen questions in words to three pools of search servers.

Exit code 0 means that every call that was accepted ended once, with the right answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live

import plan
import questions
import report
from family import server_of
from mcpweft import Client, WorkerView
from truth import ask_directly

if TYPE_CHECKING:
    from mcpweft import FleetStatus

CALLS = 700
PRODUCERS = 2
WORKERS = 2
START_WITHIN_S = 60.0
END_WITHIN_S = 120.0
HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


class Stage:
    """The fabric, started as a newcomer would: `mcpweft up` in a folder with an mcp.json."""

    def __init__(self, folder: Path, pool: list[plan.Server]) -> None:
        self.folder = folder
        self.pool = pool
        self.name = f"demo-{os.getpid()}"
        (folder / "mcp.json").write_text(plan.mcp_json(pool), encoding="utf-8")
        (folder / "mcpweft.toml").write_text(plan.settings(pool, WORKERS), encoding="utf-8")
        self.log = (folder / "up.log").open("w", encoding="utf-8")
        self.up = subprocess.Popen(
            [sys.executable, "-m", "mcpweft", "up", "--name", self.name],
            cwd=folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    async def ready(self) -> Client:
        """Return an open client once every pool has all its workers at work."""
        end = time.monotonic() + START_WITHIN_S
        while time.monotonic() < end and self.up.poll() is None:
            with suppress(Exception):  # the fabric is not announced yet, or still starting
                client = await Client(name=self.name).open()
                while time.monotonic() < end and self.up.poll() is None:
                    status = await client.status()
                    pools = {p.capability: sum(w.usable for w in p.workers) for p in status.pools}
                    if all(pools.get(server.name, 0) >= WORKERS for server in self.pool):
                        return client
                    await asyncio.sleep(0.1)
                await client.close()
            await asyncio.sleep(0.1)
        raise SystemExit("the fabric did not start:\n" + (self.folder / "up.log").read_text(encoding="utf-8"))

    def close(self) -> int:
        """Stop the fabric as Ctrl-C does; return how it ended."""
        self.up.send_signal(signal.SIGINT)
        try:
            return self.up.wait(30)
        except subprocess.TimeoutExpired:
            self.up.kill()
            return -1
        finally:
            self.log.close()


class Director:
    """Runs the producers, watches, and kills in the middle."""

    def __init__(self, stage: Stage, client: Client, calls: list[dict[str, Any]]) -> None:
        self.stage = stage
        self.client = client
        self.calls = calls
        self.outcomes: dict[int, dict[str, Any]] = {}
        self.victims: dict[str, str] = {}
        self.events: list[str] = []

    def _producers(self) -> list[subprocess.Popen[bytes]]:
        started: list[subprocess.Popen[bytes]] = []
        for index in range(PRODUCERS):
            share = self.stage.folder / f"plan-{index}.json"
            share.write_text(json.dumps(self.calls[index::PRODUCERS]), encoding="utf-8")
            program = [sys.executable, str(HERE / "producer.py"), str(share), str(self._lines(index))]
            started.append(subprocess.Popen([*program, self.stage.name]))
        return started

    def _lines(self, index: int) -> Path:
        return self.stage.folder / f"outcomes-{index}.jsonl"

    def _read(self) -> None:
        for index in range(PRODUCERS):
            path = self._lines(index)
            if path.exists():
                for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
                    if text.endswith("\n"):
                        line = json.loads(text)
                        self.outcomes[line["number"]] = line

    async def run(self, console: Console) -> None:
        """Let the producers send everything, with the kills at a third and at a half of it."""
        producers = self._producers()
        end = time.monotonic() + END_WITHIN_S
        try:
            with Live(console=console, refresh_per_second=8, transient=not console.is_terminal) as screen:
                while time.monotonic() < end:
                    over = all(producer.poll() is not None for producer in producers)
                    self._read()
                    status = await self.client.status()
                    accepted = sum(pool.accepted for pool in status.pools)
                    screen.update(report.live(status, accepted, len(self.outcomes), self.events))
                    self._strike(status, console)
                    if over:
                        break
                    await asyncio.sleep(0.1)
        finally:
            for producer in producers:
                producer.kill()
                producer.wait()

    def _strike(self, status: FleetStatus, console: Console) -> None:
        done = len(self.outcomes) / len(self.calls)
        if done > 1 / 3 and not self.victims:
            self._kill(status, console, whole_worker=True)
        elif done > 1 / 2 and len(self.victims) == 1:
            self._kill(status, console, whole_worker=False)

    def _kill(self, status: FleetStatus, console: Console, *, whole_worker: bool) -> None:
        busy = [
            worker
            for pool in status.pools
            for worker in pool.workers
            if worker.pid and worker.usable and worker.in_flight and worker.id not in self.victims
        ]
        if not busy:
            return  # nobody is in the middle of anything just now: strike at the next look
        # One whose calls take a while really holds them when it dies.
        slow = ("git", "everything") if whole_worker else ("everything", "git")
        ranks = {name: rank for rank, name in enumerate(reversed(slow), start=1)}
        worker = max(busy, key=lambda each: (ranks.get(each.server, 0), each.in_flight or 0))
        pid = worker.pid if whole_worker else server_of(worker.pid, self._marker(worker))
        if pid is None:
            return
        os.kill(pid, signal.SIGKILL)
        what = f"worker {worker.id}" if whole_worker else f"the MCP server of {worker.id}"
        self.victims[worker.id] = what
        self.events.append(f"SIGKILL: {what} (pid {pid}), with {worker.in_flight} calls in flight")
        if not console.is_terminal:
            console.print(self.events[-1])

    def _marker(self, worker: WorkerView) -> str:
        """Return the word of the server's command line by which its process is known."""
        command = next(server.command for server in self.stage.pool if server.name == worker.server)
        return next(word for word in reversed(command) if "mcp" in word.rpartition("/")[2])


async def main() -> int:
    """Run the demonstration; return the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 110, soft_wrap=False)
    npm = Path(os.environ.get("MCPWEFT_DEMO_NPM", "node_modules"))
    pool = plan.servers(CHECKOUT, npm)
    searchers = plan.search_servers(CHECKOUT, Path(os.environ.get("MCPWEFT_DEMO_INDEX", "index")))
    seed = random.SystemRandom().randrange(10_000)
    calls = plan.draw(pool, CALLS, random.Random(seed))  # noqa: S311  # a draw of questions, no secret
    names = ", ".join(server.name for server in [*pool, *searchers])
    console.rule("mcpweft")
    console.print(f"Starting `mcpweft up` with {WORKERS} workers for each of these MCP servers: {names}.")
    with tempfile.TemporaryDirectory(prefix="mcpweft-demo-") as folder:
        stage = Stage(Path(folder), [*pool, *searchers])
        try:
            client = await stage.ready()
            console.print(
                f"{PRODUCERS} producer processes now make {CALLS} calls of mixed priority (seed {seed}) "
                "through a queue that holds 100 a pool.\nIn the middle, a worker and a server are killed.\n"
            )
            director = Director(stage, client, calls)
            await director.run(console)
            accepted = sum(pool_view.accepted for pool_view in (await client.status()).pools)
            console.print(report.summary(calls, director.outcomes))
            console.print(report.moved(director.outcomes, director.victims))
            answered = await questions.act(client, console)
            console.print(report.standing(await client.status()))
            console.print(report.measured(await client.analytics("10m")))
            await client.close()
            ended = stage.close()
        finally:
            if stage.up.poll() is None:
                stage.close()
        console.print("Asking the same servers the same questions directly, without the fabric …")
        truth = await ask_directly(pool, calls)
        proof = report.prove(calls, director.outcomes, accepted, truth)
        for text in proof.lines():
            console.print("  " + text)
        for line in director.outcomes.values():
            if line["code"] != "OK":
                console.print(f"  call {line['number']}: {line['error']}", style="red")
        killed = len(director.victims) == 2  # noqa: PLR2004  # a worker and a server
        good = proof.holds and killed and answered and ended == 0
        verdict = "Nothing was lost, doubled or mixed up." if good else "Something is off: see above."
        console.print(verdict, style="bold green" if good else "bold red")
        return 0 if good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
