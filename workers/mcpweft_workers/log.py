"""What a worker tells its operator: one JSON line an event, with the request's id where there is one.

Above stand the doers, which call `event`; the entry alone calls `to_stream`. It must never be handed a
request's arguments or a tool's answer: whoever runs a call passes names, codes and figures only.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any, TextIO

LOGGER = logging.getLogger("mcpweft_workers")
_LONGEST = 2000  # characters of one value: a server's stderr must not become a line of megabytes


def event(level: int, name: str, **fields: Any) -> None:
    """Log that `name` happened, with `fields` (names, codes, figures)."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})


class JsonLines(logging.Formatter):
    """Write a record as one line of JSON: at, level, event, who, then the event's own fields."""

    def __init__(self, **who: Any) -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= self._who
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)[-_LONGEST:]
        return json.dumps({name: _short(value) for name, value in line.items()}, default=str)


def _short(value: Any) -> Any:
    return value[:_LONGEST] + "…" if isinstance(value, str) and len(value) > _LONGEST else value


def to_stream(stream: TextIO, level: str, **who: Any) -> None:
    """Send every log line of this process to `stream` as JSON; `who` stands in each."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(**who))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's chatter
    LOGGER.setLevel(level.upper())
