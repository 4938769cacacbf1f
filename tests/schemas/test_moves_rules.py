"""Which rules fitted a request travels with it: in its record, in its outcome, in a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import realredis
from mcpweft_schemas.outcome import Code
from mcpweft_schemas.rules.ruling import Ruling

if TYPE_CHECKING:
    from pool import Pool

pytestmark = realredis.every_store
RULES = ("rules", "7 a-rule another")
RULING = Ruling(7, ("a-rule", "another"))


async def test_they_lie_in_the_record_and_are_told_to_who_asks(pool: Pool) -> None:
    request = await pool.accept(extra=("session", "s", *RULES))
    plain = await pool.accept()
    assert (await pool.record(request))["rules"] == RULES[1]
    found = await pool.store.inspect("echo", request)
    assert found is not None
    assert Ruling.read(found.fields["rules"]) == RULING
    assert "rules" not in await pool.record(plain)


@pytest.mark.parametrize("how", ["done", "dead", "cancel", "retried", "delayed"])
async def test_they_are_told_with_the_outcome(pool: Pool, how: str) -> None:
    worker = await pool.join()
    request = await pool.accept(extra=RULES, flags="s", delay_ms=60_000 if how == "delayed" else 0)
    if how in {"cancel", "delayed"}:
        await pool.cancel(request)
    elif how == "retried":
        await pool.settle(await pool.take(worker), "retry")
        other = await pool.join("w2")
        await pool.settle(await pool.take(other), instance="w2")
    else:
        code = Code.OK if how == "done" else Code.FAILOVER_EXHAUSTED
        await pool.settle(await pool.take(worker), how, code=code.value)
    assert Ruling.read((await pool.outcome(request)).rules) == RULING
    _, kept = await pool.store.lookup("echo", [request])
    outcome = kept[request].outcome
    assert outcome is not None
    assert outcome.rules == RULES[1]


async def test_a_request_that_no_rule_fitted_has_no_such_field(pool: Pool) -> None:
    worker = await pool.join()
    request = await pool.accept()
    await pool.settle(await pool.take(worker))
    assert (await pool.outcome(request)).rules == ""
    raw = (await pool.shot()).replies("host.1.aaaaaaaa")
    assert all("rules" not in entry for entry in raw)


async def test_a_replay_goes_by_what_was_decided_then(pool: Pool) -> None:
    worker = await pool.join()
    request = await pool.accept(extra=RULES)
    await pool.settle(await pool.take(worker), "dead", code=Code.FAILOVER_EXHAUSTED.value)
    await pool.store.replay("echo", request, "echo~again", timeout_ms=5000, keep_ms=9000)
    assert (await pool.record("echo~again"))["rules"] == RULES[1]
    await pool.settle(await pool.take(worker))
    _, kept = await pool.store.lookup("echo", ["echo~again"])
    outcome = kept["echo~again"].outcome
    assert outcome is not None
    assert outcome.rules == RULES[1]
