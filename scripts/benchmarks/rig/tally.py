"""What became of each request of a run, and whether the run counts.

    tally = Tally(timeout=10)
    await tally.arrive(call, dues)          a load that does not wait for answers: each call at its moment
    await tally.call(call, due)             one of a load that does
    tally.void(); tally.figures(after)

A run is void on one answer that is not its request's own, and on one request without an outcome a second
after its deadline. Latency counts from the moment a request was meant to be sent. A request that failed took
as long as it took to say so. Above stand the experiments. It must never know who answers.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.rig.harness import percentile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.rig.harness import Figures

LATE_S = 1.0
"""How long after its deadline a request may still be without an outcome."""
KEPT = 20_000
"""Requests of a run that are written down at most."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came back."""

    nonce: str = ""
    server: str = ""
    error: str = ""
    attempts: int = 1


Call: TypeAlias = "Callable[[str], Awaitable[Said]]"
"""Makes a call with a nonce; an error that is an outcome is said, not raised."""


@dataclass(slots=True)
class Request:
    """One request; times in seconds since the run's beginning."""

    nonce: str
    due: float
    sent: float
    took: float | None = None
    """From when it was due; None while it has no outcome."""
    said: Said = Said()


class Tally:
    """The requests of one run."""

    def __init__(self, name: str, timeout: float) -> None:
        self.requests: list[Request] = []
        self._name = name
        self._timeout = timeout
        self._zero = time.time()

    def now(self) -> float:
        """Return the seconds since the run's beginning."""
        return time.time() - self._zero

    async def call(self, call: Call, due: float | None = None) -> None:
        """Make one call, due now or at an earlier moment."""
        sent = self.now()
        request = Request(f"{self._name}.{len(self.requests)}", sent if due is None else due, sent)
        self.requests.append(request)
        try:
            request.said = await asyncio.wait_for(call(request.nonce), self._timeout + LATE_S)
        except TimeoutError:
            return
        request.took = self.now() - request.due

    async def arrive(self, call: Call, dues: Sequence[float]) -> None:
        """Make calls at these moments, whatever has become of those before; return once all have ended."""
        async with asyncio.TaskGroup() as calls:
            for due in dues:
                await asyncio.sleep(max(0.0, due - self.now()))
                calls.create_task(self.call(call, due))

    def void(self, begun: Mapping[str, Sequence[str]]) -> list[str]:
        """Return why the run does not count, if so. `begun`: nonce → servers, by their ledgers."""
        found: list[str] = []
        for request in self.requests:
            said = request.said
            if request.took is None:
                found.append(f"{request.nonce} had no outcome {LATE_S:g} s after its deadline")
            elif not said.error and said.nonce != request.nonce:
                found.append(f"{request.nonce} was answered with {said.nonce[:100]!r}")
            elif not said.error and said.server not in ("", *begun.get(request.nonce, ())):
                found.append(f"{request.nonce} was not run by {said.server}, which is said to have answered")
        return found

    def figures(self, after: float) -> Figures:
        """Return what became of the requests that were due after a moment: percentiles in ms, and counts."""
        counted = [request for request in self.requests if request.due >= after]
        took = [1000 * request.took for request in counted if request.took is not None]
        return {
            **{f"p{part}": percentile(took, part / 100) for part in (50, 95, 99) if took},
            "requests": float(len(counted)),
            "failed": float(sum(bool(request.said.error) for request in counted)),
            "retried": float(sum(request.said.attempts > 1 for request in counted)),
        }

    def write(self, path: Path) -> None:
        """Write the requests down, a JSON line each."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps(_flat(request)) for request in self.requests[:KEPT])
        path.write_text("".join(f"{line}\n" for line in lines))


def _flat(request: Request) -> dict[str, Any]:
    told = asdict(request)
    said = told.pop("said")
    return {**told, "answer": said["nonce"], **{name: said[name] for name in ("server", "error", "attempts")}}
