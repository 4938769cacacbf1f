"""What experiments share: the place that an arm is measured at, what it calls, and how a claim is judged.

Above stand the experiments; below is the rig. It must never know a claim.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.rig.host import begun
from benchmarks.rig.interval import of_median
from benchmarks.rig.notebook import Found
from benchmarks.rig.tally import Call, Said, Tally
from mcpweft import McpweftError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from benchmarks.rig.fabric import Fabric
    from benchmarks.rig.harness import Figures, Rounds

POOL = "work"
NO_SPARE = "[coordinator]\nspare = false\n"
"""A spare worker would load its libraries while the first calls are measured."""
WARM_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class Site:
    """Where one arm of one repetition is measured."""

    part: str
    arm: str
    repetition: int
    """The seed, too: all arms of a repetition see the same arrivals."""
    length: float
    """1 for a full run."""
    folder: Path
    """Its own, gone afterwards."""
    store: str
    raw: Path
    """Where its requests are written down."""

    def tally(self, timeout: float) -> Tally:
        """Begin to count requests."""
        return Tally(f"{self.part}.{self.repetition}.{self.arm}".replace(" ", "-"), timeout)

    def found(self, tally: Tally, ledgers: Mapping[str, Path], figures: Figures) -> Found:
        """Write the requests down, hold them against the servers' ledgers, return what was found."""
        tally.write(self.raw)
        ran = begun(ledgers)
        mine = [request.nonce for request in tally.requests]
        twice = float(sum(len(ran.get(nonce, ())) > 1 for nonce in mine))
        return Found({**figures, "begun_twice": twice}, tally.void(ran))


@dataclass(frozen=True, slots=True)
class Row:
    """A claim beside what was measured."""

    name: str
    claim: str
    figures: dict[str, Any]
    goals: dict[str, str]
    """Of some of these figures."""
    intervals: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Experiment:
    """One part of the whole."""

    name: str
    arms: tuple[str, ...]
    measure: Callable[[Site], Coroutine[Any, Any, Found]]
    judge: Callable[[Rounds], list[Row]]
    """Its rows; each round has all arms."""
    once: bool = False
    """Whether it has one repetition, however many others have."""


def section(name: str, pools: Sequence[str], concurrency: int, **where: Any) -> str:
    """Return a server's section of the configuration."""
    told = {"capabilities": list(pools), "concurrency": concurrency, "idempotent": ["*"], **where}
    return "\n".join([f"[servers.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in told.items())])


def through(fabric: Fabric, timeout: float, capability: Callable[[], str] = lambda: POOL) -> Call:
    """Return what calls the fabric."""

    async def call(nonce: str) -> Said:
        tool = f"{capability()}.work"
        try:
            result = await fabric.client.call(tool, {"nonce": nonce}, timeout=timeout)
        except McpweftError as error:
            return Said(error=str(error.code), attempts=len(error.attempts))
        return Said(result.text, result.server, attempts=len(result.attempts))

    return call


def gain(rounds: Rounds, base: str, arm: str, figure: str) -> list[float]:
    """Return by which part of it an arm lowers a figure of another one, in each round."""
    return [1 - row[arm][figure] / row[base][figure] for row in rounds]


def told(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median and its interval."""
    return median(values), of_median(values)
