"""A number of bytes as people write it: `8MiB`, `64kB`, or a bare number.

Above stands whoever reads what a person wrote: the config models and the command line. Inside the fabric
a size is an int of bytes.
"""

from __future__ import annotations

import re

_UNITS = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_TEXT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)

FORM = 'a size, such as "512KiB", "8MiB" or "1GiB" (a bare number is bytes; kB, MB and GB are powers of 1000)'
"""What to write where a size is asked for."""


def octets(value: object) -> int:
    """Return the bytes that `value` means: an int of bytes, or text such as `8MiB`.

    Raises:
        ValueError: it is no size, or not a whole number of bytes; the message says what to write.

    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    factor = _UNITS.get(found[2].lower() or "b") if found else None
    if found is None or factor is None:  # "8M" is refused too: it is read both ways
        raise ValueError(f"Write {FORM}")
    exact = float(found[1]) * factor
    if exact != int(exact):
        raise ValueError(f"Write {FORM}, a whole number of bytes")
    return int(exact)


def spoken(count: int) -> str:
    """Return `count` bytes in its shortest exact form: 8388608 → `8MiB`."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"
