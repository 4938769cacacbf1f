"""A span of time as people write it: `20s`, `500ms`, `1h30m`, or a bare number of seconds.

Above stands whoever reads what a person wrote: the config models, the command line, the typed stubs of
the client. Inside the fabric a duration is a float of seconds (`float` in Python, ms in Redis).
"""

from __future__ import annotations

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SECOND = 1000  # milliseconds
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)\s*")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")

LONGEST_S = 3650 * 86_400.0
"""No span is longer than ten years: milliseconds of it are written as whole numbers everywhere."""
FORM = 'a duration, such as "500ms", "20s", "1h30m" or "7d" (a bare number is seconds)'
"""What to write where a duration is asked for."""


def seconds(value: object) -> float:
    """Return the seconds that `value` means.

    `value` is a number of seconds, or text made of parts such as `1h30m`, with the units ms, s, m (or min),
    h and d.

    Raises:
        ValueError: it is no duration, negative, or not finite; the message says what to write.

    """
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"Write {FORM}")  # noqa: TRY004  # pydantic names the key of a ValueError
    if not 0 <= value <= LONGEST_S:  # NaN included
        raise ValueError(f"Write {FORM}, not negative and 10 years at most")
    return float(value)


def _read(text: str) -> float:
    trimmed = text.strip()
    if _NUMBER.fullmatch(trimmed):
        return float(trimmed)
    if not _WHOLE.fullmatch(trimmed):
        raise ValueError(f"Write {FORM}")
    parts = _PART.findall(trimmed)
    return math.fsum(float(number) * _UNITS[unit] for number, unit in parts)


def spoken(span: float) -> str:
    """Return `span` seconds in its shortest exact form: 0.25 → `250ms`, 5400 → `1h30m`, 86400 → `1d`."""
    milliseconds = round(span * _SECOND)
    if not math.isclose(milliseconds, span * _SECOND, abs_tol=1e-9):
        return f"{span}s"
    if milliseconds % _SECOND and milliseconds > _SECOND:
        return f"{milliseconds / _SECOND!r}s"
    parts: list[str] = []
    rest = milliseconds
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", _SECOND), ("ms", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def longest_wait(backoff: float, backoff_max: float, max_attempts: int) -> float:
    """Return the most seconds that lie between `max_attempts` attempts: backoff doubles up to backoff_max."""
    pauses, total, pause = max_attempts - 1, 0.0, backoff
    while pauses > 0 and 0 < pause < backoff_max:
        pauses, total, pause = pauses - 1, total + pause, 2 * pause
    return total + pauses * min(pause, backoff_max)
