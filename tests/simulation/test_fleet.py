"""The simulated fleet behaves as theory and the protocol say: what it says of strategies can be believed."""

from __future__ import annotations

import pytest

from mcpweft_coordinator.strategy.round_robin import round_robin
from mcpweft_schemas.share import Share
from mcpweft_simulator.fleet import Fleet
from mcpweft_simulator.server import Episode, Trouble, exactly, exponential, flapping
from mcpweft_workers.breaker import Policy, State

BREAKER = Policy(window=30.0, consecutive_failures=3, recovery=5.0, successes=1, probes=1)


def mean(times: list[float]) -> float:
    return sum(times) / len(times)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.85])
def test_one_exponential_server_answers_in_the_mean_time_of_an_m_m_1_queue(load: float) -> None:
    fleet = Fleet(seed=11)
    pool = fleet.pool("echo")
    fleet.worker("w", fleet.server("s", exponential(0.05)), [pool])
    fleet.arrivals(pool, lambda _: load / 0.05)
    fleet.run(6000)
    assert mean(pool.ledger.times(60)) == pytest.approx(0.05 / (1 - load), rel=0.07)


def test_calls_that_share_a_processor_take_in_the_mean_what_processor_sharing_says() -> None:
    fleet = Fleet(seed=12)
    pool = fleet.pool("echo")
    fleet.worker("w", fleet.server("s", exactly(0.05), cores=1), [pool], concurrency=50)
    fleet.arrivals(pool, lambda _: 0.6 / 0.05)
    fleet.run(4000)
    assert mean(pool.ledger.times(60)) == pytest.approx(0.05 / (1 - 0.6), rel=0.07)


def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    def run(seed: int) -> list[float]:
        fleet = Fleet(seed)
        pool = fleet.pool("echo")
        for name in "ab":
            fleet.worker(name, fleet.server(name, exponential(0.05)), [pool])
        fleet.arrivals(pool, lambda _: 20.0)
        fleet.coordinate([pool], round_robin)
        fleet.run(60)
        return pool.ledger.times()

    assert run(1) == run(1) != run(2)


def test_every_request_ends_once_whatever_befalls_the_servers() -> None:
    fleet = Fleet(seed=13)
    pool = fleet.pool("echo")
    troubles = {
        "crash": (Episode(Trouble.CRASH, 20, 40),),
        "hang": (Episode(Trouble.HANG, 30, 50),),
        "slow": (Episode(Trouble.SLOW, 10, 60, 8.0),),
        "errors": (Episode(Trouble.ERRORS, 10, 60, 0.5),),
        "flap": tuple(flapping(10, 90, down=2.0, up=3.0)),
        "fine": (),
    }
    workers = {
        name: fleet.worker(
            name, fleet.server(name, exponential(0.05), episodes=episodes), [pool], concurrency=2,
            breaker=BREAKER, attempt_timeout=1.0,
        )
        for name, episodes in troubles.items()
    }  # fmt: skip
    fleet.worker("late", fleet.server("late", exponential(0.05)), [pool], at=50.0)
    fleet.kill(workers["slow"], at=35.0)
    fleet.clock.at(70.0, workers["errors"].leave)
    fleet.arrivals(pool, lambda _: 60.0, klass=lambda rng: rng.randrange(4), until=100.0)
    fleet.run(200)
    ledger = pool.ledger
    assert len(ledger.ended) == ledger.accepted > 5000
    assert sum(each.ok for each in ledger.ended) > 0.98 * ledger.accepted
    assert len(pool.queue) == 0


def test_a_server_that_fails_is_left_alone_until_its_probe_succeeds() -> None:
    fleet = Fleet(seed=14)
    pool = fleet.pool("echo")
    bad = fleet.server("bad", exactly(0.05), episodes=(Episode(Trouble.CRASH, 10, 30),))
    worker = fleet.worker("bad", bad, [pool], breaker=BREAKER)
    fleet.worker("good", fleet.server("good", exactly(0.05)), [pool])
    fleet.arrivals(pool, lambda _: 15.0)
    fleet.run(10)
    before = bad.calls
    fleet.run(30)
    assert bad.calls - before <= 3 + 4, "three that opened it, and a probe after 5, 10 and 20 s"
    assert worker.breaker.state(fleet.clock.now) in {State.OPEN, State.HALF_OPEN}
    fleet.run(60)
    assert worker.breaker.state(fleet.clock.now) is State.CLOSED
    assert bad.calls - before >= 100


def test_a_dead_worker_s_requests_are_answered_by_others_once_it_has_been_silent() -> None:
    fleet = Fleet(seed=15)
    pool = fleet.pool("echo")
    victim = fleet.worker("victim", fleet.server("v", exactly(5.0)), [pool], concurrency=4)
    fleet.arrivals(pool, lambda _: 10.0, until=1.0)
    fleet.kill(victim, at=2.0)
    fleet.worker("other", fleet.server("o", exactly(0.05)), [pool], concurrency=4, at=2.5)
    fleet.run(10)
    ended = pool.ledger.ended
    assert {each.worker for each in ended} == {"other"}
    assert len(ended) == pool.ledger.accepted
    assert max(each.took + each.accepted for each in ended) < 2.0 + 1.0 + 0.5


def test_a_worker_with_a_hold_lets_others_go_first_and_takes_what_they_leave() -> None:
    fleet = Fleet(seed=16)
    pool = fleet.pool("echo")
    fast = fleet.server("fast", exactly(0.05))
    slow = fleet.server("slow", exactly(0.05))
    fleet.worker("fast", fast, [pool])
    held = fleet.worker("slow", slow, [pool])
    held.take(pool, Share(hold_ms=200.0))
    fleet.arrivals(pool, lambda _: 5.0)
    fleet.run(100)
    assert slow.calls <= 2
    fleet.arrivals(pool, lambda _: 25.0)
    fleet.run(200)
    assert slow.calls > 300, "30 a second are more than one takes"
    assert mean(pool.ledger.times(110)) < 0.4


def test_with_a_thousand_workers_nobody_starves_and_no_request_waits_while_a_worker_is_idle() -> None:
    fleet = Fleet(seed=17)
    pool = fleet.pool("echo")
    servers = [fleet.server(f"s{i}", exponential(1.0)) for i in range(1000)]
    for index, server in enumerate(servers):
        fleet.worker(f"w{index}", server, [pool])
    fleet.coordinate([pool], round_robin)
    fleet.arrivals(pool, lambda _: 700.0)
    fleet.run(60)
    calls = [server.calls for server in servers]
    assert min(calls) > 15
    assert max(calls) < 90
    waited = [each.took for each in pool.ledger.ended]
    assert mean(waited) == pytest.approx(1.0, rel=0.05)


def test_under_saturation_each_class_gets_its_part() -> None:
    fleet = Fleet(seed=18)
    pool = fleet.pool("echo")
    fleet.worker("w", fleet.server("s", exactly(0.01)), [pool])
    fleet.arrivals(pool, lambda _: 400.0, klass=lambda rng: rng.randrange(4), timeout=1e9)
    fleet.run(200)
    served = [sum(each.klass == which for each in pool.ledger.ended) for which in range(4)]
    assert served[3] / sum(served) == pytest.approx(1 / 15, rel=0.05)
    assert served[0] / served[2] == pytest.approx(4, rel=0.05)
