"""What a coordinator tells its operator: one JSON line an event, on stderr.

Above stand the doers, which log by the standard library with `extra={"fields": …}`; the entry alone calls
`to_stream`. Arguments and answers of requests never come here.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

ROOT = logging.getLogger("mcpweft")


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
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def to_stream(stream: TextIO, level: str = "INFO", **who: Any) -> None:
    """Send every log line of this process to `stream`; `who` stands in each."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(**who))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's chatter
    ROOT.setLevel(level.upper())
