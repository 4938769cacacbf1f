"""How soon a fabric gets over a fault: 30 trials each, while 20 calls a second run.

Two servers of one pool (4 calls of 50 ms at a time each), a launcher and two more coordinators, 20 calls a
second, safe to run twice. A trial waits until server `a` has begun a call, and strikes at once:

    server SIGKILL, SIGSTOP     the process of `a`; a stopped one goes on after 1.5 s
    server blackhole            the way to an HTTP server lets nothing through for 1.5 s
    server error storm          `a` answers every call with an error for 1.5 s; there it is the first call
                                that meets one, from its beginning on
    worker SIGKILL, SIGSTOP     the worker of `a`; a stopped one goes on after 1.5 s
    coordinator SIGKILL         whoever leads, launchers left out; there it is the slowest call sent until
                                another led
    store restart               the store is killed and started anew; there it is the slowest call sent until
                                it answered again

    scripts/bench failover [--trials 30] [--fault NAME …] [--defaults] [--record]

Heartbeat 100 ms, dead after 500 ms, an attempt 0.5 s, a breaker opens for 1 s; `--defaults` leaves the first
two at 250 ms and 1 s. For each fault, in ms:

detect       from the strike until the fabric had given the attempt on the victim up (for a coordinator: until
             another led; for the store: until it answered again)
answered     from the strike until the struck call's answer: median, p99, worst
misrouted    from the strike until the last attempt on the victim began that came to nothing
restored     from the end of the fault until `a` took a call that it then answered
duplicates, lost    of all calls: begun more than once, by the servers' own logs, and without an answer

When attempts began and ended is what each outcome tells of them, by the store's clock.

p99_ms_worst is the largest p99 of `answered`, the store's restart left out; the aim is 1000 (1600 with
`--defaults`). crash_median_ms is
the largest median of those that the system reports (a process that was killed); the aim is 100.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import realredis
from benchmarks.rig.harness import percentile
from benchmarks.rig.measured import store_of
from benchmarks.rig.report import Report, options, publish
from benchmarks.rig.struck import Struck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.rig.struck import Call

LASTS_S, RECOVERY_S, RESTORED_WITHIN_S = 1.5, 1.0, 20.0
# A launcher takes the death of a younger worker for a crash at its start, and pauses ever longer.
STEADY_S = 10.5
BREAKER = f'[breaker]\nrecovery = "{RECOVERY_S:g}s"\n'
FAST = '[worker]\nheartbeat = "100ms"\ndead_after = "500ms"\n'
CALL = '[call]\nattempt_timeout = "500ms"\n'
FAULTS = (
    "server SIGKILL", "server SIGSTOP", "server blackhole", "server error storm",
    "worker SIGKILL", "worker SIGSTOP", "coordinator SIGKILL", "store restart",
)  # fmt: skip
STORE = "store restart"
CRASHES = ("server SIGKILL", "worker SIGKILL")
Trial = dict[str, float]


async def until_another_leads(fabric: Struck, before: str) -> float:
    """Return when somebody else led, in seconds since 1970."""
    while await fabric.leader() in {before, ""}:  # noqa: ASYNC110  # the store tells nobody who leads
        await asyncio.sleep(0.005)
    return time.time()


async def strike_coordinator(fabric: Struck) -> Trial:
    """Kill whoever leads; a launcher that leads is stopped until it does not."""
    while (leader := await fabric.leader()).endswith("launcher"):
        launcher = fabric.process("launcher").pid
        fabric.signal(launcher, signal.SIGSTOP)
        await until_another_leads(fabric, leader)
        fabric.signal(launcher, signal.SIGCONT)
        await asyncio.sleep(0.5)
    name = leader.rpartition(".")[2]
    process = fabric.process(name)
    process.kill()
    struck = time.time()
    detected = await until_another_leads(fabric, leader)
    between = [nonce for nonce, call in fabric.calls.items() if struck <= call.sent <= detected]
    calls = [await fabric.answered(nonce) for nonce in between]
    process.wait()
    fabric.start_coordinator(name)
    took = max([(call.answered or call.sent + 25) - call.sent for call in calls], default=0.0)
    return {"detect": detected - struck, "answered": took}


async def strike_store(fabric: Struck, store: realredis.RedisServer) -> Trial:
    """Kill the store while a call is under way, and start it on what it has written down."""
    await fabric.in_flight_on("a")
    struck = time.time()
    await asyncio.to_thread(store.kill)
    await asyncio.to_thread(store.start)
    back = time.time()
    between = [
        n for n, call in fabric.calls.items() if (call.answered or back) > struck and call.sent <= back
    ]
    calls = [await fabric.answered(nonce) for nonce in between]
    took = max((call.answered or call.sent + 25) - call.sent for call in calls)
    return {"detect": back - struck, "answered": took}


async def first_hit(fabric: Struck, since: float) -> tuple[str, float]:
    """Return the first call of which an attempt on `a` began after a moment and failed, and when it began."""
    while True:
        for nonce, call in fabric.calls.items():
            if starts := failed_on(call, since):
                return nonce, min(starts) / 1000
        await asyncio.sleep(0.005)


def strikes(fabric: Struck, pid: int) -> dict[str, tuple[Callable[[], None], Callable[[], None] | None]]:
    """Return for each fault what begins it and what ends it; None where it ends by itself."""
    send = fabric.signal

    def worker() -> int:
        return fabric.worker_of(pid)

    if fabric.http:
        return {"server blackhole": (fabric.hole.passes.clear, fabric.hole.passes.set)}
    owner = worker()
    return {
        "server SIGKILL": (lambda: send(pid, signal.SIGKILL), None),
        "server SIGSTOP": (lambda: send(pid, signal.SIGSTOP), lambda: send(pid, signal.SIGCONT)),
        "server error storm": (fabric.storm.touch, lambda: fabric.storm.unlink(missing_ok=True)),
        "worker SIGKILL": (lambda: send(owner, signal.SIGKILL), None),
        "worker SIGSTOP": (lambda: send(owner, signal.SIGSTOP), lambda: send(owner, signal.SIGCONT)),
    }


async def strike(fabric: Struck, fault: str) -> Trial:
    """Strike once, and wait until all is as before."""
    _, pid = await fabric.in_flight_on("a")
    ways = strikes(fabric, pid)  # finding the worker takes a while: the call is taken after it
    nonce, pid = await fabric.in_flight_on("a")
    begin, end = ways[fault]
    begin()
    struck = over = time.time()
    hit = struck
    if fault == "server error storm":  # the call that was under way has passed where errors are made
        nonce, hit = await first_hit(fabric, struck)
    call = await fabric.answered(nonce)
    if end is not None:
        await asyncio.sleep(max(0.0, struck + LASTS_S - time.time()))
        end()
        over = time.time()
    again = await fabric.served_again("a", over, RESTORED_WITHIN_S)
    return {
        "detect": detected(call, hit),
        "answered": (call.answered or hit + 25) - hit,
        "misrouted": max(
            [start / 1000 - struck for each in fabric.calls.values() for start in failed_on(each, struck)],
            default=0.0,
        ),
        "restored": RESTORED_WITHIN_S if again is None else again - over,
    }


def detected(call: Call, struck: float) -> float:
    """Return when the attempt on the victim was given up, after the strike; 0 where it was answered."""
    ends = [
        (each.started_ms + each.took_ms) / 1000
        for each in call.attempts
        if each.server == "a" and each.cause != "OK"
    ]
    return max(0.0, max(ends, default=struck) - struck)


def failed_on(call: Call, struck: float) -> list[int]:
    """Return when attempts of a call on the victim began after the strike and came to nothing."""
    return [
        each.started_ms
        for each in call.attempts
        if each.server == "a" and each.cause != "OK" and each.started_ms > struck * 1000
    ]


async def suffer(url: str, settings: str, faults: list[str], trials: int) -> dict[str, dict[str, Any]]:
    """Return a row for each fault, on one fabric."""
    rows: dict[str, dict[str, Any]] = {}
    for http in (False, True):
        chosen = [fault for fault in faults if fault != STORE and (fault == "server blackhole") == http]
        if not chosen:
            continue
        with tempfile.TemporaryDirectory() as folder:
            async with Struck(Path(folder), url, settings, http=http) as fabric:
                for fault in chosen:
                    rows[fault] = await suffer_one(fabric, fault, trials)
    if STORE in faults:
        rows[STORE] = await suffer_store(settings, trials)
    return rows


async def suffer_store(settings: str, trials: int) -> dict[str, Any]:
    """Return the row of the store's restart, on a store that is there to be killed."""
    binary = realredis.find("valkey") or realredis.find("redis")
    if binary is None:
        raise SystemExit("there is no store here that could be restarted")
    with (
        realredis.RedisServer(binary, appendonly=True, unixsocket=True) as store,
        tempfile.TemporaryDirectory() as folder,
    ):
        async with Struck(Path(folder), store.url, settings, http=False) as fabric:
            return await suffer_one(fabric, STORE, trials, partial(strike_store, store=store))


async def suffer_one(
    fabric: Struck, fault: str, trials: int, way: Callable[[Struck], Awaitable[Trial]] | None = None
) -> dict[str, Any]:
    """Return the row of one fault; with `way` that is how one strikes."""
    if way is None:
        way = strike_coordinator if fault == "coordinator SIGKILL" else partial(strike, fault=fault)
    found: list[Trial] = []
    first = len(fabric.calls)
    for number in range(trials):
        await fabric.both_serve(time.time(), RESTORED_WITHIN_S)
        if fault == "worker SIGKILL":
            await asyncio.sleep(STEADY_S)
        before = set(list(fabric.calls)[first:])
        trial = await way(fabric)
        found.append(trial)
        told = "  ".join(f"{name} {1000 * value:.0f}" for name, value in trial.items())
        print(f"{fault:<20} {number + 1:>3}  {told}  ({len(before)} calls so far)", flush=True)
        await asyncio.sleep(RECOVERY_S)
    await asyncio.sleep(1.0)
    mine = list(fabric.calls.items())[first:-40]  # the last ones may be under way
    begun: dict[str, int] = {}
    for ledger in fabric.ledgers.values():
        for line in ledger.read():
            begun[line["nonce"]] = begun.get(line["nonce"], 0) + 1
    answered = sorted(1000 * trial["answered"] for trial in found)
    return {
        **{
            f"{name}_ms": round(median(1000 * t[name] for t in found), 1)
            for name in ("detect", "misrouted", "restored")
            if name in found[0]
        },
        **{
            f"{name}_worst_ms": round(max(1000 * t[name] for t in found), 1)
            for name in ("misrouted", "restored")
            if name in found[0]
        },
        "median_ms": round(median(answered), 1),
        "p99_ms": round(percentile(answered, 0.99), 1),
        "worst_ms": round(answered[-1], 1),
        "duplicates": sum(begun.get(nonce, 0) > 1 for nonce, _ in mine),
        "lost": sum(call.answered is None or bool(call.error) for _, call in mine),
        "calls": len(mine),
    }


def main() -> None:
    """Strike, and publish what came of it."""
    parser = options(__doc__, rounds=False)
    parser.add_argument("--trials", type=int, default=30, help="strikes of each fault")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="one of them; may be repeated")
    parser.add_argument("--defaults", action="store_true", help="heartbeat and dead_after as they come")
    asked = parser.parse_args()
    settings = CALL + BREAKER + ("" if asked.defaults else FAST)
    with store_of(asked) as store:
        rows = asyncio.run(suffer(store.url, settings, asked.fault or list(FAULTS), asked.trials))
        version = store.version()
    width = max(len(name) for row in rows.values() for name in row)
    for fault, row in rows.items():
        print(fault)
        for name, value in row.items():
            print(f"    {name:<{width}} {value}")
    figures: dict[str, Any] = {
        "p99_ms_worst": max([row["p99_ms"] for fault, row in rows.items() if fault != STORE], default=0),
        "crash_median_ms": max(
            [row["median_ms"] for fault, row in rows.items() if fault in CRASHES], default=0
        ),
        "restored_worst_ms": max(row.get("restored_worst_ms", 0.0) for row in rows.values()),
        "lost": sum(row["lost"] for row in rows.values()),
        "faults": rows,
    }
    goals = {
        "p99_ms_worst": "<= 1600" if asked.defaults else "< 1000",
        "crash_median_ms": "< 100",
        "restored_worst_ms": f"<= {1000 * (RECOVERY_S + 1):g}",
        "lost": "<= 0",
    }
    name = "failover_defaults" if asked.defaults else "failover"
    publish(Report(name=name, rounds=[rows], figures=figures, goals=goals, store=version), asked)


if __name__ == "__main__":
    main()
