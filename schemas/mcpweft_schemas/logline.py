"""What a process tells its operator: one JSON line an event, on a stream.

Above stand the entries of workers and coordinators, which call `to_stream` once. Doers log by the standard
library with `extra={"fields": …}`: names, codes and figures only, never a request's arguments or a tool's
answer.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

_LONGEST = 2000  # characters of one value: a server's stderr must not become a line of megabytes


class JsonLines(logging.Formatter):
    """Write a record as one line of JSON: at, level, event, who, then the event's own fields."""

    def __init__(self, **who: Any) -> None:
        super().__init__()
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line |= self._who | getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)[-_LONGEST:]
        return json.dumps({name: _short(value) for name, value in line.items()}, default=str)


def _short(value: Any) -> Any:
    return value[:_LONGEST] + "…" if isinstance(value, str) and len(value) > _LONGEST else value


def to_stream(stream: TextIO, level: str, logger: str, **who: Any) -> None:
    """Send this process's log lines to `stream`, those of `logger` from `level` on; `who` is in each."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(**who))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's chatter
    logging.getLogger(logger).setLevel(level.upper())
