"""What a worker says of itself: to the store with each beat, to /readyz, to Prometheus.

Above stand the heartbeat and the endpoint. Below: the doers' figures, which are only read. It must never
change anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_workers.breaker import State
from mcpweft_workers.health import Health, Signs, health_of
from mcpweft_workers.heartbeat import Pulse
from mcpweft_workers.session import SessionState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcpweft_schemas.herald import Herald
    from mcpweft_workers.binding import Binding
    from mcpweft_workers.check import Check
    from mcpweft_workers.gate import Gate
    from mcpweft_workers.meter import Meter
    from mcpweft_workers.metrics import Metrics
    from mcpweft_workers.runner import Runner
    from mcpweft_workers.session import Session
    from mcpweft_workers.settler import Settler
    from mcpweft_workers.slots import Slots
    from mcpweft_workers.vigil import Vigil

_BEGINNING, _END = 200, 400  # characters of a reason: what it is, and how a server's last words end
_SHUT = {State.OPEN: 1.0, State.FORCED_OPEN: 1.0, State.CORDONED: 1.0, State.HALF_OPEN: 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of one worker, as they are when they are asked for."""

    gate: Gate
    slots: Slots
    runner: Runner
    session: Session
    vigil: Vigil
    check: Check
    bindings: Mapping[str, Binding]
    home: str
    """The pool in which the record of the server's breaker lies."""
    settlers: Mapping[str, Settler]
    metrics: Metrics
    herald: Herald
    meter: Meter
    draining: Callable[[], bool]
    told: Callable[[str], bool]
    """Whether the pool of a capability has been told that the worker takes work."""
    clock: Callable[[], float]

    @property
    def usable(self) -> bool:
        """Whether the worker takes work."""
        return self.gate.is_open and self.slots.limit > 0 and not self.draining()

    @property
    def backlog(self) -> int:
        """Settlements that the store has not answered yet."""
        return sum(settler.backlog for settler in self.settlers.values())

    @property
    def _state(self) -> str:
        return SessionState.DEGRADED.value if self.vigil.hung else self.session.state.value

    @property
    def health(self) -> Health:
        """How the server is."""
        return health_of(
            Signs(
                draining=self.draining(),
                connects=self.session.connects,
                session=self.session.state,
                breaker=self.gate.breaker.state(self.clock()),
                hung=self.vigil.hung,
                failed_checks=self.check.failed,
                unhealthy_after=self.check.unhealthy_after,
            )
        )

    def pulse(self) -> Pulse:
        """Return what a beat carries."""
        readers = {name: binding.reader for name, binding in self.bindings.items()}
        load: dict[str, Any] = {
            "in_flight": self.runner.in_flight,
            "slots": self.slots.limit,
            "state": self._state,
            "breaker": self.gate.breaker.state(self.clock()).value,
            "health": self.health.value,
            "ping_ms": _rounded(self.check.ping_ms),
            "service_ms": _rounded(self.runner.service_ms),
            "reason": _shortened(self.gate.reason or self.session.reason),
            "draining": self.draining(),
            "restarts": max(0, self.session.connects - 1),
            "silent_ms": round(1000 * (self.clock() - self.runner.heard_at)),
            "cpu": _rounded(self.meter.cpu, 3),
            "memory": _rounded(self.meter.memory, 4),
            "times": {name: spread.told() for name, spread in self.runner.spreads.items()},
            **self.runner.counts,
        }
        known = {name: reader for name, reader in readers.items() if reader is not None}
        return Pulse(known, self.usable, load, self.home)

    def readiness(self) -> Mapping[str, Any]:
        """Return what /readyz says."""
        reason = self._obstacle()
        return {"ready": not reason, "state": self._state, "reason": reason}

    def _obstacle(self) -> str:
        """Return why no work comes yet; empty when it does."""
        if not self.gate.is_open:
            return self.gate.reason or "the breaker's probes are under way"
        if not all(binding.joined.is_set() for binding in self.bindings.values()):
            return "not registered yet"
        if self.draining():
            return "draining"
        if not self.slots.limit:
            return "no slot of the shared server is this worker's"
        return "" if all(map(self.told, self.bindings)) else "its pools have not been told yet"

    def prometheus(self, lag: float) -> bytes:
        """Return what /metrics says; `lag` is the main loop's, in seconds."""
        self.metrics.standing(
            slots=self.slots.limit,
            busy=self.runner.in_flight,
            ready=self.usable,
            breaker=_SHUT.get(self.gate.breaker.state(self.clock()), 0.0),
            connects=self.session.connects,
            lag=lag,
            unsettled=self.backlog,
            dropped=self.herald.dropped,
        )
        if self.check.ping_ms is not None:
            self.metrics.pinged(self.check.ping_ms)
        return self.metrics.text()


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)


def _shortened(reason: str) -> str:
    return reason if len(reason) <= _BEGINNING + _END else f"{reason[:_BEGINNING]} … {reason[-_END:]}"
