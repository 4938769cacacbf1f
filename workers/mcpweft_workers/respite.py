"""What a server asks for that wants to be left alone for a while: the HTTP header Retry-After, read.

RFC 9110, 10.2.3: a number of seconds, or a date. Above stands the HTTP transport. This module must never know
what follows from it.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

LONGEST = 300.0
"""Seconds that are granted at most: a server's clock may be wrong by years."""
UNSAID = 1.0
"""Seconds where it does not say how long."""


def respite(header: str | None, now: float) -> float:
    """Return for how many seconds a server asks to be left alone; `now` in seconds since 1970.

    `UNSAID` where there is no header, or it cannot be read.
    """
    if header is None:
        return UNSAID
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(LONGEST, float(text))
    try:
        till = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return UNSAID
    return min(LONGEST, max(0.0, till - now))
