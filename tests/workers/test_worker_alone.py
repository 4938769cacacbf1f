"""A server that must run once in the whole fleet, and one whose calls are shared out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from mcpweft_schemas.answer import Lease
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.portion import part_of
from mcpweft_schemas.word import Word
from mcpweft_workers.tenancy import SLACK, Tenancy
from waiting import until
from workbench import POOL, text_of, web_server

if TYPE_CHECKING:
    from workbench import Bench


async def test_an_exclusive_server_runs_once_and_moves_when_its_worker_ends(bench: Bench) -> None:
    config = bench.config({"state": "exclusive"})
    async with bench.worker(config, worker_id="first") as first:
        second = bench.make(config, worker_id="second")
        async with asyncio.TaskGroup() as group:
            group.create_task(second.run())
            reply = await bench.outcome(await bench.enqueue("echo", {"text": "1"}))
            assert reply.worker == "first"
            assert second.session.pids is None
            assert "lease" in second.report.readiness()["reason"]
            first.stop()
            await until(lambda: second.report.readiness()["ready"], within=15.0)
            assert first.session.pids is None
            reply = await bench.outcome(await bench.enqueue("echo", {"text": "2"}))
            assert reply.worker == "second"
            second.stop()


async def test_a_worker_that_loses_its_lease_stops_the_server(bench: Bench) -> None:
    config = bench.config({"state": "session"})
    async with bench.worker(config) as worker:
        call = await bench.enqueue("sleep", {"ms": 20_000})
        await until(lambda: worker.runner.in_flight)
        # Somebody takes the lease over, as after a long pause of this worker.
        key = bench.store.fleet.lease("server.echo")
        await bench.store.link.run("HSET", key, "holder", "thief")
        await until(lambda: worker.session.pids is None)
        assert not worker.report.readiness()["ready"]
        assert await bench.state(call) == "delayed"
        (attempt,) = (await bench.seen(call)).attempts
        assert attempt.cause == "SHUTTING_DOWN", "nothing is wrong with the server"
        await bench.store.lease("server.echo", "thief", 0)
        await until(lambda: worker.report.readiness()["ready"], within=15.0)
        await bench.store.cancel(POOL, call)


async def test_a_lease_ends_in_time_though_the_store_says_nothing_any_more() -> None:
    class Silent:
        """A store that answers once."""

        asked = False

        async def lease(self, *_: Any) -> Any:
            if self.asked:
                await asyncio.Event().wait()
            self.asked = True
            return Lease(Word.OK, 1, "me", 600)

    clock = asyncio.get_running_loop().time
    tenancy = Tenancy(cast("Any", Silent()), "echo", "me", ttl=0.6, clock=clock)
    await tenancy.take()
    began = clock()
    await tenancy.keep()
    assert 0.6 * (1 - SLACK) - 0.05 < clock() - began < 0.6 * (1 - SLACK) + 0.05


def test_the_parts_of_a_shared_server_add_up() -> None:
    for concurrency in range(1, 12):
        for count in range(1, 9):
            mates = [f"w{n}" for n in range(count)]
            parts = [part_of(concurrency, mates, mate) for mate in mates]
            assert sum(parts) == concurrency
            assert max(parts) - min(parts) <= 1


async def test_workers_of_one_http_server_share_its_concurrency(bench: Bench) -> None:
    with web_server() as url:
        remote: dict[str, Any] = {"command": None, "args": [], "url": url, "concurrency": 5}
        config = bench.config(remote)
        async with bench.worker(config, worker_id="a") as one:
            await until(lambda: one.slots.limit == 5)
            two = bench.make(config, worker_id="b")
            async with asyncio.TaskGroup() as group:
                life = group.create_task(two.run())
                seen = []

                def divided() -> bool:
                    seen.append(one.slots.limit + two.slots.limit)
                    return (one.slots.limit, two.slots.limit) == (3, 2)

                await until(divided, within=15.0)
                assert max(seen) <= 5
                reply = await bench.outcome(await bench.enqueue("echo", {"text": "x"}))
                assert (reply.code, text_of(reply)) == (Code.OK, "x")
                two.stop()
                await life
            await until(lambda: one.slots.limit == 5, within=15.0)
