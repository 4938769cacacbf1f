"""The worker's composition: one process, one MCP server, the doers between it and its pools.

    Heartbeat (thread) ─────────────▶ store ◀─────────── Settler, Bookkeeper (a pool)
    Control (cancels) ──▶ Runner ──────────────────────────▲
    Fetcher (a pool) ──▶ Slots, Allotment ─ Gate ─ Breaker ─▶ Runner ─┘──▶ Session ──▶ MCP server
                                          └─ Accord: the breaker as all of the server's workers share it
    Binding (a pool: registered as whom)    Vigil, Check, Meter, Division, Tenancy, Sweeper (standby), Herald

Teardown, in this order, whatever began it:
    1. no more pulling: gate and slots close, each fetcher ends once its fetch is answered, the rest goes back
    2. runs finish within the grace, or however late where it drains; then they are stopped, each with its
       true `executed`
    3. what they came to is settled, within a bound
    4. the server is closed and leaves no process; its lease is given up
    5. the heartbeat ends; the worker retires from its pools and tells so; what it counted is booked; the
       links close
Every task belongs to one of two groups: `doers` (cancelled after 3) and `runs` (empty after 2).

Above stands entry.py. It must never decide what a doer decides.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.circuit import State, home_of
from mcpweft_schemas.connect import Link, StoreUnreachableError
from mcpweft_schemas.errors import McpweftError
from mcpweft_schemas.event import Kind
from mcpweft_schemas.herald import Herald
from mcpweft_schemas.store import Store
from mcpweft_schemas.sweeper import Sweeper
from mcpweft_schemas.word import Word
from mcpweft_workers.accord import Accord
from mcpweft_workers.allotment import Allotment
from mcpweft_workers.backoff import Patience
from mcpweft_workers.binding import Binding
from mcpweft_workers.bookkeeper import Bookkeeper
from mcpweft_workers.breaker import Breaker
from mcpweft_workers.catalog import Catalog
from mcpweft_workers.check import Check
from mcpweft_workers.control import Control
from mcpweft_workers.division import Division
from mcpweft_workers.endpoint import Endpoint
from mcpweft_workers.fetcher import Fetcher
from mcpweft_workers.gate import Gate
from mcpweft_workers.heartbeat import Heartbeat
from mcpweft_workers.log import event
from mcpweft_workers.meter import Meter
from mcpweft_workers.metrics import Metrics
from mcpweft_workers.news import News
from mcpweft_workers.progress import Progress
from mcpweft_workers.report import Report
from mcpweft_workers.runner import Means, Runner
from mcpweft_workers.session import Session, SessionState
from mcpweft_workers.settler import Settler
from mcpweft_workers.slots import Slots
from mcpweft_workers.tenancy import Tenancy
from mcpweft_workers.vigil import Vigil

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from mcpweft_schemas.store import Reader
    from mcpweft_schemas.sweeplog import Event as SweepEvent
    from mcpweft_schemas.wire import Settlement
    from mcpweft_workers.breaker import Transition
    from mcpweft_workers.plan import Plan
    from mcpweft_workers.tool import Tool

LAST_WORDS = 5.0
"""Seconds that each of the last conversations with the store may take."""
IN_A_HURRY = 1.0
"""The same, once told to stop a second time."""
LEASE = 3.0
"""Seconds that an exclusive server's lease lasts."""


class Worker:
    """One worker; `run` is its whole life, `stop` asks it to end."""

    def __init__(self, plan: Plan, *, clock: Callable[[], float], rng: random.Random, epoch: int) -> None:
        """Make one, on a running event loop. `epoch` is above that of every earlier process of this id."""
        self.plan = plan
        self.metrics = Metrics(plan.identity.server, plan.capabilities)
        self._clock = clock
        self._rng = rng
        self._stopping = asyncio.Event()
        self._told = asyncio.Event()
        """Set once the grace runs."""
        self._hurry = asyncio.Event()
        self._tools: tuple[Tool, ...] | None = None
        self._catalog = Catalog(plan.identity.server, ())
        self._was_usable = False
        self.endpoint: Endpoint | None = None
        """Where it answers over HTTP, while it runs and was asked to."""
        self.store = Store(Link.to(plan.store_url), plan.namespace)
        self.herald = Herald(self.store, plan.keep_events, clock)
        self.news = News(plan.identity, self.herald.tell)
        self.session = Session(plan.spec, rng=rng, on_state=self._on_state, on_tools=self._on_tools)
        loop = asyncio.get_running_loop()
        breaker = Breaker(plan.breaker, rng, clock(), shared=True)
        self.gate = Gate(breaker, clock, loop, self._on_breaker)
        self.gate.close("session", "connecting to the server")
        self.gate.close("tools", "the pool does not know the server's tools yet")
        # What is shared is taken once it is known who shares it.
        slots = 0 if plan.shares else plan.concurrency
        self.slots = Slots(slots, dict.fromkeys(plan.capabilities, 1.0), self.gate.room, self._on_slots)
        self.allotment = Allotment(self.slots)
        self.meter = Meter(lambda: self.session.pids, clock)
        self._bindings = {name: self._bind(name, epoch) for name in plan.capabilities}
        self._accord = self._make_accord(epoch)
        self._settlers = {name: self._settler(binding) for name, binding in self._bindings.items()}
        self._books = {name: self._bookkeeper(binding, epoch) for name, binding in self._bindings.items()}
        self._progress = Progress(clock, self.metrics.told)
        self.runner = self._make_runner()
        self._fetchers = [self._fetcher(binding) for binding in self._bindings.values()]
        self.vigil = Vigil(
            self.session, self.runner, self.gate, hung_after=plan.hung_after, clock=clock,
            tell=self.news.of_server,
        )  # fmt: skip
        self.check = self._make_check()
        self._tenancy = self._make_tenancy()
        self.report = self._make_report()
        self._heart = Heartbeat(
            lambda: Store(Link.to(plan.store_url), plan.namespace),
            self.report.pulse,
            every=plan.heartbeat,
            dead_after=plan.dead_after,
            clock=clock,
            on_lost=self._on_lost,
            on_breaker=self._accord.heard,
            on_share=self.allotment.heard,
        )
        self.gate.listen(self._on_gate)

    # --- its parts

    def _patience(self) -> Patience:
        return Patience(self._rng)

    def _bind(self, capability: str, epoch: int) -> Binding:
        return Binding(
            self.store,
            capability,
            self.plan.identity,
            settings=self.plan.pool_settings,
            tools=lambda: self._tools,
            is_safe=self.plan.is_safe,
            limits=self.plan.limits,
            patience=self._patience(),
            epoch=epoch,
            tell=self.news.of_pool,
        )

    def _make_accord(self, epoch: int) -> Accord:
        home = home_of(self.plan.capabilities)
        return Accord(
            self._bindings[home],
            [binding for name, binding in self._bindings.items() if name != home],
            self.gate,
            self.slots,
            patience=self._patience(),
            clock=self._clock,
            rng=self._rng,
            epoch=epoch,
        )

    def _settler(self, binding: Binding) -> Settler:
        return Settler(binding, patience=self._patience(), clock=self._clock, on_word=self._on_word)

    def _bookkeeper(self, binding: Binding, epoch: int) -> Bookkeeper:
        return Bookkeeper(binding, number=epoch, patience=self._patience(), clock=self._clock)

    def _make_runner(self) -> Runner:
        means = Means(
            server=self.plan.identity.server,
            session=self.session,
            catalog=lambda: self._catalog,
            gate=self.gate,
            slots=self.slots,
            settlers=self._settlers,
            books=self._books,
            progress=self._progress,
            meter=self.meter,
            metrics=self.metrics,
            rules=self.plan.rules,
        )
        return Runner(means, clock=self._clock, rng=self._rng)

    def _fetcher(self, binding: Binding) -> Fetcher:
        return Fetcher(
            binding,
            slots=self.slots,
            allotment=self.allotment,
            runner=self.runner,
            metrics=self.metrics,
            patience=self._patience(),
            clock=self._clock,
        )

    def _make_check(self) -> Check:
        return Check(
            self.session,
            self.runner,
            self.gate,
            every=self.plan.check_every,
            unhealthy_after=self.plan.unhealthy_after,
            clock=self._clock,
        )

    def _make_report(self) -> Report:
        return Report(
            gate=self.gate,
            slots=self.slots,
            runner=self.runner,
            session=self.session,
            vigil=self.vigil,
            check=self.check,
            bindings=self._bindings,
            home=home_of(self.plan.capabilities),
            settlers=self._settlers,
            metrics=self.metrics,
            herald=self.herald,
            meter=self.meter,
            draining=self._stopping.is_set,
            told=lambda capability: self._heart.told.get(capability, False),
            clock=self._clock,
        )

    def _make_tenancy(self) -> Tenancy | None:
        if not self.plan.exclusive:
            return None
        who = self.plan.identity
        return Tenancy(self.store, who.server, who.worker, ttl=LEASE, clock=self._clock)

    # --- its life

    def stop(self) -> None:
        """Ask it to end: within the grace, and at once when asked a second time."""
        if self._told.is_set():
            self._hurry.set()
        event(logging.INFO, "stopping", at_once=self._hurry.is_set())
        self._told.set()
        self._stopping.set()

    def drain(self) -> None:
        """Ask it to take nothing more, and to end with its last call; `stop` still ends it sooner."""
        event(logging.INFO, "draining")
        self._stopping.set()

    async def run(self) -> None:
        """Serve until `stop`. Raises StoreRefusedError where the store refuses it at the start."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.store.link.close)
            with suppress(StoreUnreachableError):  # a store that is away for now is waited for
                await self.store.pools()
            if self.plan.port is not None:
                self.endpoint = self._endpoint(self.plan.port)
                await stack.enter_async_context(self.endpoint)
                event(logging.INFO, "listening", host=self.endpoint.address, port=self.endpoint.port)
            stack.push_async_callback(self._leave)
            self._heart.start()
            async with asyncio.TaskGroup() as doers:
                tasks = [doers.create_task(coroutine, name=name) for name, coroutine in self._doers()]
                async with asyncio.TaskGroup() as runs:
                    pulling = [doers.create_task(fetcher.run(runs)) for fetcher in self._fetchers]
                    await self._stopping.wait()
                    await self._drain(pulling)
                await self._settle_all()
                for task in tasks:
                    task.cancel()

    def _doers(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        bindings = list(self._bindings.values())
        ears = [[binding] for binding in bindings] if self.store.link.is_cluster else [bindings]
        yield "server", self._own_server()
        yield "tools", self._open_once_told()
        yield "progress", self._progress.run()
        yield "events", self.herald.run()
        yield "vigil", self.vigil.run()
        yield "check", self.check.run()
        yield "meter", self.meter.run()
        yield "accord", self._accord.run()
        for binding in bindings:
            yield f"binding {binding.capability}", binding.run()
            yield f"settler {binding.capability}", self._settlers[binding.capability].run()
            yield f"books {binding.capability}", self._books[binding.capability].run()
        for ear in ears:
            yield "control", self._control(ear).run()
        if self.plan.shares:
            division = Division(bindings[0], self.slots, self.plan.concurrency, self.plan.dead_after)
            yield "division", division.run()
        if self.plan.sweep is not None:
            yield "standby", self._stand_by()

    def _control(self, bindings: list[Binding]) -> Control:
        return Control(
            self.store,
            bindings,
            on_cancel=self.runner.cancel,
            on_breaker=self._accord.heard,
            patience=self._patience(),
        )

    def _endpoint(self, port: int) -> Endpoint:
        return Endpoint(
            self.plan.host,
            port,
            ready=self.report.readiness,
            metrics=lambda: self.report.prometheus(self._heart.lag),
        )

    async def _open_once_told(self) -> None:
        """Pull nothing before the pool knows which tools are safe: it would be run as if it were not."""
        for binding in self._bindings.values():
            await binding.told.wait()
        self.gate.open("tools")

    async def _own_server(self) -> None:
        """Keep the server connected; one that must be alone, while the lease is held."""
        if self._tenancy is None:
            await self.session.run()
            return
        while True:
            self.gate.close("lease", f"waiting for the lease {self._tenancy.name}")
            await self._tenancy.take()
            self.gate.open("lease")
            async with asyncio.TaskGroup() as tenure:
                server = tenure.create_task(self.session.run(), name="exclusive server")
                await self._tenancy.keep()
                self.gate.close("lease", f"lost the lease {self._tenancy.name}")
                self.session.cut("its lease is lost")  # somebody else may start it now
                server.cancel()

    async def _stand_by(self) -> None:
        """Sweep for the dead while no coordinator does; a fault in it must not end the worker."""
        assert self.plan.sweep is not None, "asked for"  # noqa: S101  # _doers looked
        holder = f"worker.{self.plan.identity.worker}"[:96]
        sweeper = Sweeper(
            self.store, holder, self.plan.sweep, clock=self._clock, rng=self._rng, standby=True,
            on_event=lambda what, values: self._on_sweep(what, values, holder),
        )  # fmt: skip
        try:
            await sweeper.run()
        except Exception:
            logging.getLogger(__name__).exception("the standby sweeper broke")

    # --- its end

    async def _drain(self, pulling: list[asyncio.Task[None]]) -> None:
        self.gate.close("drain", "draining")
        for fetcher in self._fetchers:
            fetcher.halt()
        self.slots.close()
        began = self._clock()
        await self._within(min(LAST_WORDS, self.plan.grace), self._stop_fetching())
        for task in pulling:
            task.cancel()
        if not self._told.is_set():
            await self._within(None, self.runner.idle(), self._told)
            began = self._clock()
        await self._within(self.plan.grace - (self._clock() - began), self.runner.idle())
        if self.runner.in_flight:
            event(logging.WARNING, "grace over", calls=self.runner.in_flight)
            self.runner.stop_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self.runner.idle()
            self.runner.abandon()

    async def _stop_fetching(self) -> None:
        async with asyncio.TaskGroup() as stops:
            for fetcher in self._fetchers:
                stops.create_task(fetcher.stop())

    async def _within(
        self, seconds: float | None, work: Coroutine[Any, Any, None], unless: asyncio.Event | None = None
    ) -> None:
        """Wait for `work`, for so long at most, and not once there is a hurry (or what else is said)."""
        task = asyncio.create_task(work)
        hurry = asyncio.create_task((unless or self._hurry).wait())
        limit = None if seconds is None else max(0, seconds)
        try:
            await asyncio.wait((task, hurry), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            hurry.cancel()
            await asyncio.wait((task, hurry))
        if not task.cancelled() and (error := task.exception()):
            event(logging.ERROR, "ending broke", error=repr(error))

    def _last_words(self) -> float:
        return IN_A_HURRY if self._hurry.is_set() else LAST_WORDS

    async def _settle_all(self) -> None:
        try:
            async with asyncio.timeout(self._last_words()):
                for settler in self._settlers.values():
                    await settler.drained()
        except TimeoutError:
            event(logging.ERROR, "left unsettled", requests=self.report.backlog)

    async def _leave(self) -> None:
        """Say goodbye to the store; without it the worker would count as dead after a second."""
        self.gate.shut_down()
        await self._heart.stop()
        try:
            async with asyncio.timeout(self._last_words()):
                if self._tenancy is not None:
                    await self._tenancy.give_up()
                for name in self._bindings:
                    word = await self.store.retire(name, self.plan.identity.worker)
                    event(logging.INFO, "retired", pool=name, pending=word is Word.PENDING)
                    if word is Word.OK:
                        self.news.of_pool(Kind.WORKER_LEFT, name, {})
                await self.herald.last_words()
                for books in self._books.values():
                    await books.last_words()
        except (McpweftError, TimeoutError) as error:
            event(logging.WARNING, "not retired", error=str(error))

    # --- what it hears

    def _on_state(self, state: SessionState, reason: str) -> None:
        event(logging.INFO, "server", state=state.value, reason=reason)
        self.news.state(state, reason, self.session.connects)
        if state is SessionState.READY:
            self.gate.open("session")
        else:
            self.gate.close("session", reason or f"the server is {state.value.lower()}")

    def _on_tools(self, tools: tuple[Tool, ...]) -> None:
        if tools == self._tools:
            return
        self._tools = tools
        self._catalog = Catalog(self.plan.identity.server, tools)
        for binding in self._bindings.values():
            binding.retell()

    def _on_breaker(self, move: Transition) -> None:
        event(
            logging.WARNING, "breaker", before=move.before.value, after=move.after.value, reason=move.reason
        )
        self.metrics.moved(move.after.value)
        if move.after is State.FORCED_OPEN:
            self.runner.hand_over()
        self.news.breaker(move)

    def _on_slots(self) -> None:
        self._accord.look()

    def _on_gate(self) -> None:
        self.slots.poke()
        if self.gate.is_open != self._was_usable:
            self._was_usable = self.gate.is_open
            self._heart.nudge()

    def _on_lost(self, capability: str, reader: Reader) -> None:
        self._bindings[capability].lost(reader)

    def _on_word(self, capability: str, settlement: Settlement, word: Word | None) -> None:
        self.metrics.settled(capability, word)
        self.news.settled(capability, settlement, word)
        if word is Word.LOST or word is None:
            why = "never answered" if word is None else "no longer this worker's"
            event(logging.WARNING, "settle lost", request=settlement.id, cause=settlement.cause, reason=why)

    def _on_sweep(self, what: SweepEvent, values: Mapping[str, Any], holder: str) -> None:
        event(logging.INFO, f"sweep: {what}", **values)
        self.news.swept(what, values, holder)
