"""Mistakes made in the Python around the moves on purpose: for each there is a scene that turns red with it.

A scene waits `within` for what must come. On the code as it is it comes at once, and only a hang reaches that
bound; with the mistake it never comes, so little time is enough to see so.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pytest

import mutanttable
import rewritten
from mcpweft import Client
from mcpweft.enqueuer import Enqueuer
from mcpweft.listener import Listener
from mcpweft_schemas import connect
from mcpweft_schemas.connect import Link, StoreUnreachableError
from mcpweft_schemas.errors import FabricError
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.script import script
from mcpweft_schemas.store import Store
from mcpweft_workers.fetcher import Fetcher
from mcpweft_workers.settler import Settler
from proxy import Proxy
from rewritten import Line
from waiting import until
from workbench import POOL, Bench

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path

LONG, SHORT = 15.0, 1.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scene plays, and how long it waits."""

    url: str
    namespace: str
    folder: Path
    within: float


# -- a worker whose answers are lost -----------------------------------------------------------------------


async def _comes(fact: Awaitable[object]) -> bool:
    """Return whether it is there in time: a worker that an error passes through ends in disorder."""
    try:
        await fact
    except AssertionError:
        return False
    return True


async def _a_lost_fetch_is_adopted(place: Place) -> None:
    bench = Bench(place.url, place.namespace, place.folder)
    async with Proxy(place.url) as way, bench.worker(url=way.url):
        way.cut("fetch", holding=b"lost on its way")
        request = await bench.enqueue("echo", {"text": "lost on its way"})
        came = await _comes(bench.outcome(request, place.within))
    await bench.close()
    assert came


async def _a_lost_settle_is_settled_again(place: Place) -> None:
    bench = Bench(place.url, place.namespace, place.folder)
    async with Proxy(place.url) as way, bench.worker(url=way.url) as worker:
        way.sever(script("settle").sha)
        request = await bench.enqueue("echo", {"text": "x"})
        await _comes(bench.outcome(request, place.within))
        came = await _comes(until(lambda: worker.report.backlog == 0, place.within))
        worker._settlers[POOL]._empty.set()  # its end is not to wait for what is not settled
    await bench.close()
    assert came


# -- a client whose answers are lost -----------------------------------------------------------------------


async def _a_lost_answer_is_not_asked_for_again_behind_our_back(place: Place) -> None:
    key = f"mcpweft:{place.namespace}:{{x}}:reply:count"
    async with Proxy(place.url) as way, Link.to(way.url) as link:
        await link.run("XADD", key, "*", "n", 0)
        await link.run("EXPIRE", key, 600)
        way.sever("XADD")
        with contextlib.suppress(StoreUnreachableError):
            await link.run("XADD", key, "*", "n", 1)
        assert await link.run("XLEN", key) == 2


async def _a_call_that_was_sent_may_have_run(place: Place) -> None:
    async with Proxy(place.url) as way, Client(way.url, namespace=place.namespace) as client:
        async with Link.to(place.url) as link:
            await Store(link, place.namespace).declare("cap", "inc")
        way.sever(script("enqueue").sha, times=1000)
        with pytest.raises(FabricError) as caught:
            await client.call("cap.echo", timeout=0.4, attempt_timeout=0.1, max_attempts=1)
        assert caught.value.executed is Executed.MAYBE


# -- a producer's ear --------------------------------------------------------------------------------------


class Ear:
    """A listener at work on one stream, and what it has heard."""

    def __init__(self, store: Store) -> None:
        self.heard: list[bytes] = []
        self.listener = Listener(store, self._take, self._recover)

    def _take(self, _: str, entries: list[tuple[str, Mapping[bytes, bytes]]]) -> None:
        self.heard += [fields[b"n"] for _, fields in entries]

    async def _recover(self, listener: Listener) -> None:
        """Look nothing up: what is heard here was read."""


async def _say(link: Link, key: str, what: str) -> None:
    await link.run("XADD", key, "*", "n", what)
    await link.run("EXPIRE", key, 600)


@contextlib.asynccontextmanager
async def _listening(place: Place) -> AsyncGenerator[tuple[Proxy, Link, Ear, str]]:
    key = f"mcpweft:{place.namespace}:{{x}}:reply:ear"
    async with Proxy(place.url) as way, Link.to(place.url) as link, Link.to(way.url) as cut:
        ear = Ear(Store(cut, place.namespace))
        task = asyncio.create_task(ear.listener.run())
        try:
            yield way, link, ear, key
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _what_was_said_before_one_listens_is_heard(place: Place) -> None:
    async with _listening(place) as (_, link, ear, key):
        await _say(link, key, "early")
        await ear.listener.add(key, "0")
        await until(lambda: ear.heard == [b"early"], place.within)


async def _what_was_said_while_one_was_away_is_heard_once(place: Place) -> None:
    async with _listening(place) as (way, link, ear, key):
        await ear.listener.add(key, "0")
        await _say(link, key, "one")
        await until(lambda: ear.heard == [b"one"], place.within)
        await way.shut()
        await _say(link, key, "two")
        await way.reopen()
        await _say(link, key, "three")
        await until(lambda: len(ear.heard) >= 3, place.within)
        assert ear.heard == [b"one", b"two", b"three"]


# -- the mistakes ------------------------------------------------------------------------------------------

Scene: TypeAlias = "Callable[[Place], Awaitable[None]]"

MISTAKES: dict[str, tuple[Line, Scene]] = {
    "a worker that does not adopt": (
        Line(Fetcher, "_fetch", "return await self._adopt()", "return None"),
        _a_lost_fetch_is_adopted,
    ),
    "a settle that is not repeated": (
        Line(Settler, "_settle", "await asyncio.sleep(self._patience.next())", "return"),
        _a_lost_settle_is_settled_again,
    ),
    "a redis client that tries again": (
        Line(
            connect, "_options", "Retry(NoBackoff(), 0),",
            'Retry(NoBackoff(), 3), "retry_on_error": [trouble.ConnectionError],',
        ),
        _a_lost_answer_is_not_asked_for_again_behind_our_back,
    ),
    "an enqueue that forgets that it was sent": (
        Line(Enqueuer, "_try", "ticket.sent = True", "ticket.sent = False"),
        _a_call_that_was_sent_may_have_run,
    ),
    "a listener that begins at the end": (
        Line(Listener, "add", "self.positions[key] = position", 'self.positions[key] = "$"'),
        _what_was_said_before_one_listens_is_heard,
    ),
    "a listener that skips what it missed": (
        Line(Listener, "_read", "dict(self.positions)", 'dict.fromkeys(self.positions, "$")'),
        _what_was_said_while_one_was_away_is_heard_once,
    ),
    "a listener that stays where it was": (
        Line(Listener, "_read", "self.positions[key] = entries[-1][0]", "pass"),
        _what_was_said_while_one_was_away_is_heard_once,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "scene"), MISTAKES.values(), ids=MISTAKES)
async def test_a_scene_turns_red_on(
    store_url: str, namespace: str, tmp_path: Path, line: Line, scene: Scene
) -> None:
    with rewritten.in_force(line), pytest.raises(AssertionError):
        await scene(Place(store_url, namespace, tmp_path, SHORT))


@pytest.mark.parametrize("scene", dict.fromkeys(scene for _, scene in MISTAKES.values()))
async def test_each_scene_holds_on_the_code_as_it_is(
    store_url: str, namespace: str, tmp_path: Path, scene: Scene
) -> None:
    await scene(Place(store_url, namespace, tmp_path, LONG))


def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(AssertionError, match="found 0 times"):
        Line(Fetcher, "_fetch", "no such line", "").altered()


def test_the_table_in_contributing_lists_these_mistakes_and_what_finds_them() -> None:
    found_by = {name: mutanttable.spoken(scene) for name, (_, scene) in MISTAKES.items()}
    assert mutanttable.rows("mistakes in Python") == found_by
