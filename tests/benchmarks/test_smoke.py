"""Each benchmark, as small as it gets, runs to its end and tells its figures. Speed is not judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = ("--rounds", "1", "--seconds", "0.2")


def test_queue_tells_its_figures(bench: Callable[..., dict[str, Any]]) -> None:
    told = bench("queue", *TINY, "--no-peers")
    assert told["calls_per_second_256"] > 0
    assert 0 < told["commands_per_request"] < 10
    assert told["p99_over_p50"] >= 1
    assert told["slowest_script_ms"] >= 1
