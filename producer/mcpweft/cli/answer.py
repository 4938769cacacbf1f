"""A tool's answer, an outcome or an error, as a terminal or a program reads it.

Above stand the commands that print outcomes. This module must never import a client.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mcpweft.cli.exits import problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mcpweft.result import Result
    from mcpweft_schemas.errors import McpweftError
    from mcpweft_schemas.outcome import Attempt


def print_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")


def print_line(text: str) -> None:
    """Print one line."""
    sys.stdout.write(text + "\n")


def print_result(result: Result) -> None:
    """Print an answer for people: its texts, else its structured content, and what else it holds."""
    lines = [_spoken(block.raw) for block in result.content]
    if not lines and result.structured is not None:
        lines = [json.dumps(result.structured, ensure_ascii=False, indent=2)]
    for line in lines:
        sys.stdout.write(line if line.endswith("\n") else line + "\n")


def _spoken(raw: Mapping[str, Any]) -> str:
    """Return a content block as a terminal can show it."""
    kind = raw.get("type")
    if kind == "text":
        return str(raw.get("text", ""))
    inner = raw.get("resource", raw)
    if kind == "resource" and "text" in inner:
        return str(inner["text"])
    size = len(str(inner.get("data", inner.get("blob", "")))) * 3 // 4
    about = [str(inner[key]) for key in ("mimeType", "uri", "name") if inner.get(key)]
    if size:
        about.append(f"{size} bytes, shown whole by --json")
    return f"[{kind}: {', '.join(about)}]"


def result_json(result: Result) -> dict[str, Any]:
    """Return an answer as JSON shows it."""
    return {
        "ok": not result.is_error,
        "id": result.request_id,
        "data": result.data,
        "text": result.text,
        "content": [block.raw for block in result.content],
        "structured": result.structured,
        "server": result.server,
        "worker": result.worker,
        "executed": result.executed.value,
        "queued_ms": result.queued_ms,
        "service_ms": result.service_ms,
        "attempts": attempts_json(result.attempts),
        "rules": asdict(result.rules) if result.rules else None,
    }


def error_json(error: McpweftError) -> dict[str, Any]:
    """Return an error as JSON shows it; a tool's own error keeps what the tool said."""
    said = getattr(error, "result", None)
    attempts = attempts_json(error.attempts)
    whole = result_json(said) if said else {"ok": False, "id": error.request_id, "attempts": attempts}
    return {**whole, "error": problem(error)}


def attempts_json(attempts: Iterable[Attempt]) -> list[dict[str, Any]]:
    """Return attempts as JSON shows them."""
    return [
        {
            "server": attempt.server,
            "worker": attempt.worker,
            "cause": str(attempt.cause),
            "executed": attempt.executed.value,
            "started_ms": attempt.started_ms,
            "took_ms": attempt.took_ms,
        }
        for attempt in attempts
    ]
