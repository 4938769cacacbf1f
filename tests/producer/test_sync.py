from __future__ import annotations

import asyncio
import functools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from loopworker import HANDLERS, LoopWorker
from mcpweft import Result, SyncClient, errors
from waiting import until_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Served:
    """A LoopWorker in a thread of its own."""

    def __init__(self, url: str, namespace: str) -> None:
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self.worker = LoopWorker(url, namespace, "cap", HANDLERS)
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()
        assert self._ready.wait(10)

    def _turn(self) -> None:
        async def main() -> None:
            async with self.worker:
                self._ready.set()
                await self._over.wait()

        self._loop.run_until_complete(main())
        self._loop.close()

    def open_gate(self) -> None:
        self._loop.call_soon_threadsafe(self.worker.gate.set)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


@pytest.fixture
def served(store_url: str, namespace: str) -> Iterator[Served]:
    served = Served(store_url, namespace)
    yield served
    served.stop()


@pytest.fixture
def client(store_url: str, namespace: str) -> Iterator[SyncClient]:
    with SyncClient(store_url, namespace=namespace) as opened:
        yield opened
    assert not [t for t in threading.enumerate() if t.name == "mcpweft"]


def test_the_surface_of_the_client_is_there_without_await(client: SyncClient, served: Served) -> None:
    assert client.call("cap.echo", {"text": "hi"}).text == "hi"
    handle = client.submit("cap.echo", {"text": "later"})
    assert handle.wait(5)
    assert handle.result().text == client.result(handle.id).text == "later"
    assert client.inspect(handle.id).id == handle.id
    assert not handle.cancel()
    assert client.pools() == ["cap"]
    assert {tool.name for tool in client.tools("cap")} == set(HANDLERS)
    assert client.status().pools[0].accepted == client.pool("cap").accepted == 2
    assert list(handle.progress()) == []
    with pytest.raises(errors.ToolError):
        client.call("cap.fail")
    with pytest.raises(errors.RequestTimeoutError):
        client.submit("cap.block").result(timeout=0.05)


def _echo(client: SyncClient, n: int) -> str:
    return client.call("cap.echo", {"text": str(n)}).text


def test_threads_share_a_client(client: SyncClient, served: Served) -> None:
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(functools.partial(_echo, client), range(200)))
    assert got == [str(n) for n in range(200)]


def test_the_first_use_opens_it_once_for_all_threads(store_url: str, namespace: str, served: Served) -> None:
    client = SyncClient(store_url, namespace=namespace)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(functools.partial(_echo, client), range(8)))
    assert got == [str(n) for n in range(8)]
    assert len([t for t in threading.enumerate() if t.name == "mcpweft"]) == 1
    client.close()
    client.close()
    with pytest.raises(errors.ShuttingDownError):
        client.call("cap.echo")


def test_a_map_reads_its_items_in_the_callers_thread(client: SyncClient, served: Served) -> None:
    seen: set[str] = set()
    taken: list[int] = []

    def items() -> Iterator[dict[str, Any]]:
        for n in range(300):
            seen.add(threading.current_thread().name)
            taken.append(n)
            yield {"text": str(n)}

    for n, outcome in enumerate(client.map("cap.echo", items(), window=20)):
        assert isinstance(outcome, Result)
        assert outcome.text == str(n)
        assert len(taken) <= n + 21
    assert seen == {threading.current_thread().name}
    pairs = client.map("cap.echo", items(), ordered=False).indexed()
    assert sorted(i for i, _ in pairs) == list(range(300))
    assert list(client.map("cap.echo", [])) == []


def test_a_map_left_early_cancels_what_is_open(client: SyncClient, served: Served) -> None:
    def some(n: int) -> dict[str, Any]:
        return {"text": str(n)}

    outcomes = client.map("cap.echo", (some(n) for n in range(10**9)), window=10).indexed()
    assert next(outcomes)[0] == 0
    outcomes.close()
    assert client.call("cap.echo", {"text": "on"}).text == "on"


def _in_a_fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)  # work exits by itself when all is well
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_fork_is_told_at_once_that_it_has_no_thread(client: SyncClient, served: Served) -> None:
    client.call("cap.echo")

    def child() -> None:
        signal.alarm(5)
        try:
            client.call("cap.echo")
        except errors.InvalidConfigError as error:
            client.close()  # the parent's: does nothing, and does not hang
            os._exit(0 if f"used in its fork {os.getpid()}" in str(error) else 2)

    assert _in_a_fork(child) == 0
    assert client.call("cap.echo", {"text": "parent"}).text == "parent"


def test_a_client_made_before_a_fork_and_used_after_it_works_in_both(
    store_url: str, namespace: str, served: Served
) -> None:
    client = SyncClient(store_url, namespace=namespace)

    def child() -> None:
        signal.alarm(10)
        if client.call("cap.echo", {"text": "child"}).text == "child":
            client.close()
            os._exit(0)

    assert _in_a_fork(child) == 0
    assert client.call("cap.echo", {"text": "parent"}).text == "parent"
    client.close()


def test_a_call_from_its_own_callback_is_an_error_and_no_deadlock(client: SyncClient, served: Served) -> None:
    heard: list[Exception] = []

    def ask(_: object) -> None:
        try:
            client.pools()
        except errors.InvalidConfigError as error:
            heard.append(error)
        served.open_gate()

    client.call("cap.steps", {"n": 1}, on_progress=ask)
    assert "wait for itself" in str(heard[0])


def test_an_interrupted_call_is_cancelled(client: SyncClient, served: Served) -> None:
    def interrupt() -> None:
        until_sync(lambda: served.worker.fetched)
        os.kill(os.getpid(), signal.SIGINT)

    waiter = threading.Thread(target=interrupt)
    waiter.start()
    with pytest.raises(KeyboardInterrupt):
        client.call("cap.block", idempotent=True)
    waiter.join()
    until_sync(lambda: served.worker.cancelled == set(served.worker.fetched))


def test_closing_ends_the_calls_of_other_threads(store_url: str, namespace: str, served: Served) -> None:
    client = SyncClient(store_url, namespace=namespace).open()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call, "cap.block")
        until_sync(lambda: served.worker.fetched)
        client.close()
        with pytest.raises(errors.ShuttingDownError, match="goes on"):
            waiting.result(5)


async def test_it_is_closed_where_another_loop_runs(store_url: str, namespace: str) -> None:
    client = SyncClient(store_url, namespace=namespace)
    assert client.pools() == []
    client.close()
    with pytest.raises(errors.ShuttingDownError):
        client.pools()
