"""What a worker's doers tell its operator: events, with the request's id where there is one.

Above stand the doers, which call `event`. Below is `mcpweft_schemas.logline`, which writes the lines. It
must never be handed a request's arguments or a tool's answer: whoever runs a call passes names, codes and
figures only.
"""

from __future__ import annotations

import logging
from typing import Any

LOGGER = logging.getLogger("mcpweft_workers")


def event(level: int, name: str, **fields: Any) -> None:
    """Log that `name` happened, with `fields` (names, codes, figures)."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, name, extra={"fields": fields})
