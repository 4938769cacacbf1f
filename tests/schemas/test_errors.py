"""Each error says what happened, whether the tool ran, and what to change, in words that tests pin down."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import pytest

from mcpweft_schemas import errors
from mcpweft_schemas.outcome import Attempt, Code, Executed, Times

GOLDEN = Path(__file__).parents[1] / "golden" / "errors.txt"
BRANCHES: set[type] = {errors.CallerError, errors.ToolFailure, errors.FabricError}
LEAVES = sorted(errors.BY_CODE.values(), key=lambda cls: cls.__name__)

SAID = {
    Code.INVALID_CONFIG: "mcpweft.toml, line 3: `[redsi]` is no section, did you mean `redis`?",
    Code.INVALID_ARGUMENTS: "arguments.limit is 0, but must be at least 1",
    Code.UNKNOWN_CAPABILITY: "no pool is called 'githbu', did you mean 'github'?",
    Code.UNKNOWN_TOOL: "github has no tool 'create_isue', did you mean 'create_issue'?",
    Code.REJECTED: "github.delete_repo is not let in by rule 'no-deletes': ask the platform team",
    Code.CONFLICT: "key 'order-7' was used with other arguments for github.create_issue",
    Code.CANCELLED: "github~0192 was cancelled by an operator",
    Code.RESULT_EXPIRED: "no outcome is kept for github~0192",
    Code.TOOL_ERROR: "github.create_issue failed: rate limit reached",
    Code.RESULT_TOO_LARGE: "github.search answered 20.1 MiB, over max_result = 16 MiB",
    Code.INPUT_REQUIRED: "github.create_issue asked for input: 'Which repository?'",
    Code.SESSION_LOST: "the session of server memory ended while it held the state of this call",
    Code.NO_SERVERS_AVAILABLE: "no usable worker serves github",
    Code.FAILOVER_EXHAUSTED: "3 of 3 attempts failed, the last because server gh-2 died",
    Code.CONNECTION_FAILED: "redis://127.0.0.1:6379 refused the connection",
    Code.TIMEOUT: "github.search got no answer within its 120 s, 118.2 s of them in the queue",
    Code.QUEUE_FULL: "github holds 6,000 requests, and class low is refused from there",
    Code.OUTCOME_UNKNOWN: "worker w-3 died during github.create_issue",
    Code.STORE_LOST: "the store was wiped after github~0192 was accepted",
    Code.RESOURCE_EXHAUSTED: "the store is out of memory (maxmemory 256 MiB)",
    Code.SHUTTING_DOWN: "the client was closed while github~0192 was waiting",
}
RAN = {
    Code.TOOL_ERROR: Executed.YES,
    Code.RESULT_TOO_LARGE: Executed.YES,
    Code.OUTCOME_UNKNOWN: Executed.MAYBE,
    Code.FAILOVER_EXHAUSTED: Executed.MAYBE,
    Code.INPUT_REQUIRED: Executed.MAYBE,
    Code.SESSION_LOST: Executed.MAYBE,
    Code.STORE_LOST: Executed.MAYBE,
    Code.RESULT_EXPIRED: Executed.MAYBE,
    Code.SHUTTING_DOWN: Executed.MAYBE,
}


def sample(cls: type[errors.McpweftError]) -> errors.McpweftError:
    return cls(SAID[cls.code], executed=RAN.get(cls.code, Executed.NO))


def entry(cls: type[errors.McpweftError]) -> str:
    again = "retryable" if cls.retryable else "not retryable"
    return f"{cls.__name__} {cls.code} {cls.http_status} {again}\n    {sample(cls)}\n"


def test_the_messages_are_those_of_the_golden_file() -> None:
    text = "\n".join(entry(cls) for cls in LEAVES)
    if os.environ.get("MCPWEFT_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text(), "meant? then run with MCPWEFT_GOLDEN=write and commit the file"


def test_every_code_but_ok_has_one_class_and_every_class_a_place_in_the_picture() -> None:
    assert set(errors.BY_CODE) == set(Code) - {Code.OK}
    drawn = (errors.__doc__ or "").split()
    for code, cls in errors.BY_CODE.items():
        place = drawn.index(cls.__name__)
        assert drawn[place + 1 : place + 3] == [code, str(cls.http_status)]


def test_every_class_belongs_to_those_who_must_act() -> None:
    for cls in LEAVES:
        assert len(BRANCHES.intersection(cls.__mro__)) == 1, cls
        assert cls.__doc__


@pytest.mark.parametrize("cls", LEAVES)
def test_every_message_says_what_happened_whether_the_tool_ran_and_what_to_change(
    cls: type[errors.McpweftError],
) -> None:
    error = sample(cls)
    assert str(error).startswith(SAID[cls.code])
    if cls is errors.InvalidConfigError:
        assert "tool" not in str(error)
        return
    assert sum(phrase in str(error) for phrase in errors._RAN.values()) == 1
    assert error.advice
    assert str(error).endswith(error.advice)


def test_advice_that_knows_more_replaces_the_usual_one() -> None:
    error = errors.QueueFullError("github is full", advice="Wait 3 s.", retry_after=3.0)
    assert str(error) == "github is full. The tool did not run. Wait 3 s."


@pytest.mark.parametrize(("executed", "words"), errors._RAN.items())
def test_each_degree_of_having_run_has_its_words(executed: Executed, words: str) -> None:
    assert words in str(errors.RequestTimeoutError("too late", executed=executed))


@pytest.mark.parametrize("cls", LEAVES)
def test_an_error_survives_pickle_and_copy_with_all_it_carries(cls: type[errors.McpweftError]) -> None:
    attempt = Attempt("s", "w", "TIMEOUT", Executed.MAYBE, started_ms=1, took_ms=2)
    error = cls("it broke", executed=Executed.MAYBE, retry_after=1.5, times=Times(3), attempts=[attempt])
    error.request_id = "cap~1"
    unpickled = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    for twin in (unpickled, copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_near_names_come_nearest_first_and_far_ones_not_at_all() -> None:
    known = ["search", "search_code", "create_issue", "close_issue"]
    assert errors.near("serch", known)[0] == "search"
    assert errors.near("create_isue", known, most=1) == ["create_issue"]
    assert errors.near("zzz", known) == []
    assert errors.near("x", []) == []
