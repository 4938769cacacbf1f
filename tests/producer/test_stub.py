from __future__ import annotations

import threading  # noqa: TC003  # read from the annotation
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from loopworker import Answer
from mcpweft import Client, Result, errors

if TYPE_CHECKING:
    from loopworker import LoopWorker


class Colour(StrEnum):
    RED = "red"


class Issue(BaseModel):
    title: str
    at: datetime
    labels: list[Colour] = []


@dataclass
class Point:
    x: int
    y: int


AT = datetime(2026, 7, 28, 12, tzinfo=UTC)


async def test_a_stub_is_called_like_its_function(client: Client, worker: LoopWorker) -> None:
    @client.tool("cap.echo", timeout="20s", idempotent=True)
    async def issue(title: str, at: datetime, labels: list[Colour]) -> Issue:
        """Make an issue."""
        raise AssertionError("the body is never run")

    made = await issue("a title", at=AT, labels=[Colour.RED])
    assert made == Issue(title="a title", at=AT, labels=[Colour.RED])
    assert issue.__doc__ == "Make an issue."
    handle = await issue.submit("later", AT, [])
    assert (await handle.result()).title == "later"
    assert (await client.inspect(handle.id)).safe


async def test_a_default_is_sent_and_a_default_of_none_is_not(client: Client, worker: LoopWorker) -> None:
    @client.tool("cap.echo")
    def find(text: str, limit: int = 5, after: str | None = None) -> dict[str, Any]:
        raise NotImplementedError

    assert await find("a") == {"text": "a", "limit": 5}
    assert await find("a", 6, after="b") == {"text": "a", "limit": 6, "after": "b"}
    assert await find("a", after=None) == {"text": "a", "limit": 5, "after": None}


async def test_what_does_not_fit_is_named_before_it_is_sent(client: Client, worker: LoopWorker) -> None:
    @client.tool("cap.echo")
    def move(to: Point, times: int) -> Point:
        raise NotImplementedError

    loosely: Any = move
    with pytest.raises(errors.InvalidArgumentsError, match=r"times: Input should be a valid integer"):
        await loosely(Point(1, 2), "many")
    with pytest.raises(errors.InvalidArgumentsError, match="missing a required argument: 'times'"):
        await loosely(Point(1, 2))
    assert worker.fetched == []


async def test_an_answer_that_is_not_what_was_promised_is_an_error_that_holds_it(
    client: Client, worker: LoopWorker
) -> None:
    @client.tool("cap.echo")
    def where(x: int) -> Point:
        raise NotImplementedError

    with pytest.raises(errors.ToolError, match="not what its stub promises: y: Field required") as caught:
        await where(3)
    assert isinstance(caught.value.result, Result)
    assert caught.value.result.data == {"x": 3}


async def test_a_text_is_a_text_even_where_it_could_be_json(client: Client, worker: LoopWorker) -> None:
    async def told(worker: LoopWorker, delivery: Any, arguments: dict[str, Any]) -> Any:
        return Answer([{"type": "text", "text": '{"x": 1, "y": 2}'}])

    worker.handlers = {**worker.handlers, "told": told}

    @client.tool("cap.told")
    def text() -> str:
        raise NotImplementedError

    @client.tool("cap.told")
    def point() -> Point:
        raise NotImplementedError

    @client.tool("cap.told")
    def nothing() -> None: ...
    @client.tool("cap.told")
    def whole() -> Result:
        raise NotImplementedError

    assert await text() == '{"x": 1, "y": 2}'
    assert await point() == Point(1, 2)
    assert (await whole()).is_error is False
    await nothing()


async def test_a_stub_maps_over_mappings_tuples_and_single_arguments(
    client: Client, worker: LoopWorker
) -> None:
    @client.tool("cap.echo")
    def point(x: int, y: int = 0) -> Point:
        raise NotImplementedError

    got = [outcome async for outcome in point.map([{"x": 1, "y": 2}, (3, 4), 5, "six"])]
    assert got[:3] == [Point(1, 2), Point(3, 4), Point(5, 0)]
    assert isinstance(got[3], errors.InvalidArgumentsError)


async def test_a_function_that_cannot_be_a_stub_is_refused(client: Client) -> None:
    with pytest.raises(errors.InvalidConfigError, match=r"parameter \*rest"):

        @client.tool("cap.echo")
        def loose(*rest: int) -> None: ...

    with pytest.raises(errors.InvalidConfigError, match="is no data type"):

        @client.tool("cap.echo")
        def odd(lock: threading.Event) -> None: ...


def test_a_stub_can_be_made_before_the_client_is_open() -> None:
    client = Client("redis://127.0.0.1:1", namespace="x")

    @client.tool("cap.echo")
    def find(text: str) -> str:
        raise NotImplementedError

    assert find.__name__ == "find"
