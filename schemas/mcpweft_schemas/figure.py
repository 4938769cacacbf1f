"""What is counted of work by the hour: amounts by figure, which are added and never averaged.

A worker counts each attempt that ends into the `Tally` of its tool and class and books the amounts; whoever
reads them adds what any number of workers, tools and slots have. So a mean is a sum by a count, and a
quantile is that of all times together: each time falls into a bucket of `spread.py`, and a bucket is a
figure like any other. Figures are numbers that lie in the store (docs/protocol.md), and keep their sense.

Above stand the worker, which counts, and the analytics, which read. This module must never know a clock or a
store. Times are ms.
"""

from __future__ import annotations

from collections import defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from mcpweft_schemas.packing import pack, unpack
from mcpweft_schemas.spread import BUCKETS, Spread, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MAX_BYTES = 64 * 1024  # of a series that will be read: others may have written it
_APART = 128  # figures from one kind of time to the next: room for more buckets than there are


class Figure(IntEnum):
    """What is counted of attempts."""

    OK = 0
    """Answers that the tool did not call an error."""
    TOOL_ERROR = 1
    """Answers that the tool called an error."""
    FAILED = 2
    """Attempts that ended without an answer: server gone, time over, protocol broken, rate limited."""
    TIMED_OUT = 3
    """Those of them whose time was over."""
    REFUSED = 4
    """Attempts that another one would only repeat: unknown tool, wrong arguments, too large an answer."""
    STOPPED = 5
    """Attempts that were stopped from this side: cancelled, the worker's end, a server taken out by hand."""
    AGAIN = 6
    """Attempts, however they ended, that were not the first of their request."""
    NEAR = 7
    """Answers that took over four fifths of the time that their attempt was given."""
    BUSY_MS = 8
    """From start to end in the worker, of all attempts together."""
    TIMED_OUT_MS = 9
    """The same, of those whose time was over."""
    SERVICE_MS = 10
    """What the server itself took, of all answers together."""
    QUEUE_MS = 11
    """From acceptance to the first attempt's coming to its worker, of all first attempts together."""
    RESPONSE_MS = 12
    """From acceptance to the answer, of all answers together."""


class Time(IntEnum):
    """The kinds of time of which each is kept by its bucket; the value is the figure of the first bucket."""

    SERVICE = 16
    QUEUE = 16 + _APART
    RESPONSE = 16 + 2 * _APART


class PoolLevel(IntEnum):
    """How a pool stood, summed over looks."""

    LOOKS = 0
    CRITICAL = 1
    HIGH = 2
    NORMAL = 3
    LOW = 4
    """Requests of each class that nobody has taken."""
    RUNNING = 5
    DELAYED = 6


class ServerLevel(IntEnum):
    """How a server's usable workers in a pool stood, summed over looks."""

    LOOKS = 0
    WORKERS = 1
    SLOTS = 2
    IN_FLIGHT = 3


COUNTERS = (
    "accepted", "done", "dead", "cancelled", "expired", "took", "retried", "unretried", "released",
    "reclaimed", "turned_away",
)  # fmt: skip
"""What a picture of a pool's counters holds behind its time; later versions may add to it."""

ALL = "*"
"""What stands for the tools, or the servers, that are not told one by one."""
SUMS = {Time.SERVICE: Figure.SERVICE_MS, Time.QUEUE: Figure.QUEUE_MS, Time.RESPONSE: Figure.RESPONSE_MS}
"""Where the sum of each kind of time lies."""


def series(server: str, tool: str, klass: str) -> str:
    """Return the name under which the attempts of a server, tool and class are booked."""
    return f"{server}/{tool}/{klass}"


def read_series(name: str) -> tuple[str, str, str]:
    """Return server, tool and class; what was folded is `ALL`. Raises ValueError for what is no series."""
    server, slash, rest = name.partition("/")
    tool, other, klass = rest.rpartition("/")
    if not slash or not other:
        raise ValueError(f"{name!r} names no series")
    return server, tool, klass


class Tally:
    """Amounts by figure."""

    __slots__ = ("amounts",)

    def __init__(self, amounts: Mapping[int, float] | None = None) -> None:
        self.amounts: defaultdict[int, float] = defaultdict(float, amounts or {})

    def __getitem__(self, figure: int) -> float:
        return self.amounts.get(figure, 0)

    def count(self, figure: Figure, amount: float = 1) -> None:
        """Add to a figure."""
        self.amounts[figure] += amount

    def time(self, kind: Time, ms: float) -> None:
        """Count one time."""
        amounts = self.amounts
        amounts[SUMS[kind]] += ms
        amounts[kind + bucket_of(ms)] += 1

    def add(self, other: Tally) -> None:
        """Add all that the other has."""
        for figure, amount in other.amounts.items():
            self.amounts[figure] += amount

    @classmethod
    def sum(cls, parts: Iterable[Tally]) -> Self:
        """Return all of them together."""
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    def spread(self, kind: Time) -> Spread:
        """Return how the times of a kind lie."""
        return Spread(int(self[kind + bucket]) for bucket in range(BUCKETS))

    def told(self) -> bytes:
        """Return it as it is booked; sums of times are told in whole ms."""
        flat: list[int] = []
        for figure, amount in self.amounts.items():
            if whole := round(amount):
                flat += (figure, whole)
        return pack(flat)

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """Return what was booked; what is no such thing counts as nothing."""
        try:
            flat = unpack(packed, _MAX_BYTES)
        except ValueError:
            return cls()
        if not isinstance(flat, list):
            return cls()
        numbers: list[Any] = flat
        pairs = zip(numbers[::2], numbers[1::2], strict=False)
        return cls({f: n for f, n in pairs if isinstance(f, int) and isinstance(n, int | float) and n > 0})
