"""Keeps the worker's breaker and the record of all that share its server in accord.

    the breaker found something out ─▶ tell the record ─▶ stand as its answer says
    a notice, or a beat's answer, names another generation ─▶ ask ─▶ the same
    half open, and slots are asked for ─▶ hold permits there, renew them, give back what nobody needs

One owner task, `run`, says one thing at a time and repeats it until it is answered: meanwhile the worker's
own judgement holds. A closed breaker costs no command. docs/breakers.md tells the rules.

Above stands the worker. Below: the gate with its breaker, the slots, the store. It must never count a call.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpweft_schemas.circuit import Act, Appeal, Pace, State
from mcpweft_schemas.word import Word
from mcpweft_workers.ejection import leaves_nobody
from mcpweft_workers.log import event

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from mcpweft_schemas.circuit import Circuit
    from mcpweft_workers.backoff import Patience
    from mcpweft_workers.binding import Binding
    from mcpweft_workers.gate import Gate
    from mcpweft_workers.slots import Slots

LIFE = 3.0
"""Seconds that a permit is held without a word of its worker."""
RENEW = LIFE / 3
"""Seconds between two words."""
AGAIN = 0.5
"""Seconds until permits that were not to be had are asked for again."""
_WHO = "circuit"


class Accord:
    """One worker's part in its server's breaker; `run` is its owner task."""

    def __init__(
        self,
        home: Binding,
        others: Sequence[Binding],
        gate: Gate,
        slots: Slots,
        *,
        patience: Patience,
        clock: Callable[[], float],
        rng: random.Random,
        epoch: int,
    ) -> None:
        """Make one, which holds the gate shut until the record has been asked.

        The record lies in the pool `home`; `others` are the server's other pools.
        """
        self._home = home
        self._others = others
        self._gate = gate
        self._breaker = gate.breaker
        self._slots = slots
        self._patience = patience
        self._clock = clock
        self._rng = rng
        self._names = (f"{home.identity.worker}/{epoch}.{n}" for n in itertools.count())
        self._wake = asyncio.Event()
        self._doubt = True  # whether the record may be another than the one that is followed
        self._due: float | None = None  # when to look again without being woken
        self._start_anew()
        gate.close(_WHO, "asking how the server's breaker stands")
        gate.listen(self.look)

    async def run(self) -> None:
        """Tell and ask until cancelled."""
        while True:
            await self._home.joined.wait()
            self._wake.clear()
            appeal = self._next()
            if appeal is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if self._due is None else self._due - self._clock()):
                        await self._wake.wait()
            elif (record := await self._say(appeal)) is None:
                await asyncio.sleep(self._patience.next())
            else:
                self._patience.reset()
                self._take(appeal, record)

    # --- what others tell

    def look(self) -> None:
        """See whether there is something to say: after each change of the gate or the slots."""
        half_open = self._breaker.state(self._clock()) is State.HALF_OPEN
        if self._breaker.findings or half_open:
            self._wake.set()

    def heard(self, generation: int | None = None) -> None:
        """Note what a beat says of the record's generation, or that something was heard of it."""
        if generation != self._breaker.told:
            self._doubt = True
            self._wake.set()

    # --- what it says

    def _next(self) -> Appeal | None:
        """Return what is to be said now."""
        breaker = self._breaker
        self._due = None
        if self._doubt:
            return self._appeal(Act.ASK)
        if breaker.findings:
            found = breaker.findings[0]
            permits = (found.grant,) if found.grant else ()
            return self._appeal(found.act, found.reason, hard=found.hard, permits=permits)
        if breaker.state(self._clock()) is State.HALF_OPEN:
            return self._probing()
        return None

    def _probing(self) -> Appeal | None:
        """Hold as many permits as calls could begin, and one while there is nothing to do.

        Whoever has none when a bell rings must pass the ring on, and where others are idle it would never get
        a call to prove its server with.
        """
        breaker, spare, used = self._breaker, self._breaker.spare, self._breaker.used
        wanted = self._slots.reserved + self._slots.wished
        wanted = max(0, min(wanted, breaker.policy.probes - len(used)))
        now = self._clock()
        if wanted < len(spare):  # given up here first: a call must not begin under what is given back
            spare = spare[:wanted]
            breaker.grant(spare)
        elif wanted > len(spare) and now >= self._again_at:
            spare = (*spare, *itertools.islice(self._names, wanted - len(spare)))
        elif not (used or spare) or now < self._renew_at:
            dues = [self._renew_at] * bool(used or spare) + [self._again_at] * (wanted > len(spare))
            self._due = min(dues, default=None)
            return None
        return self._appeal(Act.PROBE, permits=(*used, *spare))

    def _start_anew(self) -> None:
        self._again_at = self._renew_at = float("-inf")  # when more may be asked for, and when to renew

    def _appeal(
        self, act: Act, reason: str = "", *, hard: bool = False, permits: tuple[str, ...] = ()
    ) -> Appeal:
        who, policy = self._home.identity, self._breaker.policy
        pace = Pace(
            first_ms=round(policy.recovery * 1000), growth=policy.growth,
            longest_ms=round(policy.longest_recovery * 1000),
            stretch=1 + policy.jitter * self._rng.random(), probes=policy.probes,
            successes=policy.successes, life_ms=round(LIFE * 1000),
        )  # fmt: skip
        return Appeal(
            act=act, server=who.server, instance=who.instance, worker=who.worker,
            generation=self._breaker.told, reason=reason, hard=hard, pace=pace, permits=permits,
        )  # fmt: skip

    async def _say(self, appeal: Appeal) -> Circuit | None:
        """Return the answer; None where there is none, or the store does not know the worker now."""
        doubt, self._doubt = self._doubt, False
        last = appeal.act is Act.TRIP and not appeal.hard and await leaves_nobody(self._others)
        if last:
            appeal = replace(appeal, act=Act.ASK)
        try:
            record = await self._home.store.breaker(self._home.capability, appeal)
        except Exception as error:  # noqa: BLE001  # whatever the store says, it is said again
            event(logging.WARNING, "breaker not told", act=appeal.act.value, error=str(error))
            record = None
        if record is None or record.word is Word.UNKNOWN:
            self._doubt = self._doubt or doubt
            return None
        return replace(record, word=Word.LAST) if last else record

    def _take(self, appeal: Appeal, record: Circuit) -> None:
        """Stand as the record does."""
        breaker, now = self._breaker, self._clock()
        if appeal.act not in {Act.ASK, Act.PROBE} and breaker.findings:
            breaker.findings.pop(0)
        if record.word is Word.LAST:
            reason = f"the only usable server of a pool: {appeal.reason}"
            event(logging.WARNING, "breaker kept closed", reason=reason)
            breaker.overruled(record, now)
        if record.generation != breaker.told:
            self._start_anew()
        breaker.follow(record, now)
        if appeal.act is Act.PROBE and record.word is Word.OK:
            self._granted(appeal, record, now)
        self._gate.open(_WHO)
        self._gate.changed()

    def _granted(self, appeal: Appeal, record: Circuit, now: float) -> None:
        held = {*self._breaker.spare, *self._breaker.used}
        self._breaker.grant(record.permits, fresh=tuple(name for name in appeal.permits if name not in held))
        self._renew_at = now + RENEW
        if len(record.permits) < len(appeal.permits):
            left = (record.open_until_ms - record.now_ms) / 1000 if record.state is State.OPEN else AGAIN
            self._again_at = now + left
