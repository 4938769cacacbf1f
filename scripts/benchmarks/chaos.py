"""Faults at scale: a blow a second on a fabric at work, and what everybody's logs prove of it in the end.

Four producers, eight workers of two pools, two coordinators and a store with an append-only file, each a
process of its own. Calls of all kinds: safe and unsafe, all priorities, deadlines, delays, cancels, progress,
idempotency keys. Blows: SIGKILL and SIGSTOP of each role and of the store; servers that crash, hang, write
garbage or answer hugely; ways to the store that are slow, half-open, cut before or after the command, or
that trickle; CLIENT KILL, CLIENT PAUSE, SCRIPT FLUSH, memory full. The same seed deals the same blows and
makes the same calls.

    scripts/bench chaos [--requests 10000] [--seed 1] [--mean 1.0] [--fsync always] [--record]

The store writes its file before it answers (`--fsync always`): what it has acknowledged is then there after
its SIGKILL, so that whatever goes wrong is the fabric's fault. With `--fsync everysec` a store that is killed
while its disk is busy may itself forget what it acknowledged (docs/guarantees.md), and that shows here as a
request that ran and is said not to have.

violations      the sum of those that follow; it ends with 1 where there is any
lost            accepted requests without an outcome, or that never ended
doubled         requests with two outcomes, or two accounts of one
invented        outcomes and executions that nobody asked for, or that say what is not true
misdelivered    what came to somebody else
over_executed   what ran more often than it may: once, where that does harm
hung            calls that never came back
leaked_keys, leaked_processes, broken    what was left behind, and processes that broke
recovery_p50_ms, recovery_p95_ms, recovery_max_ms    by kind of blow: from the moment it was over until the
                first answer to a request that was accepted after that moment
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import realredis
from benchmarks.rig.harness import percentile
from benchmarks.rig.report import Report, options, publish
from chaos.storm import Verdict, storm

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

SAID = 20
"""Violations of a kind that are told."""
_MS = 1000


def figures(verdict: Verdict) -> dict[str, Any]:
    """Return what the last line says."""
    counts = {kind: len(found) for kind, found in verdict.violations.items()}
    recovery = sorted(verdict.recovery.items())
    return {
        "violations": sum(counts.values()),
        **counts,
        "requests": verdict.requests,
        "seconds": verdict.seconds,
        "blows": dict(sorted(verdict.blows.items())),
        "codes": dict(verdict.codes.most_common()),
        "recovery_p50_ms": {kind: percentile(found, 0.5) * _MS for kind, found in recovery},
        "recovery_p95_ms": {kind: percentile(found, 0.95) * _MS for kind, found in recovery},
        "recovery_max_ms": {kind: max(found) * _MS for kind, found in recovery},
    }


def tell(verdict: Verdict, told: dict[str, Any]) -> None:
    """Print the tables."""
    print(f"\n{'blow':<26} {'dealt':>6} {'recovery p50':>13} {'p95':>9} {'max':>9}  ms")
    for kind, p50 in told["recovery_p50_ms"].items():
        p95, most = told["recovery_p95_ms"][kind], told["recovery_max_ms"][kind]
        print(f"{kind:<26} {verdict.blows[kind]:>6} {p50:>13.0f} {p95:>9.0f} {most:>9.0f}")
    print(f"\n{verdict.requests} requests in {verdict.seconds:.0f} s ended as {told['codes']}")
    for kind, found in verdict.violations.items():
        print(f"{kind:<18} {len(found)}")
        for sentence in found[:SAID]:
            print(f"    {sentence}")


def plot(verdict: Verdict) -> Callable[[Any], None]:
    """Return what draws each recovery as a dot, a line for each kind of blow."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        kinds = sorted(verdict.recovery, reverse=True)
        for place, kind in enumerate(kinds):
            values = [max(1.0, found * _MS) for found in verdict.recovery[kind]]
            axes.plot(values, [place] * len(values), "|", color="#369", markersize=9)
        axes.set_yticks(range(len(kinds)), kinds, fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("ms from the end of the blow to the first answer to a request accepted since")

    return draw


async def run(asked: Namespace, server: realredis.RedisServer) -> Verdict:
    """Let the storm break."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        return await storm(
            requests=asked.requests,
            seed=asked.seed,
            folder=Path(folder),
            server=server,
            mean=asked.mean,
            tell=say,
        )


def main() -> None:
    """Run and publish."""
    parser = options(__doc__, rounds=False)
    parser.add_argument("--requests", type=int, default=10_000, help="requests to make")
    parser.add_argument("--seed", type=int, default=1, help="of the blows and of the calls")
    parser.add_argument("--mean", type=float, default=1.0, help="seconds from blow to blow, on average")
    parser.add_argument("--fsync", choices=["always", "everysec"], default="always", help="of the store")
    asked = parser.parse_args()
    kind = "redis" if asked.redis else "valkey"
    binary = realredis.find(kind)
    if binary is None:
        raise SystemExit(f"there is no {kind} server here")
    with realredis.RedisServer(binary, appendonly=True, extra=("--appendfsync", asked.fsync)) as server:
        verdict = asyncio.run(run(asked, server))
    told = {"seed": asked.seed, "fsync": asked.fsync, **figures(verdict)}
    tell(verdict, told)
    report = Report(
        name="chaos", rounds=[], figures=told, goals={"violations": "<= 0"}, store=kind, plot=plot(verdict)
    )
    publish(report, asked)
    sys.exit(told["violations"] > 0)


if __name__ == "__main__":
    main()
