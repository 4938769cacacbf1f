"""A fabric built by a workload's blueprint: real workers, real servers, a coordinator whose strategy changes.

    async with Staffed(folder, store_url, "W2", 0.6) as fabric:
        await fabric.use("predictive")
        figures = await fabric.run(warm_up=10, seconds=60, seed=1)

Above stands strategies_real.py. It must never judge.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.rig.blueprint import Blueprint
from benchmarks.rig.fabric import START_S, Fabric
from benchmarks.rig.harness import Figures, percentile
from mcpweft import McpweftError
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

_LABOUR = Path(__file__).parent / "labour.py"
_TIMEOUT_S = 120.0


class Staffed:
    """The fabric of one workload at one load, in a namespace of its own."""

    def __init__(self, folder: Path, url: str, workload: str, load: float) -> None:
        self._folder = folder
        self._of = workload, load
        self._plan = Blueprint.of(workload, load)
        namespace = f"{workload}-{load:g}".lower().replace(".", "-")
        usable = sum(len(bound.pools) for bound in self._plan.bound)
        self._fabric = Fabric(folder, url, namespace, self._toml(), usable=usable)

    async def __aenter__(self) -> Self:
        await self._fabric.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._fabric.__aexit__(*error)

    def _toml(self) -> str:
        workload, load = self._of
        parts: list[str] = []
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

    async def use(self, strategy: str) -> None:
        """Have another strategy divide the work, from now on."""
        await self._fabric.admin.set_strategy(None, strategy)
        await until(lambda: self._in_force(strategy), START_S)

    async def _in_force(self, strategy: str) -> bool:
        return {pool.strategy for pool in (await self._fabric.client.status()).pools} == {strategy}

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
                result = await self._fabric.client.call(f"{pool}.work", arguments, timeout=_TIMEOUT_S)
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
