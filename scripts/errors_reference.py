"""Write docs/errors.md's table from the error tree: `python scripts/errors_reference.py > …`, or `--check FILE`."""

# ruff: noqa: E501  # a row of a table is one line

from __future__ import annotations

import sys
from pathlib import Path

from mcpweft_schemas.errors import BY_CODE, CallerError, FabricError, McpweftError, ToolFailure
from mcpweft_schemas.outcome import Code

_DO: dict[Code, str] = {
    Code.TOOL_ERROR: "Read the tool's text; change the arguments. Not retried: it is an answer.",
    Code.NO_SERVERS_AVAILABLE: 'Start a worker for the capability, or let the call queue (`when_unavailable="queue"`).',
    Code.FAILOVER_EXHAUSTED: "Read `attempts`: each names its server and cause. Replay it from the dead letters. "
    "With the cause `RETRY_BUDGET` it is retryable: the pool had no retry left at that moment.",
    Code.CONNECTION_FAILED: "Check the store's address and that it runs.",
    Code.TIMEOUT: "`phase` says where: in the `queue`, add workers; in an `attempt`, raise `attempt_timeout`; in your own "
    "`wait` for a result, ask again: the request goes on.",
    Code.QUEUE_FULL: 'Come back after `retry_after`, let the call wait (`when_full="wait"`), or add workers.',
    Code.UNKNOWN_CAPABILITY: "Check the spelling (near names are given), or start a server that offers it.",
    Code.UNKNOWN_TOOL: "Check the spelling (near names are given); `mcpweft tools` lists them.",
    Code.INVALID_ARGUMENTS: "The message names the path in the arguments that the schema refuses.",
    Code.INVALID_CONFIG: "The message names the key, the file and what to write. An `UnmetGoalError` among them "
    "(`optimize_for`) lists in `remedies` what would do.",
    Code.OUTCOME_UNKNOWN: "Look whether the tool acted, then decide. Say `idempotent=True` if repeating is harmless.",
    Code.REJECTED: "`rule`, `reason` and `version` say why: change the request, or the rule ([rules](rules.md)).",
    Code.CONFLICT: "Use a new idempotency key for other arguments.",
    Code.CANCELLED: "Somebody cancelled it; call again if you still want it.",
    Code.RESULT_TOO_LARGE: "Ask the tool for less, or raise `worker.max_result`.",
    Code.RESULT_EXPIRED: "The outcome was kept for its time; raise `queue.result_ttl`.",
    Code.INPUT_REQUIRED: "The server wants to ask a person something; nobody is there. Use another tool or server setting.",
    Code.SESSION_LOST: "The server lost the session's state; start the conversation anew.",
    Code.STORE_LOST: "The store was wiped or failed over. Whether the tool ran is not known.",
    Code.RESOURCE_EXHAUSTED: "Raise the store's `maxmemory`, or wait for work to drain.",
    Code.SHUTTING_DOWN: "The client was closed; the request itself may still run.",
}


def page() -> str:
    """Return docs/errors.md: one row a code, in the order of the enum."""
    rows = [
        f"| `{code}` | {(BY_CODE[code].__doc__ or '').strip().splitlines()[0]} | `{BY_CODE[code].__name__}` "
        f"| `{_branch(BY_CODE[code])}` | {BY_CODE[code].http_status} | {'yes' if BY_CODE[code].retryable else 'no'} | {_DO[code]} |"
        for code in Code
        if code is not Code.OK
    ]
    return "\n".join([_HEAD, *rows, ""])


_HEAD = """# Errors

Every error is a `McpweftError` with `code`, `executed` (`no`, `maybe`, `yes`: did the tool run), `retryable`, `retry_after` (seconds),
`http_status`, `times`, `attempts` (server, worker, cause, time each) and `request_id`. `str(error)` says what happened,
whether the tool ran, and what to change. Catch by who must act: `CallerError`, `ToolFailure`, `FabricError`.

| code | meaning | exception | is a | HTTP | retry as it is | what to do |
|---|---|---|---|---|---|---|"""


def _branch(error: type[McpweftError]) -> str:
    """Return which of the three kinds an error is of."""
    return next(kind.__name__ for kind in (CallerError, ToolFailure, FabricError) if issubclass(error, kind))


def main() -> int:
    """Print the page, or with `--check FILE` say whether the file is it."""
    if sys.argv[1:2] == ["--check"]:
        same = Path(sys.argv[2]).read_text(encoding="utf-8") == page()
        print("same" if same else f"{sys.argv[2]} is not what the error tree says: write it anew")
        return 0 if same else 1
    sys.stdout.write(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
