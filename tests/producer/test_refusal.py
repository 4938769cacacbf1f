"""What is said of a request that the store has not taken: never more than is known."""

from __future__ import annotations

import asyncio

import pytest

from mcpweft.refusal import overdue
from mcpweft.ticket import Ticket
from mcpweft.waits import Wait
from mcpweft_schemas.life import Class
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.wire import Accepted, Reply, Submission
from mcpweft_schemas.word import Word


def _nothing(_ticket: Ticket, _said: object) -> None:
    """Be told, and do nothing."""


NO_ROOM = Accepted(Word.OOM, "cap~1", None, 1000)


@pytest.mark.parametrize(
    ("last", "sent", "code", "executed"),
    [
        (None, False, Code.TIMEOUT, Executed.NO),
        (None, True, Code.TIMEOUT, Executed.MAYBE),
        (NO_ROOM, False, Code.RESOURCE_EXHAUSTED, Executed.NO),
        (NO_ROOM, True, Code.TIMEOUT, Executed.MAYBE),  # refused once, and sent again since
    ],
)
async def test_a_request_that_is_on_its_way_when_its_time_is_over_may_have_run(
    last: Accepted | None,
    sent: bool,  # noqa: FBT001  # a parameter of the test
    code: Code,
    executed: Executed,
) -> None:
    sub = Submission(id="cap~1", tool="t", klass=Class.NORMAL, body=b"", timeout_ms=1000)
    future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    wait = Wait("cap", "cap~1", future, since=0.0, hard=1.0)
    wait.ticket = Ticket("cap", sub, _nothing, _nothing, 1.0, patient=True, sent=sent, last=last)
    error = overdue(wait)
    assert (error.code, error.executed) == (code, executed)
