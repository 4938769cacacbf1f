"""n servers do n times the work of one: 64 calls outstanding, servers of 50 ms, n = 1, 2, 4, 8.

    bare n      n of the SDK's clients, each with a server and one call outstanding
    fabric n    n workers, each with a server, and a producer with 64 calls outstanding

Above stands claims.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.experiments.trial import NO_SPARE, POOL, Experiment, Row, Site, section, through, told
from benchmarks.rig.bare import opened
from benchmarks.rig.fabric import Fabric
from benchmarks.rig.host import service_s, sleeper
from benchmarks.rig.load import closed_loop
from benchmarks.rig.tally import Said

if TYPE_CHECKING:
    from benchmarks.rig.harness import Rounds
    from benchmarks.rig.notebook import Found
    from benchmarks.rig.tally import Call

NUMBERS = (1, 2, 4, 8)
MS, OUTSTANDING, SECONDS, SETTLE_S, TIMEOUT_S = 50.0, 64, 20.0, 1.0, 60.0
CLAIM = "2 servers +80 to 120 %, 4: +200 to 300 %, 8: +400 to 600 %"


async def measure(site: Site) -> Found:
    """Measure one arm."""
    kind, _, count = site.arm.partition(" ")
    number = int(count)
    ledgers = {f"s{index}": site.folder / f"ledger-{index}" for index in range(number)}
    commands = [sleeper(MS, ledger) for ledger in ledgers.values()]
    tally = site.tally(TIMEOUT_S)

    async def load(call: Call, outstanding: int) -> float:
        seconds, settle = SECONDS * site.length, min(SETTLE_S, SECONDS * site.length)
        return (
            await closed_loop(lambda: tally.call(call), in_flight=outstanding, seconds=seconds, settle=settle)
        )["rate"]

    if kind == "bare":
        async with opened(commands) as bare:

            async def one(nonce: str) -> Said:
                return Said((await bare.call("work", {"nonce": nonce})).content[0].text)

            rate = await load(one, number)
    else:
        sections = [
            section(name, [POOL], 1, command=command[0], args=command[1:])
            for name, command in zip(ledgers, commands, strict=True)
        ]
        settings = NO_SPARE + "\n".join(sections)
        fabric = Fabric(site.folder / "fabric", site.store, "scaling", settings, usable=number)
        async with fabric:
            rate = await load(through(fabric, TIMEOUT_S), OUTSTANDING)
    service = sum(map(service_s, ledgers.values())) / number
    return site.found(tally, ledgers, {"rate": rate, "service_ms": 1000 * service, **tally.figures(0.0)})


def judge(rounds: Rounds) -> list[Row]:
    """Return the row."""
    figures: dict[str, dict[str, Any]] = {"efficiency": {}, "more_than_one": {}, "bare_more_than_one": {}}
    intervals: dict[str, dict[str, Any]] = {name: {} for name in figures}
    for n in NUMBERS:
        values = {
            "efficiency": [row[f"fabric {n}"]["rate"] / row[f"bare {n}"]["rate"] for row in rounds],
            "more_than_one": [row[f"fabric {n}"]["rate"] / row["fabric 1"]["rate"] - 1 for row in rounds],
            "bare_more_than_one": [row[f"bare {n}"]["rate"] / row["bare 1"]["rate"] - 1 for row in rounds],
        }
        for name, found in values.items():
            if n > 1 or name == "efficiency":
                figures[name][str(n)], intervals[name][str(n)] = told(found)
    return [Row("scaling", CLAIM, figures, {"efficiency": ">= 0.97 each"}, intervals)]


EXPERIMENT = Experiment(
    "scaling", tuple(f"{kind} {n}" for n in NUMBERS for kind in ("bare", "fabric")), measure, judge
)
