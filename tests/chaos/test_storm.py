"""A short storm, and the pure parts of a long one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pytest

from chaos import recovery
from chaos.blows import DEAL
from chaos.load import calls
from chaos.plan import Kind, plan
from chaos.storm import POOLS, storm

if TYPE_CHECKING:
    from pathlib import Path

    import realredis

SEED = 20


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_short_storm_of_every_kind_of_blow_violates_nothing(
    private_redis: realredis.RedisServer, tmp_path: Path
) -> None:
    verdict = await storm(
        requests=1500, seed=SEED, folder=tmp_path, server=private_redis, mean=0.5, least=len(Kind)
    )
    assert not {kind: found for kind, found in verdict.violations.items() if found}
    assert verdict.requests == 1500
    assert verdict.blows.keys() == set(Kind)
    assert verdict.codes["OK"] > verdict.codes.total() / 2
    assert verdict.recovery


def test_the_same_seed_deals_the_same_blows_and_makes_the_same_calls() -> None:
    assert list(islice(plan(1), 50)) == list(islice(plan(1), 50))
    assert list(islice(plan(1), 50)) != list(islice(plan(2), 50))
    assert list(islice(calls(1, POOLS), 50)) == list(islice(calls(1, POOLS), 50))


def test_every_kind_of_blow_comes_once_in_each_deal_and_can_be_dealt() -> None:
    blows = list(islice(plan(3), 2 * len(Kind)))
    assert {blow.kind for blow in blows[: len(Kind)]} == set(Kind) == DEAL.keys()
    assert {blow.kind for blow in blows[len(Kind) :]} == set(Kind)


def test_recovery_is_the_first_answer_to_what_was_accepted_after_the_blow() -> None:
    def log(nonce: str, accepted: float, ended: float, code: str = "OK") -> list[dict[str, object]]:
        said: dict[str, object] = {"event": "accepted", "nonce": nonce, "time": accepted}
        return [said, {"event": "outcome", "nonce": nonce, "code": code, "time": ended}]

    logs = [log("a", 1.0, 9.0), log("b", 2.0, 4.0) + log("c", 3.0, 3.5, "TIMEOUT"), log("d", 2.5, 3.0)]
    answers = recovery.answered(logs)
    assert answers == [(1.0, 9.0), (2.0, 4.0), (2.5, 3.0)]
    found = recovery.recoveries([("kill", 0.5), ("kill", 2.2), ("cut", 2.75)], answers)
    assert found == {"kill": [pytest.approx(2.5), pytest.approx(0.8)]}
