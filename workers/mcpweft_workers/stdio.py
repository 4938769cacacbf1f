"""The stdio transport: JSON-RPC messages as lines on a process's pipes.

Writing never waits: what the pipe does not take is held, and dropped again if its call gives up before a
byte went out. Reading is linear, bounded by the line cap, and pauses while the SDK has not caught up. The
end of the process ends the session within `DRAIN`, even when a descendant keeps the pipe open.

Above stands link.py. Below: process.py, lines.py. It must never know what a call means.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from mcp_types import JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter
from pydantic import ValidationError

from mcpweft_schemas.outcome import Executed
from mcpweft_workers.failure import Cause
from mcpweft_workers.lines import EDGE, Lines, Overlong, reply_id
from mcpweft_workers.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mcp.shared.message import SessionMessage
    from mcp_types import RequestId

    from mcpweft_workers.spec import ServerSpec
    from mcpweft_workers.wire import Passage, Wire

DRAIN = 0.05
"""Seconds after the process's end in which what it wrote last is still read."""
DISTRUST = 0.25
"""Seconds after which a server that closed a pipe of its own and lives on is given up."""
HELD = 10_000
"""Messages that may be held for a server that does not read; calls are bounded above, refusals are not."""
_CHUNK = 1 << 18
_NOT_FINITE = re.compile(rb"NaN|Infinity|\d[eE]\+?\d{3}")


class Stdio:
    """One server's process and pipes, as an async context manager; one use each."""

    def __init__(self, spec: ServerSpec, wire: Wire) -> None:
        self._spec = spec
        self._wire = wire
        self._lines = Lines(spec.max_line)
        self._paused = False
        self._reading = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        spec = self._spec
        self.process = Process(spec.command, env=spec.env, cwd=spec.cwd)
        self.process.on_exit = self._on_exit
        self._pen = Pen(self.process.stdin, self._on_deaf)
        self._wire.write = self._write
        self._wire.inbound.on_room = self._resume
        self._loop.add_reader(self.process.stdout, self._on_readable)
        self._reading = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = self._wire.ending
        gently = not self._wire.hurry and (ending is None or ending[0] is Cause.CANCELLED)
        self._wire.write = None
        self._stop_reading()
        self._pen.close()
        self.process.close_stdin()
        await self.process.stop(gently=gently, grace=self._spec.close_grace)

    @property
    def pid(self) -> int | None:
        """The server's process id, None before it is known and after its end."""
        return None if self.process.exited else self.process.pid

    @property
    def stderr_tail(self) -> str:
        """What the server wrote to stderr last."""
        return self.process.stderr_tail

    # --- out

    def _write(self, item: SessionMessage, passage: Passage | None) -> None:
        message = item.message
        if isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            if self._pen.drop((message.params or {}).get("requestId")):
                return  # it was never sent, so there is nothing to cancel
        elif self._pen.held > HELD:
            self._wire.end(Cause.SERVER_DIED, f"Server {self._spec.name!r} does not read its stdin")
            return
        data = message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        self._pen.write(data, message.id if isinstance(message, JSONRPCRequest) else None, passage)

    def _on_deaf(self) -> None:
        if not self.process.exited:  # its exit tells more, and is told in a moment
            self._loop.call_later(DISTRUST, self._end, "it closed its stdin")

    # --- in

    def _on_readable(self) -> None:
        try:
            chunk = os.read(self.process.stdout, _CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._stop_reading()
            # The pipe closes a moment before the exit is told: let the end have its true cause.
            self._loop.call_later(0 if self.process.exited else DISTRUST, self._end, "it closed its stdout")
            return
        for line in self._lines.feed(chunk):
            if isinstance(line, Overlong):
                self._on_overlong(line)
            else:
                self._on_line(line)
        if self._wire.inbound.full:
            self._pause()

    def _on_line(self, line: bytes) -> None:
        try:
            message = parse(line)
        except ValueError as exc:
            if not line.lstrip().startswith(b"{"):
                return
            rid = reply_id(line[:EDGE], line[-EDGE:])
            if rid is not None:  # else it is noise: many a server prints to stdout
                text = f"Server {self._spec.name!r} answered what is not JSON-RPC: {_reason(exc)}"
                self._wire.fail(rid, Cause.PROTOCOL, text, Executed.YES)
            return
        self._wire.received(message)

    def _on_overlong(self, line: Overlong) -> None:
        rid: RequestId | None = reply_id(line.head, line.tail)
        if rid is None and not line.ended:
            return  # its id may stand at its end
        text = f"Server {self._spec.name!r} answered a line over {self._spec.max_line} bytes"
        if rid is None:
            rid = self._wire.only_pending()
        if rid is not None:
            self._wire.fail(rid, Cause.TOO_LARGE, text, Executed.YES)

    def _pause(self) -> None:
        if self._reading and not self._paused:
            self._paused = True
            self._loop.remove_reader(self.process.stdout)

    def _resume(self) -> None:
        if self._reading and self._paused:
            self._paused = False
            self._loop.add_reader(self.process.stdout, self._on_readable)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.process.stdout)

    # --- ends

    def _on_exit(self) -> None:
        # Its last words may still be in the pipe: they are read until its end, or for so long.
        self._loop.call_later(DRAIN if self._reading else 0, self._end, "")

    def _end(self, otherwise: str) -> None:
        how = self.process.obituary() if self.process.exited else otherwise
        self._wire.end(Cause.SERVER_DIED, f"Server {self._spec.name!r} ended: {how}")


@dataclass(slots=True, eq=False)
class _Held:
    data: memoryview
    request_id: Any
    passage: Passage | None
    begun: bool = False


class Pen:
    """Writes whole messages to a pipe, in order, without ever waiting."""

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._held: deque[_Held] = deque()
        self._loop = asyncio.get_running_loop()
        self._closed = False

    @property
    def held(self) -> int:
        """Messages that the pipe has not taken yet."""
        return len(self._held)

    def write(self, data: bytes, request_id: Any, passage: Passage | None) -> None:
        """Write now what the pipe takes; hold the rest."""
        if self._closed:
            return
        self._held.append(_Held(memoryview(data), request_id, passage))
        if len(self._held) == 1:
            self._flush()
            if self._held and not self._closed:
                self._loop.add_writer(self._fd, self._flush)

    def drop(self, request_id: Any) -> bool:
        """Take back a request of which no byte went out; say whether it could be."""
        for held in self._held:
            if held.request_id == request_id and not held.begun:
                self._held.remove(held)
                return True
        return False

    def _flush(self) -> None:
        while self._held:
            held = self._held[0]
            try:
                count = os.write(self._fd, held.data)
            except BlockingIOError:
                return
            except OSError:  # nobody reads any more
                self.close()
                self._on_broken()
                return
            held.begun = True
            if held.passage is not None:
                held.passage.executed = Executed.MAYBE
            if count < len(held.data):
                held.data = held.data[count:]
                return
            self._held.popleft()
        self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Write no more. The pipe is the process's to close."""
        if not self._closed:
            self._closed = True
            self._loop.remove_writer(self._fd)


def parse(line: bytes) -> JSONRPCMessage:
    """Read one message; a byte that is no UTF-8 becomes U+FFFD.

    Raises:
        ValueError: it is no JSON-RPC message, is nested too deep, or holds a number that JSON does not have.

    """
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        if line.isascii() or not line.lstrip().startswith(b"{"):
            raise
        message = jsonrpc_message_adapter.validate_json(line.decode(errors="replace"), by_name=False)
    if _NOT_FINITE.search(line):
        json.loads(line, parse_constant=_refuse, parse_float=_finite)
    return message


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is beyond every float")
    return number


def _reason(exc: ValueError) -> str:
    if isinstance(exc, ValidationError):  # its text would quote the answer
        return exc.errors(include_input=False, include_url=False)[0]["msg"]
    return str(exc)
