"""The fake and a real fabric, asked the same and held to the same answers."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server import MCPServer
from mcp.server.mcpserver import Context  # noqa: TC002  # the SDK reads the annotation at run time
from mcp.server.mcpserver.exceptions import ToolError

from mcpweft import Client, Code, Executed, Progress, Result, State, errors
from waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from mcpweft.testing import Fabric, FakeClient

server = MCPServer("desk", log_level="ERROR")
heard = threading.Event()
hanging = threading.Event()
"""Set once the fabric's server has the call that hangs; a fake has it as soon as it is accepted."""
VALUES: dict[str, Any] = {
    "mapping": {"a": 1, "b": [1, 2]},
    "text": "hello",
    "number": 3,
    "numbers": [1, 2],
    "mappings": [{"a": 1}, {"a": 2}],
    "nothing": None,
}
KINDS: dict[str, type] = {
    "mapping": dict[str, Any],
    "text": str,
    "number": int,
    "numbers": list[int],
    "mappings": list[dict[str, Any]],
    "nothing": type(None),
}


def _tool(name: str) -> Callable[[], Any]:
    def tool() -> Any:
        return VALUES[name]

    tool.__annotations__["return"] = KINDS[name]
    return tool


for _name in VALUES:
    server.add_tool(_tool(_name), name=_name)


@server.tool()
def shout(word: str) -> str:
    return word.upper()


@server.tool()
def refuse() -> str:
    raise ToolError("no such row")


@server.tool()
async def hang() -> str:
    hanging.set()
    await asyncio.sleep(3600)
    return "late"


@server.tool()
async def count(context: Context) -> int:
    await context.report_progress(1, 2, "half")
    await asyncio.to_thread(heard.wait, 10)  # an answer would overtake it
    return 2


def upper(word: str) -> str:
    return word.upper()


@asynccontextmanager
async def by_fake(request: pytest.FixtureRequest) -> AsyncGenerator[Client]:
    fake: FakeClient = request.getfixturevalue("mcpweft_fake")
    for name, value in VALUES.items():
        fake.returns(f"desk.{name}", value)
    fake.returns("desk.shout", upper)
    fake.raises("desk.refuse", errors.ToolError("no such row"))
    fake.returns("desk.hang", "late", delay="1h")
    hanging.set()
    fake.returns("desk.count", 2, progress=[Progress(1, 2, "half", 1)])
    async with fake as client:
        yield client


@asynccontextmanager
async def by_fabric(request: pytest.FixtureRequest) -> AsyncGenerator[Client]:
    fabric: Fabric = request.getfixturevalue("mcpweft_fabric")
    hanging.clear()
    async with fabric(server, capability="desk") as client:
        yield client


@pytest.fixture(params=[by_fake, by_fabric])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with request.param(request) as opened:
        yield opened


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_comes_as_the_sdk_lays_it_out(client: Client, name: str) -> None:
    value = VALUES[name]
    result = await client.call(f"desk.{name}")
    assert result.data == value
    assert result.structured == (value if name == "mapping" else {"result": value})
    blocks = {
        "mapping": ['{\n  "a": 1,\n  "b": [\n    1,\n    2\n  ]\n}'],
        "text": ["hello"],
        "number": ["3"],
        "numbers": ["1", "2"],
        "mappings": ['{\n  "a": 1\n}', '{\n  "a": 2\n}'],
        "nothing": [],
    }
    assert [block.raw for block in result.content] == [{"type": "text", "text": t} for t in blocks[name]]
    assert result.executed is Executed.YES
    assert [(a.cause, a.executed) for a in result.attempts] == [("OK", Executed.YES)]
    assert result.queued_ms is not None
    assert result.service_ms is not None


async def test_a_tool_s_own_error_is_told(client: Client) -> None:
    with pytest.raises(errors.ToolError) as caught:
        await client.call("desk.refuse")
    named = re.sub(
        r"server '\w+' failed: (Error executing tool refuse: )?", "server failed: ", str(caught.value)
    )
    assert named == (
        "desk.refuse on server failed: no such row. The tool ran. "
        "Change the arguments as it says; its whole answer is in `result`."
    )
    told = await client.call("desk.refuse", raise_on_tool_error=False)
    assert told.is_error
    assert told.text.endswith("no such row")
    assert told.structured is None
    assert [a.cause for a in told.attempts] == ["TOOL_ERROR"]


async def test_unknown_names_are_refused(client: Client) -> None:
    with pytest.raises(errors.UnknownToolError) as tool:
        await client.call("desk.shoot")
    assert re.sub(r"Server '\w+'", "Server", str(tool.value)) == (
        "Server has no tool 'shoot'; near: shout. The tool did not run. "
        "List the pool's tools with `mcpweft tools`."
    )
    with pytest.raises(errors.UnknownCapabilityError) as pool:
        await client.call("dusk.shout")
    assert str(pool.value) == "there is no capability 'dusk'. The tool did not run. Did you mean desk?"
    with pytest.raises(errors.UnknownToolError, match="'desk' names 10 tools"):
        await client.call("desk")
    assert (await client.call("desk", {"word": "a"}, tool="shout")).data == "A"


async def test_arguments_that_do_not_fit_are_refused(client: Client) -> None:
    with pytest.raises(errors.InvalidArgumentsError) as caught:
        await client.call("desk.shout", {})
    assert "Arguments of 'shout' do not fit its schema" in str(caught.value)
    assert caught.value.executed is Executed.NO
    with pytest.raises(errors.InvalidArgumentsError):
        await client.call("desk.shout", {"word": {1, 2}})


async def test_callers_with_one_key_share_one_request(client: Client) -> None:
    first = await client.call("desk.shout", {"word": "a"}, idempotency_key="k")
    again = await client.call("desk.shout", {"word": "a"}, idempotency_key="k")
    assert again.request_id == first.request_id
    other = await client.call("desk.shout", {"word": "a"}, idempotency_key="k", tenant="t")
    assert other.request_id != first.request_id
    with pytest.raises(errors.ConflictError) as caught:
        await client.call("desk.shout", {"word": "b"}, idempotency_key="k")
    assert caught.value.request_id == first.request_id


async def test_two_that_wait_for_one_key_get_one_outcome(client: Client) -> None:
    both = await asyncio.gather(
        *(client.call("desk.shout", {"word": "a"}, idempotency_key="k") for _ in range(2))
    )
    assert both[0] == both[1]


async def test_what_never_ran_frees_its_key(client: Client) -> None:
    with pytest.raises(errors.InvalidArgumentsError):
        await client.call("desk.shout", {}, idempotency_key="k")
    assert (await client.call("desk.shout", {"word": "a"}, idempotency_key="k")).data == "A"


async def test_a_submitted_request_is_followed_by_its_handle_and_its_id(client: Client) -> None:
    handle = await client.submit("desk.shout", {"word": "a"}, priority=9, tenant="t")
    assert await handle.wait("10s")
    assert (await handle.result()).data == (await client.result(handle.id)).data == "A"
    seen = await client.inspect(handle.id)
    assert (seen.tool, seen.tenant, seen.klass, seen.state) == ("shout", "t", "critical", State.DONE)
    assert (seen.code, seen.executed, seen.attempt, seen.deadline_in) == (Code.OK, Executed.YES, 1, None)
    assert seen.next == "ended as OK; nothing further happens"
    assert not await handle.cancel()
    failed = await client.submit("desk.refuse")
    assert await failed.wait("10s")
    with pytest.raises(errors.ToolError):
        await failed.result()


async def test_a_delayed_request_waits_and_may_be_cancelled(client: Client) -> None:
    handle = await client.submit("desk.shout", {"word": "a"}, delay="1h")
    seen = await client.inspect(handle.id)
    assert (seen.state, seen.attempt, seen.code) == (State.DELAYED, 0, None)
    assert seen.due_in is not None
    assert 3590 < seen.due_in <= 3600
    assert (await client.pool("desk")).delayed == 1
    with pytest.raises(errors.RequestTimeoutError, match="and goes on") as caught:
        await handle.result(0.01)
    assert caught.value.phase == "wait"
    assert await handle.cancel()
    with pytest.raises(errors.RequestCancelledError) as cancelled:
        await handle.result()
    assert cancelled.value.executed is Executed.NO
    assert cancelled.value.attempts == ()


async def test_a_caller_that_leaves_ends_its_request(client: Client) -> None:
    call = asyncio.create_task(client.call("desk.hang"))
    await until(lambda: _running(client))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: _idle(client))


@pytest.mark.parametrize(
    ("idempotent", "ends"), [(True, errors.RequestCancelledError), (None, errors.OutcomeUnknownError)]
)
async def test_a_running_request_is_cancelled(
    client: Client, *, idempotent: bool | None, ends: type[errors.McpweftError]
) -> None:
    handle = await client.submit("desk.hang", idempotent=idempotent)
    await until(lambda: _running(client))
    assert await handle.cancel()
    with pytest.raises(ends) as caught:
        await handle.result()
    assert caught.value.executed is Executed.MAYBE
    assert [attempt.cause for attempt in caught.value.attempts] == ["CANCELLED"]


async def _running(client: Client) -> bool:
    return (await client.pool("desk")).running == 1 and hanging.is_set()


async def _idle(client: Client) -> bool:
    return (await client.pool("desk")).running == 0


async def test_time_runs_out(client: Client) -> None:
    with pytest.raises(errors.RequestTimeoutError) as late:
        await client.call("desk.hang", timeout=0.2, idempotent=True)
    assert (late.value.phase, late.value.executed) == ("attempt", Executed.MAYBE)
    assert [attempt.cause for attempt in late.value.attempts] == ["ATTEMPT_TIMEOUT"]
    with pytest.raises(errors.OutcomeUnknownError) as unknown:
        await client.call("desk.hang", timeout=0.2)
    assert unknown.value.executed is Executed.MAYBE
    assert [attempt.cause for attempt in unknown.value.attempts] == ["ATTEMPT_TIMEOUT"]


async def test_ids_that_are_not_known_or_not_kept_are_told_apart(client: Client) -> None:
    with pytest.raises(errors.ResultExpiredError, match="is not the id of a request"):
        await client.result("nonsense")
    with pytest.raises(errors.ResultExpiredError, match="nothing is known of request"):
        await client.result("desk~00000000-0000-7000-8000-000000000000")
    for ask in (client.inspect, client.cancel):
        with pytest.raises(errors.ResultExpiredError, match="nothing is known of request"):
            await ask("desk~00000000-0000-7000-8000-000000000000")
    told = await client.call("desk.number")
    with pytest.raises(errors.ResultExpiredError, match="ended as OK; its outcome was told to its caller"):
        await client.result(told.request_id)


async def test_a_map_gives_results_and_errors_in_their_place(client: Client) -> None:
    items: list[dict[str, Any]] = [{"word": "a"}, {}, {"word": "c"}]
    outcomes = [outcome async for outcome in client.map("desk.shout", items)]
    assert [outcome.data if isinstance(outcome, Result) else outcome.code for outcome in outcomes] == [
        "A",
        Code.INVALID_ARGUMENTS,
        "C",
    ]


async def test_progress_is_heard(client: Client) -> None:
    steps: list[Progress] = []

    def hear(step: Progress) -> None:
        steps.append(step)
        heard.set()

    heard.clear()
    assert (await client.call("desk.count", on_progress=hear)).data == 2
    assert steps == [Progress(1.0, 2.0, "half", 1)]


async def test_a_typed_stub_calls_and_checks(client: Client) -> None:
    async def described(word: str) -> str:
        raise AssertionError(word)  # a stub's body is never run

    stub = client.tool("desk.shout")(described)
    assert await stub("a") == "A"
    handle = await stub.submit("b")
    assert await handle.result() == "B"
    assert [said async for said in stub.map(["c", "d"])] == ["C", "D"]
    wrong: Any = 3
    with pytest.raises(errors.InvalidArgumentsError):
        await stub(wrong)


async def test_the_fleet_is_told_of(client: Client) -> None:
    await client.call("desk.number")
    assert await client.pools() == ["desk"]
    tools = {tool.name for tool in await client.tools("desk")}
    assert tools == {*VALUES, "shout", "refuse", "hang", "count"}
    status = await client.status()
    assert (status.is_healthy, status.total_servers, status.healthy_servers) == (True, 1, 1)
    (pool,) = status.pools
    assert (pool.capability, pool.accepted, pool.done, pool.dead, pool.queue_size) == ("desk", 1, 1, 0, 0)
    (worker,) = pool.workers
    assert (worker.usable, worker.state, worker.health) == (True, "READY", "healthy")
    with pytest.raises(errors.UnknownCapabilityError):
        await client.pool("dusk")
    with pytest.raises(errors.UnknownCapabilityError):
        await client.tools("dusk")


async def test_a_closed_client_says_so(client: Client) -> None:
    await client.close()
    with pytest.raises(errors.ShuttingDownError, match="the client is closed"):
        await client.call("desk.number")
