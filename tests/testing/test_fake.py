"""What a fake answers, what it records, and what its assertions say."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from mcpweft import (
    Client,
    Code,
    Executed,
    Handle,
    ImageBlock,
    Progress,
    Result,
    SyncClient,
    SyncHandle,
    client,
    errors,
    fleet,
    follower,
)
from mcpweft.analytics import historian
from mcpweft.testing import Call, FakeClient, FakeSyncClient
from mcpweft.testing.shelf import Shelf
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable


def upper(query: str) -> str:
    return query.upper()


def same(query: str) -> str:
    return query


def surface(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_") or name in {"__aenter__", "__aexit__", "__enter__", "__exit__"}
    }


@pytest.mark.parametrize(("real", "fake"), [(Client, FakeClient), (SyncClient, FakeSyncClient)])
def test_every_public_method_has_the_real_clients_signature(real: type, fake: type) -> None:
    expected = surface(real)
    assert {name: found for name, found in surface(fake).items() if name in expected} == expected
    assert issubclass(fake, real)


@pytest.mark.parametrize(("real", "fake"), [(Client, FakeClient), (SyncClient, FakeSyncClient)])
def test_what_a_fake_adds_hides_nothing_of_the_client(real: type, fake: type) -> None:
    added = {"returns", "raises", "calls", "sync", "end"}
    assert not added & set(dir(real))
    assert {name for name in set(dir(fake)) - set(dir(real)) if not name.startswith("_")} <= added


async def test_a_result_is_one_of_the_package_s_own_with_true_figures(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", {"hits": 3}, delay=0.02)
    result = await mcpweft_fake.call("search.find", {"query": "tea"})
    assert type(result) is Result
    assert result.data == result.structured == {"hits": 3}
    assert result.request_id == mcpweft_fake.calls[0].request_id
    assert result.executed is Executed.YES
    assert result.service_ms is not None
    assert 20 <= result.service_ms < 5000
    (attempt,) = result.attempts
    assert (attempt.server, attempt.cause, attempt.executed) == ("fake", "OK", Executed.YES)
    assert attempt.took_ms >= 19
    assert result.times.attempts_ms == attempt.took_ms


async def test_answers_come_in_their_order_and_the_last_one_stays(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1).then_raises(Code.QUEUE_FULL).then_returns(2)
    assert (await mcpweft_fake.call("search.find")).data == 1
    with pytest.raises(errors.QueueFullError):
        await mcpweft_fake.call("search.find")
    assert [(await mcpweft_fake.call("search.find")).data for _ in range(3)] == [2, 2, 2]
    mcpweft_fake.returns("search.find", 3)
    assert (await mcpweft_fake.call("search.find")).data == 3


async def test_a_callable_is_called_as_the_tool_is(mcpweft_fake: FakeClient) -> None:
    async def slowly(query: str, limit: int = 10) -> list[str]:
        await asyncio.sleep(0)
        return [query] * limit

    mcpweft_fake.returns("search.find", slowly).then_returns(upper)
    assert (await mcpweft_fake.call("search.find", {"query": "tea", "limit": 2})).data == ["tea", "tea"]
    assert (await mcpweft_fake.call("search.find", {"query": "tea"})).data == "TEA"
    with pytest.raises(errors.InvalidArgumentsError, match="missing a required argument: 'query'") as caught:
        await mcpweft_fake.call("search.find", {})
    assert caught.value.executed is Executed.NO


async def test_what_a_callable_raises_is_what_the_caller_sees(mcpweft_fake: FakeClient) -> None:
    def broken(**_: Any) -> None:
        raise ZeroDivisionError("of the test itself")

    def failing(**_: Any) -> None:
        raise errors.SessionLostError("gone", executed=Executed.MAYBE)

    mcpweft_fake.returns("search.find", broken).then_returns(failing)
    with pytest.raises(ZeroDivisionError, match="of the test itself"):
        await mcpweft_fake.call("search.find")
    with pytest.raises(errors.SessionLostError, match="gone"):
        await mcpweft_fake.call("search.find")


async def test_an_error_is_raised_as_it_is_and_knows_its_request(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.raises("search.find", errors.QueueFullError("busy", retry_after=3.0))
    with pytest.raises(errors.QueueFullError, match="busy") as refused:
        await mcpweft_fake.submit("search.find")
    assert refused.value.retry_after == 3.0
    given = errors.SessionLostError("gone")
    mcpweft_fake.raises("search.find", given)
    with pytest.raises(errors.SessionLostError) as lost:
        await mcpweft_fake.call("search.find")
    assert lost.value is not given
    assert lost.value.request_id == mcpweft_fake.calls[-1].request_id
    assert [attempt.cause for attempt in lost.value.attempts] == ["SESSION_LOST"]


async def test_a_tool_error_s_text_is_what_the_tool_said(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.raises("search.find", errors.ToolError("no such index"))
    with pytest.raises(
        errors.ToolError, match=r"search\.find on server 'fake' failed: no such index"
    ) as caught:
        await mcpweft_fake.call("search.find")
    assert isinstance(caught.value.result, Result)
    told = await mcpweft_fake.call("search.find", raise_on_tool_error=False)
    assert told.is_error
    assert told.text == "no such index"


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
async def test_every_code_raises_its_own_class(mcpweft_fake: FakeClient, code: Code) -> None:
    for failure in (code, code.value, errors.BY_CODE[code]):
        mcpweft_fake.raises("search.find", failure)
        with pytest.raises(errors.BY_CODE[code]) as caught:
            await mcpweft_fake.call("search.find")
        assert caught.value.code is code
        assert caught.value.what


@pytest.mark.parametrize("failure", [ValueError("no"), "NO_SUCH_CODE", Code.OK, errors.FabricError, object()])
def test_what_the_client_never_raises_is_refused(mcpweft_fake: FakeClient, failure: Any) -> None:
    with pytest.raises(errors.InvalidConfigError, match="the client never raises"):
        mcpweft_fake.raises("search.find", failure)


def test_what_cannot_be_answered_is_refused_where_it_is_said(mcpweft_fake: FakeClient) -> None:
    with pytest.raises(errors.InvalidArgumentsError, match="is of type set, which cannot travel"):
        mcpweft_fake.returns("search.find", {"hits": {1, 2}})
    for name in ("Search.find", "search.", ".find", ""):
        with pytest.raises(errors.InvalidConfigError, match="names no"):
            mcpweft_fake.returns(name, 1)
    with pytest.raises(errors.InvalidConfigError, match="delay is 'soon'"):
        mcpweft_fake.returns("search.find", 1, delay="soon")


async def test_a_time_that_is_too_short_runs_out(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1, delay="1h")
    with pytest.raises(errors.OutcomeUnknownError):
        await mcpweft_fake.call("search.find", timeout=0.02)
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await mcpweft_fake.call("search.find", timeout=0.02, idempotent=True)
    assert (caught.value.phase, caught.value.executed) == ("attempt", Executed.MAYBE)
    mcpweft_fake.raises("search.find", Code.TIMEOUT)
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await mcpweft_fake.call("search.find")
    assert (caught.value.phase, caught.value.executed) == ("attempt", Executed.MAYBE)
    mcpweft_fake.raises("search.find", Code.TIMEOUT, executed="no")
    with pytest.raises(errors.RequestTimeoutError) as caught:
        await mcpweft_fake.call("search.find")
    assert (caught.value.phase, caught.value.executed) == ("queue", Executed.NO)


async def test_unknown_names_are_refused_with_near_ones_and_the_failure_says_what_to_write(
    mcpweft_fake: FakeClient,
) -> None:
    mcpweft_fake.returns("search.find", 1)
    with pytest.raises(errors.UnknownToolError, match="near: find") as tool:
        await mcpweft_fake.call("search.fnd")
    with pytest.raises(errors.UnknownCapabilityError, match="Did you mean search") as pool:
        await mcpweft_fake.call("serch.find")
    assert "mcpweft_fake.returns('search.fnd', …)" in tool.value.__notes__[0]
    assert "mcpweft_fake.returns('serch.find', …)" in pool.value.__notes__[0]


async def test_a_pattern_answers_what_has_no_answer_of_its_own(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("*", "anything")
    mcpweft_fake.returns("search.*", "any search")
    mcpweft_fake.returns("search.find", "found")
    said = [
        (await mcpweft_fake.call(name)).data for name in ("search.find", "search.other", "mail.send", "mail")
    ]
    assert said == ["found", "any search", "anything", "anything"]


async def test_content_may_be_anything_that_a_server_sends(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("draw.map", content=[{"type": "image", "data": "AAEC", "mimeType": "image/png"}])
    result = await mcpweft_fake.call("draw.map")
    (block,) = result.content
    assert isinstance(block, ImageBlock)
    assert block.data == b"\x00\x01\x02"
    assert result.structured is None


async def test_calls_are_recorded_as_they_were_asked_for(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1)
    await mcpweft_fake.call("search.find", {"query": "a"}, priority="high", timeout="20s")
    await mcpweft_fake.submit("search", {"query": "b"}, tool="find")
    async for _ in mcpweft_fake.map("search.find", [{"query": "c"}], idempotent=True):
        pass
    assert mcpweft_fake.calls == [
        Call("search", "find", {"query": "a"}, {"priority": "high", "timeout": "20s"}, "call", ANY),
        Call("search", "find", {"query": "b"}, {"tool": "find"}, "submit", ANY),
        Call("search", "find", {"query": "c"}, {"idempotent": True}, "map", ANY),
    ]
    mcpweft_fake.calls.clear()
    assert len(mcpweft_fake.calls) == 0


async def test_what_the_real_client_refuses_is_refused_and_not_recorded(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1)
    wrong: list[dict[str, Any]] = [
        {"priority": 11},
        {"priority": "urgent"},
        {"idempotency_key": ""},
        {"timeout": "soon"},
        {"when_full": "maybe"},
        {"prioritty": 5},
    ]
    for options in wrong:
        with pytest.raises(errors.InvalidConfigError):
            await mcpweft_fake.call("search.find", **options)
    with pytest.raises(errors.InvalidArgumentsError):
        await mcpweft_fake.call("search.find", {"when": object()})
    mcpweft_fake.calls.assert_not_called()


async def test_a_handle_is_the_package_s_own_and_finds_its_outcome_again(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 7, progress=[1, Progress(2, 3, "nearly", 1)], delay=0.01)
    handle = await mcpweft_fake.submit("search.find")
    assert type(handle) is Handle
    assert [step.progress async for step in handle.progress()][-1] == 2
    assert await handle.wait(1)
    async with mcpweft_fake() as other:
        assert (await other.result(handle.id)).data == 7
    heard: list[Progress] = []
    await mcpweft_fake.call("search.find", on_progress=heard.append)
    assert [step.progress for step in heard] == [1, 2]


async def test_a_request_that_is_held_can_be_seen_and_cancelled(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1, delay="1h")
    handle = await mcpweft_fake.submit("search.find")
    assert not await handle.wait(0.01)
    assert (await mcpweft_fake.inspect(handle.id)).state == "running"
    assert (await mcpweft_fake.pool("search")).running == 1
    assert (await mcpweft_fake.status()).is_healthy
    assert await handle.cancel()
    assert not await handle.cancel()
    with pytest.raises(errors.OutcomeUnknownError):
        await handle.result()


def test_all_that_the_client_asks_of_the_store_can_be_asked_of_the_fake() -> None:
    asked: set[str] = set()
    for module in (client, fleet, follower, historian):
        asked |= set(re.findall(r"\bstore\.(\w+)\(", inspect.getsource(module)))
    assert {"pools", "tools", "status", "inspect", "events", "history"} <= asked
    assert asked <= set(dir(Shelf))


async def test_it_is_open_until_it_is_closed(mcpweft_fake: FakeClient) -> None:
    assert mcpweft_fake.is_open
    assert not mcpweft_fake().is_open
    async with mcpweft_fake:
        assert mcpweft_fake.is_open
    assert not mcpweft_fake.is_open


async def test_nothing_happens_in_its_fleet(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1)
    await mcpweft_fake.call("search.find")
    measured = await mcpweft_fake.analytics()
    assert [pool.capability for pool in measured.pools] == ["search"]
    assert measured.failovers == ()
    assert [event async for event in mcpweft_fake.events("1h")] == []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(mcpweft_fake.events(follow=True))


async def test_a_caller_that_leaves_ends_its_request_unless_it_detached(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1, delay="1h")
    ways: list[tuple[Any, str]] = [("cancel", "dead"), ("detach", "running")]
    for way, state in ways:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await mcpweft_fake.call("search.find", on_cancel=way)
        assert (await mcpweft_fake.inspect(mcpweft_fake.calls[-1].request_id)).state == state


async def test_it_closes_as_the_client_does_and_may_be_opened_again(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1, delay="1h").then_returns(2)
    async with mcpweft_fake as client:
        assert client is mcpweft_fake
        with pytest.raises(errors.InvalidConfigError, match="open already"):
            await client.open()
        waiting = asyncio.create_task(client.call("search.find"))
        await until(lambda: len(mcpweft_fake.calls))
    with pytest.raises(errors.ShuttingDownError, match="the request goes on"):
        await waiting
    with pytest.raises(errors.ShuttingDownError, match="the client is closed"):
        await mcpweft_fake.call("search.find")
    async with mcpweft_fake:
        assert (await mcpweft_fake.call("search.find")).data == 2


def test_it_is_used_in_one_loop_after_another(mcpweft_fake: FakeClient) -> None:
    mcpweft_fake.returns("search.find", 1, delay=0.01)

    async def submitted() -> str:
        return (await mcpweft_fake.submit("search.find")).id

    request = asyncio.run(submitted())
    assert asyncio.run(mcpweft_fake.result(request)).data == 1


def test_the_sync_twin_shares_answers_and_calls(
    mcpweft_fake: FakeClient, mcpweft_fake_sync: FakeSyncClient
) -> None:
    mcpweft_fake.returns("search.find", same)
    assert mcpweft_fake_sync.call("search.find", {"query": "tea"}, priority=9).data == "tea"
    handle = mcpweft_fake_sync.submit("search.find", {"query": "oolong"})
    assert type(handle) is SyncHandle
    assert handle.result().data == "oolong"
    outcomes = [out.data for out in mcpweft_fake_sync.map("search.find", [{"query": q} for q in "ab"])
                if isinstance(out, Result)]  # fmt: skip
    assert outcomes == ["a", "b"]
    assert [call.way for call in mcpweft_fake.calls] == ["call", "submit", "map", "map"]
    mcpweft_fake_sync.calls.assert_called_once("search.find", {"query": "tea"}, priority=9)
    assert mcpweft_fake_sync.status().pools[0].done == 4


async def test_a_request_is_followed_and_ended_from_another_loop(
    mcpweft_fake: FakeClient, mcpweft_fake_sync: FakeSyncClient
) -> None:
    runs: list[str] = []

    async def hang(query: str) -> None:
        runs.append(query)
        await asyncio.Event().wait()

    mcpweft_fake.returns("search.find", hang)
    handle = await mcpweft_fake.submit("search.find", {"query": "tea"}, idempotent=True)
    ending = asyncio.create_task(handle.wait())
    assert not await asyncio.to_thread(mcpweft_fake_sync.wait, handle.id, 0.02)
    assert await asyncio.to_thread(mcpweft_fake_sync.cancel, handle.id)
    assert await ending
    with pytest.raises(errors.RequestCancelledError):
        await handle.result()
    assert runs == ["tea"]


def test_it_takes_the_place_of_the_class(mcpweft_fake: FakeClient, mcpweft_fake_sync: FakeSyncClient) -> None:
    mcpweft_fake.returns("search.find", 1)

    async def service(make: Callable[..., Client]) -> Any:
        async with make("redis://elsewhere", namespace="there") as client, make() as another:
            await client.call("search.find")
            return (await another.call("search.find")).data

    assert asyncio.run(service(mcpweft_fake)) == 1
    with mcpweft_fake_sync(name="there") as client:
        assert client.call("search.find").data == 1
    assert len(mcpweft_fake.calls) == 3
    with pytest.raises(TypeError):
        mcpweft_fake(adress="redis://elsewhere")


async def test_an_assertion_says_what_was_called_instead(mcpweft_fake: FakeClient) -> None:
    calls = mcpweft_fake.calls
    with pytest.raises(AssertionError, match=r"^search\.find was not called: nothing was called$"):
        calls.assert_called("search.find")
    mcpweft_fake.returns("*", 1)
    await mcpweft_fake.call("search.find", {"query": "tea"}, priority="high")
    await mcpweft_fake.submit("mail.send", {"to": "a"})

    assert calls.assert_called("search.find", {"query": ANY}, priority="high").way == "call"
    with pytest.raises(AssertionError) as caught:
        calls.assert_called("search.find", {"query": "coffee"}, priority="low")
    assert str(caught.value) == (
        "search.find({'query': 'coffee'}, priority='low') was not called; calls of search.find were\n"
        "  call search.find({'query': 'tea'}, priority='high')"
    )
    with pytest.raises(AssertionError) as caught:
        calls.assert_called("serch.find")
    assert str(caught.value) == (
        "serch.find was not called (did you mean search.find?); calls were\n"
        "  call search.find({'query': 'tea'}, priority='high')\n"
        "  submit mail.send({'to': 'a'})"
    )
    with pytest.raises(
        AssertionError, match=r"mail was not to be called, and there were\n  submit mail\.send"
    ):
        calls.assert_not_called("mail")
    with pytest.raises(AssertionError, match="nothing was to be called"):
        calls.assert_not_called()
    for _ in range(12):
        await mcpweft_fake.call("search.find", {"query": "milk"})
    with pytest.raises(AssertionError, match=r"was called 13 times, not once(.*\n)+  and 3 more"):
        calls.assert_called_once("search.find")
    calls.assert_not_called("search.find", {"query": "coffee"})
    assert calls.assert_called_once("mail") == calls.of("mail.send")[0]
