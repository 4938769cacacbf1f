"""Connections that break between a command and its answer, for each move, with everybody behind the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy import Proxy, moves
from waiting import until

if TYPE_CHECKING:
    from faults.fabric import Fabric

pytestmark = pytest.mark.slow

BY_HAND = {"dead", "replay", "purge", "events", "breaker", "want", "muster", "amend", "forget",
          "pause", "book", "history"}  # fmt: skip
"""Moves that nobody makes here (an operator's, a reader of news' or figures, a failing server's, scaling's),
or once in ten seconds; their lost answers are the protocol tests'."""
ONCE = {"seal", "expire"}
"""Moves that are not made again here once they were carried out."""
FULL = {"fetch": b"_nonce", "adopt": b"_nonce", "xread": b"outcome", "bzpopmin": b"bell"}
"""What an answer holds whose loss could lose work, and would be noticed if nobody made up for it."""
AT_THE_END = {"reclaim", "retire"}
"""Moves about workers that have gone."""


async def test_a_lost_answer_to_any_move_is_noticed_by_nobody(fabric: Fabric) -> None:
    everyday = {*moves(), "xread", "bzpopmin"} - BY_HAND - AT_THE_END
    async with Proxy(fabric.url) as proxy:
        proxy.cut(*everyday)
        proxy.cut(*everyday - ONCE)
        workers = [fabric.worker(name, url=proxy.url) for name in ("one", "two")]
        producer = fabric.producer(url=proxy.url)
        await fabric.store.declare("nobody", "0")
        overdue = [fabric.call("echo", pool="nobody", timeout=1.5) for _ in range(2)]
        producer.tell(overdue)
        await producer.told(count=2)
        fabric.coordinator(url=proxy.url)
        await fabric.usable(*workers)

        for name, part in FULL.items():
            proxy.cut(name, times=2, holding=part)
        told = 0
        while proxy.left:
            if proxy.left["lookup"]:  # a reader whose connection broke looks up what is open
                proxy.cut("xread", holding=FULL["xread"])
            some = [*fabric.load(10, seed=told), fabric.call("ask", how="inspect")]
            some += [fabric.call("progress", how="progress", arguments={"steps": 3, "ms": 120})]
            some += [fabric.call("ask", how="cancel", ms=1500)]
            producer.tell(some)
            told += len(some)
            assert told < 300, f"never lost: {dict(proxy.left)}"
            await producer.told(count=told + 2, within=20.0)

        proxy.cut("reclaim", times=2)
        last = fabric.call("ask", ms=500)
        producer.tell([last])
        await fabric.begun(producer, last)
        holder = await fabric.holder(producer.ids()[last["nonce"]])
        (victim,) = [worker for worker in workers if worker.name == holder]
        victim.kill()
        await producer.told(last["nonce"])
        await until(lambda: not proxy.left)
        proxy.cut("retire")
        await fabric.verdict()
        assert proxy.lost["retire"] == 1

    outcomes = producer.outcomes()
    for nonce, outcome in outcomes.items():
        if nonce in {call["nonce"] for call in overdue}:
            assert (outcome["code"], outcome["executed"]) == ("TIMEOUT", "no")
        else:
            assert outcome["code"] in {"OK", "TOOL_ERROR", "CANCELLED"}, outcome
