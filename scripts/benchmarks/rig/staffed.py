"""A fabric built by a workload's blueprint: real workers, real servers, a coordinator whose strategy changes.

    async with Staffed(folder, store_url, "W2", 0.6) as fabric:
        await fabric.use("predictive")
        figures = await fabric.run(warm_up=10, seconds=60, seed=1)

Above stands strategies_real.py. It must never judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.rig.blueprint import Blueprint
from benchmarks.rig.harness import Figures, percentile
from mcpweft import Client, McpweftError
from mcpweft_coordinator.admin import Admin
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

_LABOUR = Path(__file__).parent / "labour.py"
_PROGRAM = str(Path(sys.executable).parent / "mcpweft")
_START_S, _STOP_S = 60.0, 15.0
_TIMEOUT_S = 120.0


class Staffed:
    """The fabric of one workload at one load, in a namespace of its own."""

    def __init__(self, folder: Path, url: str, workload: str, load: float) -> None:
        self._folder = folder
        self._url = url
        self._of = workload, load
        self._plan = Blueprint.of(workload, load)
        self._namespace = f"{workload}-{load:g}".lower().replace(".", "-")
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._folder.mkdir()
        config = self._folder / "mcpweft.toml"
        config.write_text(self._toml())
        log = self._stack.enter_context((self._folder / "launcher.log").open("wb"))
        command = [_PROGRAM, "coordinator", "--launch", "--config", str(config)]
        self._launcher = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log
        )
        self._stack.push_async_callback(self._end)
        self._client = await self._stack.enter_async_context(Client(self._url, namespace=self._namespace))
        self._admin = await self._stack.enter_async_context(Admin(self._url, self._namespace))
        await until(self._all_usable, _START_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        self._launcher.terminate()
        try:
            await asyncio.wait_for(self._launcher.wait(), _STOP_S)
        except TimeoutError:
            self._launcher.kill()

    def _toml(self) -> str:
        workload, load = self._of
        parts = [f'namespace = "{self._namespace}"\n[redis]\nurl = "{self._url}"\n']
        for bound in self._plan.bound:
            args = ["-P", str(_LABOUR), "--workload", workload, "--load", str(load), "--server", bound.server]
            args += ["--ledger", str(self._folder / f"ledger-{bound.server}")]
            parts.append(
                f"[servers.{bound.server}]\n"
                f"command = {json.dumps(sys.executable)}\nargs = {json.dumps(args)}\n"
                f"capabilities = {json.dumps(bound.pools)}\nconcurrency = {bound.concurrency}\n"
                'idempotent = ["*"]\n'
            )
        return "\n".join(parts)

    async def _all_usable(self) -> bool:
        status = await self._client.status()
        usable = sum(worker.usable for pool in status.pools for worker in pool.workers)
        return usable == sum(len(bound.pools) for bound in self._plan.bound)

    async def use(self, strategy: str) -> None:
        """Have another strategy divide the work, from now on."""
        await self._admin.set_strategy(None, strategy)
        await until(lambda: self._in_force(strategy), _START_S)

    async def _in_force(self, strategy: str) -> bool:
        return {pool.strategy for pool in (await self._client.status()).pools} == {strategy}

    async def run(self, *, warm_up: float, seconds: float, seed: str) -> Figures:
        """Let requests arrive for so long and return what came of those that came after the warm-up.

        throughput (1/s), p50, p95, p99 (ms from when a request was due to its answer), failed, and
        misattributed: answers said to be of another server than the one that wrote their nonce down.
        """
        zero = time.time()
        found: list[tuple[float, float, str, str]] = []
        failed: list[str] = []

        async def one(pool: str, due: float, nonce: str) -> None:
            arguments = {"zero": zero, "nonce": nonce}
            try:
                result = await self._client.call(f"{pool}.work", arguments, timeout=_TIMEOUT_S)
            except McpweftError as error:
                failed.append(str(error))
            else:
                found.append((due, time.time() - zero - due, nonce, result.server))

        async def arrive(pool: str, rate: Callable[[float], float]) -> None:
            rng = random.Random(f"{seed}.{pool}")  # noqa: S311  # arrivals, the same for each strategy
            due, number = 0.0, 0
            async with asyncio.TaskGroup() as calls:
                while True:
                    due += rng.expovariate(rate(due))
                    if due >= warm_up + seconds:
                        return
                    await asyncio.sleep(max(0.0, zero + due - time.time()))
                    calls.create_task(one(pool, due, f"{zero:.3f}.{pool}.{number}"))
                    number += 1

        async with asyncio.TaskGroup() as pools:
            for pool, rate in self._plan.rates.items():
                pools.create_task(arrive(pool, rate))
        took = [1000 * each for due, each, _, _ in found if due >= warm_up]
        ended = sum(warm_up <= due + each < warm_up + seconds for due, each, _, _ in found)
        written = self._written()
        return {
            "throughput": ended / seconds,
            **{f"p{part}": percentile(took, part / 100) for part in (50, 95, 99)},
            "failed": float(len(failed)),
            "misattributed": float(sum(written.get(nonce) != server for _, _, nonce, server in found)),
        }

    def _written(self) -> dict[str, str]:
        """Return nonce → the server that began it, the last one where there were several."""
        return {
            json.loads(line)["nonce"]: bound.server
            for bound in self._plan.bound
            for line in (self._folder / f"ledger-{bound.server}").read_text().splitlines()
        }
