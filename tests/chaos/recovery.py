"""How long a fabric took to serve again, read from the producers' logs: pure.

Recovery is the time from the moment at which a blow was over (a kill: was done) until the first answer to a
request that was accepted after that moment, whoever answered it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import checker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def answered(logs: Iterable[Iterable[Mapping[str, Any]]]) -> list[tuple[float, float]]:
    """Return when each answered request was accepted, and when it was answered, in the order of the first."""
    found: list[tuple[float, float]] = []
    for events in logs:
        accepted: dict[str, float] = {}
        for event in events:
            if event["event"] == "accepted":
                accepted[event["nonce"]] = event["time"]
            elif event["event"] == "outcome" and event["code"] in checker.ANSWERS:
                at = accepted.get(event["nonce"])
                if at is not None:
                    found.append((at, event["time"]))
    return sorted(found)


def recoveries(
    blows: Iterable[tuple[str, float]], answers: list[tuple[float, float]]
) -> dict[str, list[float]]:
    """Return the recovery after each blow (its kind, and when it was over), s, by kind.

    A blow after which nothing was accepted and answered any more has none.
    """
    earliest = list(accumulate((ended for _, ended in reversed(answers)), min))[::-1]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for kind, over in blows:
        first = bisect_left(answers, (over,))
        if first < len(answers):
            found[kind].append(earliest[first] - over)
    return dict(found)
