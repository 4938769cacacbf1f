"""A player of the moves: chooses at random, by Hypothesis or by dice, what producers, workers and leaders do.

Above stand the stateful test and the mutants. Below is `play`, which carries it out and compares.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mcpweft_schemas.figure import Tally, series
from mcpweft_schemas.ident import request_id
from mcpweft_schemas.life import Class, State
from mcpweft_schemas.outcome import Executed
from mcpweft_schemas.store import Reader
from mcpweft_schemas.wire import Settlement, Submission
from play import CAP, DEAD_AFTER, PATIENCE, SERVERS, TOOLS, Play, Worker
from pool import OTHER, PRODUCER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from mcpweft_schemas.wire import Delivery

T = TypeVar("T")

_EXTRAS: list[tuple[str, ...]] = [(), ("rules", "3 a-rule"), ("session", "s1", "rules", "4 b c")]

_WORKERS = sorted(SERVERS)
_PRODUCERS = [PRODUCER, OTHER]
_EXECUTED = list(Executed)
_HOW_OFTEN = {
    "enqueue": 7, "fetch": 9, "settle": 9, "settle_as_a_zombie": 4, "repeat_any_earlier_move": 5,
    "fail_over": 3, "cancel": 3, "let_time_pass": 3, "reclaim": 3, "expire": 2, "attach": 2, "sweep": 2,
    "adopt": 2, "fetch_and_lose_the_answer": 2, "join": 2, "fetch_late": 1, "crash": 1, "retire": 1,
    "beat": 1, "book": 2, "deal": 1, "declare": 1, "hear": 1, "lose_stream": 1, "wipe": 1,
}  # fmt: skip
_DEEDS = [deed for deed, often in _HOW_OFTEN.items() for _ in range(often)]


class Player:
    """Plays one game: `begin`, any number of turns, `end`. How it chooses is a subclass's affair."""

    def __init__(self, url: str, namespace: str) -> None:
        self.runner = asyncio.Runner()
        self.play = self.runner.run(self._open(url, namespace))
        self.past: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.booked = 0

    @staticmethod
    async def _open(url: str, namespace: str) -> Play:
        return Play(url, namespace)

    def _number(self, low: int, high: int) -> int:
        """Choose a number, the ends included."""
        raise NotImplementedError

    def _one_of(self, values: Sequence[T]) -> T:
        """Choose a value."""
        raise NotImplementedError

    def begin(self) -> None:
        self._agree_after(self.play.forward(0))
        self._set_up()

    def turn(self) -> None:
        getattr(self, self._one_of(_DEEDS))()

    def end(self) -> None:
        self.runner.run(self.play.close())
        self.runner.close()

    def _do(self, deed: str, *args: Any, **named: Any) -> Any:
        """Carry out a deed that may be repeated, and remember it."""
        self.past.append((deed, args, named))
        return self._agree_after(getattr(self.play, deed)(*args, **named))

    def _agree_after(self, deed: Coroutine[Any, Any, Any]) -> Any:
        async def both() -> Any:
            answer = await deed
            await self.play.agree()
            return answer

        return self.runner.run(both())

    def _set_up(self) -> None:
        self._declare()
        for producer in (PRODUCER, OTHER):
            self._do("hear", producer)
        for worker in SERVERS:
            self._join(worker)

    def _declare(self) -> None:
        self.play.incarnations += 1
        self._do("declare", f"inc{self.play.incarnations}")

    def _join(self, worker: str) -> None:
        """Start a worker's process, anew where it ran before: it holds nothing and has a higher epoch."""
        before = self.play.workers.get(worker)
        server = SERVERS[worker]
        instance = "beta" if server == "beta" else worker
        epoch = before.reader.epoch + 1 if before else 1
        reader = Reader(worker, server, instance, self.play.oracle.incarnation, epoch)
        self.play.workers[worker] = Worker(reader)
        self._do("register", reader)
        self._do("beat", reader, 5000)

    # -- the deeds -----------------------------------------------------------------------------------------

    def declare(self) -> None:
        self._declare()

    def join(self) -> None:
        self._join(self._one_of(_WORKERS))

    def hear(self) -> None:
        self._do("hear", self._one_of(_PRODUCERS))

    def lose_stream(self) -> None:
        self._agree_after(self.play.lose_stream(self._one_of(_PRODUCERS)))

    def beat(self) -> None:
        self._do("beat", self.play.workers[self._one_of(_WORKERS)].reader, self._one_of([0, 2000, 60_000]))

    def enqueue(self) -> None:
        for _ in range(self._number(1, 3)):
            self._do("enqueue", self._submission())

    def _submission(self) -> Submission:
        number = len(self.play.ids)
        key = self._one_of(["", "", "k", "l"])
        sent = Submission(
            id=request_id(CAP, lambda: number * 1_000_000, bytes), tool=self._one_of(sorted(TOOLS)),
            klass=self._one_of(list(Class)), body=b"body", max_attempts=self._number(1, 3),
            timeout_ms=self._one_of([3000, 60_000]), delay_ms=self._one_of([0, 0, 0, 700]),
            safe=self._one_of([None, None, True, False]),
            flags=self._one_of(["", "", "s", "d", "u"]),
            waiter=self._one_of([PRODUCER, PRODUCER, OTHER, ""]),
            key=key, print=self._one_of(["a", "a", "b"]) if key else "",
            keep_ms=600_000, key_keep_ms=600_000,
            extra=_EXTRAS[number % len(_EXTRAS)],
        )  # fmt: skip
        self.play.ids.append(sent.id)
        return sent

    def fetch(self) -> None:
        me = self.play.workers[self._one_of(_WORKERS)]
        me.held += self._agree_after(self.play.fetch(me.reader, self._number(1, 4)))

    def fetch_and_lose_the_answer(self) -> None:
        reader = self.play.workers[self._one_of(_WORKERS)].reader
        self._agree_after(self.play.fetch(reader, self._number(1, 4)))

    def fetch_late(self) -> None:
        """Bytes of an earlier epoch arrive."""
        reader = self.play.workers[self._one_of(_WORKERS)].reader
        self._agree_after(self.play.fetch(replace(reader, epoch=reader.epoch - 1), 4))

    def adopt(self) -> None:
        me = self.play.workers[self._one_of(_WORKERS)]
        me.reader = replace(me.reader, epoch=me.reader.epoch + 1)
        me.held += self._do("adopt", me.reader, tuple((d.stream, d.entry) for d in me.held))

    def settle(self) -> None:
        for me in self.play.workers.values():
            if me.held and self._number(0, 3):
                delivery = me.held.pop(self._number(0, len(me.held) - 1))
                self._settle(me.reader, delivery)
                if self._number(0, 1):
                    me.held += self._agree_after(self.play.fetch(me.reader, 1))

    def settle_as_a_zombie(self) -> None:
        """Settle any delivery that there ever was, whoever has it by now."""
        past = self.play.deliveries
        known = self.play.oracle.requests
        running = {d.id for _, d in past if d.id in known and known[d.id].token}
        elsewhere = [
            (worker, d) for worker, d in past if d.id in running and known[d.id].token != (d.stream, d.entry)
        ]
        if past:
            late = (elsewhere or past)[-9:]
            worker, delivery = late[self._number(0, len(late) - 1)]
            self._settle(self.play.workers[worker].reader, delivery)

    def _settle(self, reader: Reader, delivery: Delivery) -> None:
        how = self._one_of(["done", "retry", "retry", "release"])
        ran = Executed.YES if how == "done" else self._one_of(_EXECUTED)
        settlement = Settlement(
            delivery.id, delivery.stream, delivery.entry, how, "OK" if how == "done" else "", how, ran,
            backoff_ms=self._one_of([0, 500]),
        )  # fmt: skip
        self._do("settle", settlement, reader.instance)

    def attach(self) -> None:
        self._do("attach", self._id(), self._one_of(_PRODUCERS))

    def cancel(self) -> None:
        producer = self._one_of(["", PRODUCER, OTHER])
        request = self._id()
        self._do("cancel", request, producer, stop=bool(self._number(0, 1)))
        if self._number(0, 1):
            self._do("expire", request)

    def expire(self) -> None:
        self._do("expire", self._id())

    def _id(self) -> str:
        """Choose a request, preferably one that runs."""
        running = [r.sent.id for r in self.play.oracle.living() if r.state == State.RUNNING]
        if running and self._number(0, 1):
            return self._one_of(running)
        ids = (list(self.play.oracle.requests) or ["echo~nobody"])[-9:]
        return self._one_of(ids)

    def _busy(self) -> str:
        """Choose a worker, one that has something if there is one."""
        busy = [worker for worker in SERVERS if self.play.oracle.held_by(worker)]
        return self._one_of(busy or sorted(SERVERS))

    def crash(self) -> None:
        self.play.workers[self._one_of(_WORKERS)].held.clear()

    def fail_over(self) -> None:
        """A worker dies, and the others take what it had."""
        dead = self._busy()
        me = self.play.workers[dead]
        me.held.clear()
        confirmed = bool(self._number(0, 1))
        if not confirmed:
            self._do("beat", me.reader, 2000)
            self._agree_after(self.play.forward(DEAD_AFTER))
        self._do("reclaim", self.play.oracle.leader + 1, dead, confirmed=confirmed)
        self.fetch()

    def reclaim(self) -> None:
        worker = self._busy()
        silence = self._one_of([0, DEAD_AFTER, DEAD_AFTER, DEAD_AFTER + PATIENCE])
        if silence:
            self._do("beat", self.play.workers[worker].reader, 0)
            self._agree_after(self.play.forward(silence))
        epoch = self.play.oracle.leader + self._one_of([1, 1, -1])
        self._do("reclaim", epoch, worker, confirmed=bool(self._number(0, 1)))

    def retire(self) -> None:
        self._do("retire", self._one_of(_WORKERS))

    def sweep(self) -> None:
        self._do("sweep", self.play.oracle.leader + self._one_of([1, -1]))

    def deal(self) -> None:
        dealt = [worker for worker in SERVERS if self._number(0, 1)]
        strategy = self._one_of(["even", "odd"])
        epoch = self.play.oracle.leader + self._one_of([0, 1, -1])
        self._do("deal", epoch, strategy, {worker: strategy.encode() for worker in dealt})

    def book(self) -> None:
        worker = self._one_of(_WORKERS)
        self.booked += 1
        told = {
            series("alpha", tool, "normal"): Tally(
                {figure: self._number(1, 70_000) for figure in (0, 7, 300)}
            )
            for tool in sorted(TOOLS)[: self._number(1, 2)]
        }
        self._do("book", worker, self.booked, told)

    def let_time_pass(self) -> None:
        self._agree_after(self.play.forward(self._one_of([1, 499, 700, 1000, 3000, 11_000])))

    def wipe(self) -> None:
        self._agree_after(self.play.wipe())
        if self._number(0, 3):
            self._set_up()

    def repeat_any_earlier_move(self) -> None:
        """Say the same again, as one does whose answer was lost."""
        deed, args, named = self.past[-self._number(1, min(25, len(self.past)))]
        self._agree_after(getattr(self.play, deed)(*args, **named))


class Drawn(Player):
    """A player whose choices Hypothesis makes, so that it can make them smaller."""

    draw: Callable[[st.SearchStrategy[Any]], Any]

    def _number(self, low: int, high: int) -> int:
        return cast("int", self.draw(st.integers(low, high)))

    def _one_of(self, values: Sequence[T]) -> T:
        return cast("T", self.draw(st.sampled_from(values)))


class Rolled(Player):
    """A player whose choices are dice with a seed: quicker, and evenly spread."""

    def __init__(self, url: str, namespace: str, seed: int) -> None:
        super().__init__(url, namespace)
        self._dice = random.Random(seed)

    def _number(self, low: int, high: int) -> int:
        return self._dice.randint(low, high)

    def _one_of(self, values: Sequence[T]) -> T:
        return self._dice.choice(values)


def machine_on(url: str, namespace: str) -> type[RuleBasedStateMachine]:
    """Return the machine that plays on that store, for Hypothesis to drive.

    It has one rule, so that the deeds keep their odds: Hypothesis leaves rules out of whole examples.
    """

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.player = Drawn(url, namespace)

        @initialize()
        def begin(self) -> None:
            self.player.begin()

        @rule(data=st.data())
        def turn(self, data: st.DataObject) -> None:
            self.player.draw = data.draw
            self.player.turn()

        def teardown(self) -> None:
            self.player.end()

    return Machine


def play_games(url: str, namespace: str, seeds: Iterable[int], turns: int) -> None:
    """Play one game with each seed; the first that the oracle objects to ends it with an AssertionError."""
    for seed in seeds:
        player = Rolled(url, namespace, seed)
        try:
            player.begin()
            for _ in range(turns):
                player.turn()
        except AssertionError as error:
            raise AssertionError(f"the game with seed {seed}: {error}") from error
        finally:
            player.end()
