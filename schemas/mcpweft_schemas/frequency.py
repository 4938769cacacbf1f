"""How often something may happen, as people write it: `10/s`, `600/min`, `5000/h`, or a number per second.

Above stand the config models. Inside the fabric it is a float of times per second.
"""

from __future__ import annotations

import math
import re

_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WHOLE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|min|m|h|d))?")

FORM = 'how often, such as "10/s", "600/min" or "5000/h" (a bare number is per second)'
"""What to write where a frequency is asked for."""


def per_second(value: object) -> float:
    """Return the times per second that `value` means.

    Raises:
        ValueError: it is no frequency, or not more than none; the message says what to write.

    """
    if isinstance(value, str) and (found := _WHOLE.fullmatch(value.strip())):
        value = float(found[1]) / _UNITS[found[2] or "s"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"Write {FORM}")  # noqa: TRY004  # pydantic names the key of a ValueError
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"Write {FORM}, more than none")
    return float(value)
