"""One producer process: sends its share of the calls at once and writes a line for each outcome.

python producer.py PLAN OUTCOMES NAME     NAME is the running fabric's
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from mcpweft import Client
from mcpweft.errors import McpweftError


async def ask(client: Client, call: dict[str, Any]) -> dict[str, Any]:
    """Make one call and return what became of it."""
    line: dict[str, Any] = {"number": call["number"], "capability": call["capability"]}
    try:
        result = await client.call(
            f"{call['capability']}.{call['tool']}",
            call["arguments"],
            priority=call["priority"],
            timeout="90s",
        )
    except McpweftError as error:
        return line | {"code": str(error.code), "error": str(error), "attempts": len(error.attempts)}
    return line | {
        "code": "OK",
        "text": result.text,
        "queued_ms": result.queued_ms,
        "service_ms": result.service_ms,
        "worker": result.worker,
        "attempts": [
            {"worker": attempt.worker, "cause": attempt.cause, "took_ms": attempt.took_ms}
            for attempt in result.attempts
        ],
    }


async def main(calls: list[dict[str, Any]], outcomes: Path, name: str) -> None:
    """Send every call concurrently; the full queue holds them back."""
    async with Client(name=name) as client, asyncio.TaskGroup() as group:
        with outcomes.open("w", encoding="utf-8") as file:
            tasks = [group.create_task(ask(client, call)) for call in calls]
            for done in asyncio.as_completed(tasks):
                file.write(json.dumps(await done) + "\n")
                file.flush()


if __name__ == "__main__":
    PLAN = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(main(PLAN, Path(sys.argv[2]), sys.argv[3]))
