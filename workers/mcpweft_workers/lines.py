"""Cut a byte stream into lines, in time linear in its length, and give up on lines that are too long.

Above stands the stdio transport. Pure: it must never know where the bytes come from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EDGE = 512
"""Bytes kept of either end of a line that is too long: a reply's id stands in one of them."""
_HEAD = re.compile(rb'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*,')
_TAIL = re.compile(rb'"id"\s*:\s*(\d{1,18})\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line over the cap: told once when it passes the cap (`tail` is empty) and once when it ends."""

    head: bytes
    tail: bytes
    ended: bool


class Lines:
    """Takes chunks, gives whole lines without their newline; empty ones are left out."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._buffer = bytearray()
        self._scanned = 0  # no newline before this place: a long line is searched once, not once a chunk
        self._skipping: bytes | None = None  # the head of the line that is being thrown away

    def feed(self, chunk: bytes) -> list[bytes | Overlong]:
        """Take the next bytes; give what they complete."""
        if not self._buffer and self._skipping is None and len(chunk) <= self._cap and chunk.endswith(b"\n"):
            return [line for line in chunk.split(b"\n") if line]
        found: list[bytes | Overlong] = []
        self._buffer += chunk
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            self._cut(start, end, found)
            start = end + 1
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        self._give_up(found)
        return found

    def _cut(self, start: int, end: int, found: list[bytes | Overlong]) -> None:
        if self._skipping is not None:
            tail = bytes(self._buffer[max(start, end - EDGE) : end])
            found.append(Overlong(self._skipping, tail, ended=True))
            self._skipping = None
        elif end - start > self._cap:
            head, tail = bytes(self._buffer[start : start + EDGE]), bytes(self._buffer[end - EDGE : end])
            found.append(Overlong(head, tail, ended=True))
        elif end > start:
            found.append(bytes(self._buffer[start:end]))

    def _give_up(self, found: list[bytes | Overlong]) -> None:
        if self._skipping is None and len(self._buffer) > self._cap:
            self._skipping = bytes(self._buffer[:EDGE])
            found.append(Overlong(self._skipping, b"", ended=False))
        if self._skipping is not None and len(self._buffer) > EDGE:
            del self._buffer[:-EDGE]
            self._scanned = len(self._buffer)


def reply_id(head: bytes, tail: bytes) -> int | None:
    """Read a reply's id where it cannot be parsed, by its first or last bytes; None when it is not plain."""
    match = _HEAD.match(head) or _TAIL.search(tail)
    return int(match.group(1)) if match else None
