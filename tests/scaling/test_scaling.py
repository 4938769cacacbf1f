"""The decision: by its rules one at a time, over whole loads in virtual time, and over any looks at all."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpweft_coordinator.scaling import START_S, Decision, Memory, Policy, Reason, Snapshot, decide
from scaling.queue_model import Model, Run

if TYPE_CHECKING:
    from collections.abc import Callable

POLICY = Policy(least=1, most=10)
CALM = Snapshot(waiting=0, running=0, busy=0, ready=2, per_worker=4, accepted=0, ended=0)


def looked(policy: Policy, memory: Memory, seen: Snapshot, seconds: int, begin: int = 0) -> Decision:
    """The decision after so many looks, a second apart, at what does not change."""
    decision = Decision(memory, memory.wanted, 0)
    for second in range(begin, begin + seconds):
        decision = decide(seen, policy, decision.memory, float(second))
    return decision


# -- one rule at a time ------------------------------------------------------------------------------------


def test_full_slots_ask_for_the_count_at_which_they_are_filled_to_the_middle() -> None:
    decision = looked(POLICY, Memory(2, 0.0), replace(CALM, busy=8, running=8), 60)
    assert (decision.wanted, decision.memory.reason) == (4, Reason.UTILISATION)  # 8 of 16 slots


def test_between_the_two_levels_the_count_stays() -> None:
    assert looked(POLICY, Memory(2, 0.0), replace(CALM, busy=4, running=4), 2000).wanted == 2


def test_what_waits_asks_for_as_many_as_work_it_off_in_time() -> None:
    memory = looked(POLICY, Memory(2, 0.0), replace(CALM, busy=4, running=4), 200).memory
    assert memory.measured is not None
    known = replace(memory, measured=replace(memory.measured, work=200.0, done=100.0))  # 2 s a call
    seen = replace(CALM, waiting=49, busy=4, running=4)
    decision = decide(seen, POLICY, known, 200.0)
    assert (decision.wanted, decision.memory.reason) == (5, Reason.BACKLOG)  # 49 * 2 / (5 * 4)


def test_near_deadlines_ask_for_more_than_the_target_wait_does() -> None:
    memory = looked(POLICY, Memory(2, 0.0), replace(CALM, busy=4, running=4), 200).memory
    assert memory.measured is not None
    known = replace(memory, measured=replace(memory.measured, work=100.0, done=100.0))  # 1 s a call
    seen = replace(CALM, waiting=24, busy=4, running=4, due=((1.0, 28.0), (5.0, 28.0)))
    decision = decide(seen, POLICY, known, 200.0)
    assert (decision.wanted, decision.memory.reason) == (6, Reason.DEADLINES)  # 24 in 1 s, 4 slots each


def test_one_request_wakes_a_server_at_once_and_a_refused_one_too() -> None:
    sleeping = Policy(least=0, most=3)
    asleep = replace(CALM, ready=0)
    memory = looked(sleeping, Memory(0, 0.0, raised_at=0.0), asleep, 5).memory
    for seen in (replace(asleep, waiting=1), replace(asleep, turned_away=1)):
        decision = decide(seen, sleeping, memory, 5.0)
        assert (decision.wanted, decision.memory.reason) == (1, Reason.REQUEST)


def test_the_last_worker_goes_when_nothing_was_done_for_its_time_and_never_with_a_call_under_way() -> None:
    policy = Policy(least=0, most=3, idle_s=30)
    at_work = looked(policy, Memory(1, 0.0), replace(CALM, ready=1, busy=1, running=1), 500)
    assert at_work.wanted == 1
    idle = looked(policy, at_work.memory, replace(CALM, ready=1), 30, begin=500)
    assert idle.wanted == 1
    gone = decide(replace(CALM, ready=1), policy, idle.memory, 530.0)
    assert (gone.wanted, gone.memory.reason) == (0, Reason.IDLE)


def test_workers_that_start_are_not_asked_for_again_until_they_count_as_not_coming() -> None:
    policy = replace(POLICY, cooldown_s=10)
    full = replace(CALM, busy=8, running=8)
    first = looked(policy, Memory(2, 0.0), full, 30)
    assert first.wanted == 4
    waited = replace(full, waiting=500)
    until = int(first.memory.changed_at + START_S)
    held = looked(policy, first.memory, waited, until - 30, begin=30)
    assert (held.wanted, held.need) == (4, 10)
    assert decide(waited, policy, held.memory, float(until)).wanted == 10


def test_a_step_down_is_half_at_most_and_the_next_one_a_cooldown_later() -> None:
    wanted = [9]
    memory = Memory(9, 0.0)
    for second in range(1300):
        memory = decide(replace(CALM, ready=9), POLICY, memory, float(second)).memory
        if memory.wanted != wanted[-1]:
            wanted.append(memory.wanted)
    assert wanted == [9, 5, 3, 2, 1]


def test_bounds_that_moved_move_the_count_at_once() -> None:
    assert decide(CALM, Policy(least=3, most=4), Memory(1, 0.0), 0.0).wanted == 3
    assert decide(CALM, Policy(least=0, most=1), Memory(7, 0.0), 0.0).wanted == 1


# -- whole loads -------------------------------------------------------------------------------------------


def step(second: int) -> float:
    return 1.0 if second < 60 else 16.0


def spike(second: int) -> float:
    return 40.0 if 300 <= second < 330 else 1.0


def flapping(second: int) -> float:
    return 14.0 if second // 45 % 2 else 1.0


def constant(second: int) -> float:
    return 9.0


def lawful(run: Run, policy: Policy) -> None:
    """Bounds are kept, no two steps up lie within a cooldown, and none is taken back within one."""
    assert all(policy.least <= wanted <= policy.most for wanted in run.wanted)
    for (at, by), (then, after) in pairwise(run.changes):
        if by > 0 or after < 0:
            assert then - at >= policy.cooldown_s
    ups = [at for at, by in run.changes if by > 0]
    assert all(then - at >= policy.cooldown_s for at, then in pairwise(ups))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("load", "begun", "turns"), [(step, 60, 1), (spike, 300, 3), (flapping, 45, 1), (constant, 0, 1)]
)
@pytest.mark.parametrize("start_s", [2.0, 90.0])
@pytest.mark.parametrize("cooldown_s", [60.0, 300.0])
def test_a_load_is_followed_without_oscillation_and_in_time(
    load: Callable[[int], float], begun: int, turns: int, seed: int, start_s: float, cooldown_s: float
) -> None:
    policy = replace(POLICY, cooldown_s=cooldown_s)
    model = Model(load, start_s=start_s, rng=random.Random(seed))
    run = model.run(policy, 2400)
    lawful(run, policy)
    slow = start_s if start_s > cooldown_s else 0.0  # no policy hastens a start
    assert run.calm_after(begun, policy.target_wait_s) <= 2 * (cooldown_s + slow)
    directions = [by > 0 for _, by in run.changes]
    assert sum(before != after for before, after in pairwise(directions)) <= turns
    assert len(run.changes) <= 8


def test_one_request_wakes_one_worker_and_nothing_more_for_a_long_time() -> None:
    model = Model(lambda _: 0.0)
    run = model.run(Policy(least=0, most=5), 60)
    assert set(run.wanted) == {0}
    lone = Model(lambda second: 4.0 if second == 100 else 0.0, exponential=False)
    run = lone.run(Policy(least=0, most=5), 900)
    assert run.served
    assert [by for _, by in run.changes] == [1, -1]
    assert run.changes[0][0] <= 101


# -- any looks ---------------------------------------------------------------------------------------------

POLICIES = st.builds(
    Policy,
    least=st.integers(0, 3),
    most=st.integers(3, 20),
    cooldown_s=st.floats(1, 300),
    target_wait_s=st.floats(0.1, 60),
    idle_s=st.floats(1, 300),
)
LOOKS = st.lists(
    st.builds(
        Snapshot,
        waiting=st.floats(0, 1e5),
        running=st.integers(0, 200),
        busy=st.integers(0, 200),
        ready=st.integers(0, 20),
        per_worker=st.integers(1, 16),
        accepted=st.floats(0, 1e6),
        ended=st.integers(0, 10**6),
        turned_away=st.integers(0, 3),
        due=st.lists(st.tuples(st.floats(0.01, 60), st.floats(0, 1e5)), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=40,
)


@given(POLICIES, LOOKS, st.integers(0, 20), st.floats(0.1, 100))
def test_whatever_is_seen_the_law_of_the_steps_holds(
    policy: Policy, looks: list[Snapshot], first: int, every: float
) -> None:
    memory = decide(looks[0], policy, Memory(first, 0.0), 0.0).memory
    raised: float | None = None
    lowered: float | None = None
    for turn, seen in enumerate(looks[1:], start=1):
        now, before = turn * every, memory.wanted
        decision = decide(seen, policy, memory, now)
        memory = decision.memory
        assert policy.least <= decision.wanted <= policy.most
        assert decision.change == decision.wanted - before
        if decision.change > 0 and before > 0:
            assert raised is None or now - raised >= policy.cooldown_s
            raised = now
        elif decision.change > 0:
            assert decision.wanted == 1
        elif decision.change < 0:
            assert raised is None or now - raised >= policy.cooldown_s or decision.wanted == 0
            assert decision.wanted >= before // 2
            if decision.wanted:
                assert lowered is None or now - lowered >= policy.cooldown_s
                lowered = now
            else:
                assert not seen.demand
