from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from loopworker import desk_of
from mcpweft import Client, Mapped, Result, errors
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from loopworker import LoopWorker


def _items(n: int, taken: list[int] | None = None) -> Iterator[dict[str, Any]]:
    for i in range(n):
        if taken is not None:
            taken.append(i)
        yield {"text": str(i)}


async def _slow_items(n: int) -> AsyncIterator[dict[str, Any]]:
    for item in _items(n):
        await asyncio.sleep(0)
        yield item


async def test_a_map_yields_in_the_order_of_its_items(client: Client, worker: LoopWorker) -> None:
    got = [o async for o in client.map("cap.echo", _items(700), window=100)]
    assert [r.text for r in got if isinstance(r, Result)] == [str(i) for i in range(700)]


async def test_a_map_takes_an_asynchronous_iterable(client: Client, worker: LoopWorker) -> None:
    got = [o async for o in client.map("cap.echo", _slow_items(300), window=50)]
    assert [r.text for r in got if isinstance(r, Result)] == [str(i) for i in range(300)]
    assert [o async for o in client.map("cap.echo", _slow_items(0))] == []
    assert [o async for o in client.map("cap.echo", [])] == []


async def test_an_unordered_map_yields_what_is_done_and_says_whose_it_is(
    client: Client, worker: LoopWorker
) -> None:
    async def wait_or_not(worker: LoopWorker, delivery: Any, arguments: dict[str, Any]) -> Any:
        if arguments["text"] == "0":
            await worker.gate.wait()
        return arguments["text"]

    worker.handlers = {**worker.handlers, "some": wait_or_not}
    order: list[int] = []
    async for index, outcome in client.map("cap.some", _items(50), ordered=False, window=10).indexed():
        assert isinstance(outcome, Result)
        assert outcome.text == str(index)
        order.append(index)
        if len(order) == 49:
            worker.gate.set()
    assert (order[-1], sorted(order)) == (0, list(range(50)))


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_map_keeps_no_result_that_it_has_yielded(
    client: Client, worker: LoopWorker, *, ordered: bool
) -> None:
    kept = 0
    async for index, _ in client.map("cap.echo", _items(200), ordered=ordered, window=10).indexed():
        if index == 190:
            kept = sum(isinstance(each, Result) for each in gc.get_objects())
    assert 0 < kept < 30


async def test_errors_stand_in_their_places(client: Client, worker: LoopWorker) -> None:
    async def odd(worker: LoopWorker, delivery: Any, arguments: dict[str, Any]) -> Any:
        handler = "fail" if int(arguments["text"]) % 2 else "echo"
        return await worker.handlers[handler](worker, delivery, arguments)

    worker.handlers = {**worker.handlers, "odd": odd}
    got = [o async for o in client.map("cap.odd", _items(20))]
    assert [isinstance(o, errors.ToolError) for o in got] == [bool(i % 2) for i in range(20)]
    bad: list[dict[str, Any]] = [{"text": "a"}, {"text": {1, 2}}, {"text": "c"}]
    mixed = [o async for o in client.map("cap.echo", bad)]
    assert [type(o) for o in mixed] == [Result, errors.InvalidArgumentsError, Result]


@pytest.mark.parametrize("ordered", [True, False])
async def test_a_map_reads_no_more_items_than_its_window(
    client: Client, worker: LoopWorker, *, ordered: bool
) -> None:
    taken: list[int] = []
    outcomes = client.map("cap.echo", _items(10**9, taken), window=32, ordered=ordered).indexed()
    for n in range(200):
        await anext(outcomes)
        assert len(taken) <= n + 1 + 32
    await outcomes.aclose()
    assert desk_of(client).waits.open == 0


async def test_a_map_that_is_left_early_cancels_what_is_open(client: Client, worker: LoopWorker) -> None:
    outcomes = client.map("cap.block", _items(40), window=20).indexed()
    first = asyncio.ensure_future(anext(outcomes))
    await until(lambda: len(worker.fetched) == 20)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await outcomes.aclose()
    await until(lambda: len(worker.cancelled) == 20)
    assert len(worker.fetched) == 20


async def _exhaust(outcomes: Mapped) -> None:
    async for _ in outcomes:
        pass


async def test_an_error_of_the_source_comes_through(client: Client, worker: LoopWorker) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"text": "a"}
        raise LookupError("no more rows")

    with pytest.raises(LookupError, match="no more rows"):
        await _exhaust(client.map("cap.echo", broken()))

    async def slowly() -> AsyncIterator[dict[str, Any]]:
        yield {"text": "a"}
        raise LookupError("no more pages")

    with pytest.raises(LookupError, match="no more pages"):
        await _exhaust(client.map("cap.echo", slowly()))
    with pytest.raises(errors.InvalidConfigError, match="window is 0"):
        client.map("cap.echo", [], window=0)


async def test_items_that_come_slowly_are_answered_as_they_come(client: Client, worker: LoopWorker) -> None:
    give: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def source() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await give.get()

    outcomes = client.map("cap.echo", source(), window=64).indexed()
    for n in range(5):
        give.put_nowait({"text": str(n)})
        _, outcome = await asyncio.wait_for(anext(outcomes), 5)
        assert isinstance(outcome, Result)
        assert outcome.text == str(n)
    await outcomes.aclose()


async def test_a_map_that_is_broken_off_leaves_nothing_open(client: Client, worker: LoopWorker) -> None:
    async for outcome in client.map("cap.echo", _items(10**9), window=16):
        assert isinstance(outcome, Result)
        break
    await until(lambda: desk_of(client).waits.open == 0)
