"""What each action of a rule comes to, seen where it counts: in the store, at the worker, at the caller."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import realredis
from mcpweft import Client, Config, Ruling, errors
from mcpweft_schemas.life import Class
from rules.conftest import put
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopworker import LoopWorker
    from mcpweft_schemas.store import Store
    from workbench import Bench

    Start = Callable[..., Awaitable[LoopWorker]]


@pytest.mark.parametrize(("said", "klass"), [("critical", Class.CRITICAL), (1, Class.LOW)])
@realredis.stores("redis", "cluster")
async def test_a_class_is_the_stream_that_the_request_waits_in(
    client: Client, store: Store, said: Any, klass: Class
) -> None:
    await store.declare("cap", "i")
    await put(store, {"name": "r", "then": {"priority": said}})
    handle = await client.submit("cap.echo", priority="normal")
    length = {each: await store.link.run("XLEN", store.keys("cap").stream(each)) for each in Class}
    assert length == {each: int(each is klass) for each in Class}
    assert (await client.inspect(handle.id)).klass is klass


@realredis.stores("redis", "cluster")
async def test_a_capability_is_where_it_is_served(client: Client, start: Start, store: Store) -> None:
    old, new = await start("old"), await start("new")
    await put(store, {"name": "move", "when": {"tenant": "acme"}, "then": {"capability": "new"}})
    moved = await client.call("old.echo", {"text": "hi"}, tenant="acme")
    stayed = await client.call("old.echo", {"text": "hi"})
    assert (moved.text, new.fetched, old.fetched) == ("hi", [moved.request_id], [stayed.request_id])


async def test_a_name_that_no_pool_has_can_be_a_rules_own(client: Client, start: Start, store: Store) -> None:
    worker = await start("real", handlers={"only": (await start("x")).handlers["echo"]})
    await put(store, {"name": "alias", "when": {"capability": "virtual"}, "then": {"capability": "real"}})
    result = await client.call("virtual", {"text": "hi"})
    assert (result.text, worker.fetched) == ("hi", [result.request_id])


async def test_a_deadline_is_that_of_the_request(client: Client, start: Start, store: Store) -> None:
    await start("cap")
    await put(store, {"name": "short", "then": {"timeout": "400ms"}})
    handle = await client.submit("cap.block", timeout="1h", attempt_timeout="10m", max_attempts=2)
    record = await store.link.run("HGETALL", store.keys("cap").record(handle.id))
    assert int(record[b"deadline"]) - int(record[b"accepted"]) == 400
    assert int(record[b"attempt_ms"]) == 400
    with pytest.raises(errors.RequestTimeoutError):
        await client.call("cap.block", timeout="1h", idempotent=True)


async def test_attempts_are_as_many_as_are_made(client: Client, bench: Bench, store: Store) -> None:
    async with bench.worker(bench.config({"idempotent": ["*"]})):
        made: list[int] = []
        for most in (1, 2):
            await put(store, {"name": "attempts", "then": {"max_attempts": most}})
            await until(partial(_version, client, store, most))
            with pytest.raises(errors.FailoverExhaustedError) as caught:
                await client.call("echo.crash", max_attempts=3)
            made.append(len(caught.value.attempts))
    assert made == [1, 2]


async def _version(client: Client, store: Store, version: int) -> bool:
    assert client._opened is not None
    rules = await client._opened.rulebook.current(1.0)
    assert await store.rules_version() == version
    return rules.version == version


async def test_tags_are_carried_by_whoever_serves_it(client: Client, bench: Bench, store: Store) -> None:
    await put(store, {"name": "gpu", "when": {"tenant": "ml"}, "then": {"tags": ["gpu"]}})
    async with bench.worker(bench.config({"tags": ["eu"]})) as plain:
        with pytest.raises(errors.UnknownCapabilityError, match="no server of 'echo' has ever carried gpu"):
            await client.call("echo.echo", {"text": "x"}, tenant="ml")
        async with bench.worker(bench.config({"tags": ["gpu", "eu"]})) as tagged:
            calls = (client.call("echo.echo", {"text": str(n)}, tenant="ml") for n in range(20))
            assert {each.worker for each in await asyncio.gather(*calls)} == {tagged.plan.identity.worker}
            others = [await client.call("echo.echo", {"text": "x"}) for _ in range(20)]
            assert {each.worker for each in others} <= {each.plan.identity.worker for each in (plain, tagged)}
        waits = await client.submit("echo.echo", {"text": "later"}, tenant="ml")
        await client.call("echo.echo", {"text": "x"})
        assert str((await client.inspect(waits.id)).state) == "queued", "the other one may not take it"
        async with bench.worker(bench.config({"tags": ["gpu"]})) as tagged:
            assert (await waits.result()).worker == tagged.plan.identity.worker


async def test_tags_of_several_rules_are_all_to_be_carried(
    client: Client, bench: Bench, store: Store
) -> None:
    both = ({"name": "gpu", "then": {"tags": "gpu"}}, {"name": "eu", "then": {"tags": "eu"}})
    await put(store, *both, rules_match="all")
    one, two = bench.config({"tags": ["gpu"]}), bench.config({"tags": ["gpu", "eu"]})
    async with bench.worker(one), bench.worker(two) as tagged:
        result = await client.call("echo.echo", {"text": "x"})
    assert result.worker == tagged.plan.identity.worker
    assert result.request_id.startswith("echo--eu-gpu~")
    assert result.rules == Ruling(1, ("gpu", "eu"))


async def test_the_rules_that_match_are_the_first_or_all_as_it_is_said(client: Client, store: Store) -> None:
    await store.declare("cap", "i")
    rules = ({"name": "a", "then": {"priority": "high"}}, {"name": "b", "then": {"max_attempts": 7}})
    await put(store, *rules)
    first = await client.inspect((await client.submit("cap.echo")).id)
    assert (first.rules, first.klass, first.max_attempts) == (Ruling(1, ("a",)), Class.HIGH, 3)
    await put(store, *rules, rules_match="all")
    await until(lambda: _version(client, store, 2))
    both = await client.inspect((await client.submit("cap.echo")).id)
    assert (both.rules, both.klass, both.max_attempts) == (Ruling(2, ("a", "b")), Class.HIGH, 7)


@realredis.stores("redis", "cluster")
async def test_what_is_rejected_is_never_enqueued_and_its_caller_hears_the_rule_and_why(
    client: Client, start: Start, store: Store
) -> None:
    worker = await start("cap")
    version = await put(
        store,
        {"name": "no-deletes", "when": {"tool": "ech*"}, "then": {"reject": "ask the platform team"}},
    )
    for make in (client.call, client.submit):
        with pytest.raises(
            errors.RejectedError, match=r"cap\.echo is not let in by rule 'no-deletes'"
        ) as caught:
            await make("cap.echo", {"text": "x"}, idempotency_key="k")
        error = caught.value
        assert (error.rule, error.reason, error.version) == ("no-deletes", "ask the platform team", version)
        assert (error.code, error.http_status, error.executed, error.retryable) == (
            "REJECTED",
            403,
            "no",
            False,
        )
    mapped = [each async for each in client.map("cap.echo", [{}, {}])]
    assert [type(each) for each in mapped] == [errors.RejectedError] * 2
    assert worker.fetched == []
    status = await store.status("cap")
    assert status is not None
    assert status.stat.get("accepted") is None


async def test_a_tool_that_is_left_out_is_found_before_the_rules_are_asked(
    client: Client, start: Start, store: Store
) -> None:
    worker = await start("cap", handlers={"erase": (await start("x")).handlers["echo"]})
    await put(store, {"name": "no", "when": {"tool": "erase"}, "then": {"reject": "no"}})
    for name in ("cap.erase", "cap"):
        with pytest.raises(errors.RejectedError, match=r"cap\.erase is not let in"):
            await client.call(name)
    assert worker.fetched == []


async def test_a_rule_looks_at_arguments_and_metadata(client: Client, start: Start, store: Store) -> None:
    await start("cap")
    await put(
        store,
        {
            "name": "long",
            "when": {
                "arguments": {"/text": {"longer_than": 3, "matches": "^a"}},
                "metadata": {"/origin": {"one_of": ["batch"]}},
            },
        },
    )
    batch = {"origin": "batch"}
    fits = await client.call("cap.echo", {"text": "aaaa"}, metadata=batch)
    others = [
        await client.call("cap.echo", {"text": "aaaa"}),
        await client.call("cap.echo", {"text": "aaa"}, metadata=batch),
        await client.call("cap.echo", metadata=batch),
    ]
    assert fits.rules == Ruling(1, ("long",))
    assert [each.rules for each in others] == [None] * 3


async def test_which_rules_fitted_is_seen_in_every_result_and_by_whoever_asks_later(
    client: Client, start: Start, store: Store, store_url: str, namespace: str
) -> None:
    await start("cap")
    await put(store, {"name": "seen", "then": {"max_attempts": 2}})
    ruling = Ruling(1, ("seen",))
    assert (await client.call("cap.echo")).rules == ruling
    with pytest.raises(errors.ToolError) as caught:
        await client.call("cap.fail")
    assert getattr(caught.value.result, "rules", None) == ruling
    handle = await client.submit("cap.echo")
    async with Client(store_url, namespace=namespace) as other:
        assert (await other.result(handle.id)).rules == ruling
        assert (await other.inspect(handle.id)).rules == ruling


async def test_who_joins_a_request_by_its_key_hears_the_rules_that_it_went_by(
    client: Client, start: Start, store: Store
) -> None:
    await start("cap")
    await put(store, {"name": "first", "then": {"max_attempts": 2}})
    one = await client.call("cap.echo", idempotency_key="k")
    await put(store, {"name": "second"})
    await until(lambda: _version(client, store, 2))
    two = await client.call("cap.echo", idempotency_key="k")
    assert (two.request_id, two.rules) == (one.request_id, Ruling(1, ("first",)))


async def test_a_clients_own_rules_hold_until_the_fleet_sets_some(
    start: Start, store: Store, store_url: str, namespace: str
) -> None:
    await start("cap")
    own = Config.model_validate({"rules": [{"name": "own", "when": {"tool": "echo"}}]})
    async with Client(store_url, namespace=namespace, config=own) as client:
        assert (await client.call("cap.echo")).rules == Ruling(0, ("own",))
        await put(store, {"name": "fleet"})
        await until(lambda: _version(client, store, 1))
        assert (await client.call("cap.echo")).rules == Ruling(1, ("fleet",))
        await put(store)
        await until(lambda: _version(client, store, 2))
        assert (await client.call("cap.echo")).rules is None, "the fleet has set that there are none"
