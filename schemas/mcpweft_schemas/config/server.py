"""One MCP server: how it is reached, what it offers, how much it takes and what is safe to repeat.

Above stands `root`, which names it; the worker and the launcher read it. This module must never read a
file or the environment: what an `mcp.json` says comes through `mcpweft_schemas.mcpjson`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path  # noqa: TC003  # pydantic reads the annotation
from typing import Any, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from mcpweft_schemas import slug
from mcpweft_schemas.config.quantity import Count, Duration, Frequency, Name, Section
from mcpweft_schemas.limits import Limit
from mcpweft_schemas.rules import tag


class Transport(StrEnum):
    """How a worker talks to its server."""

    STDIO = "stdio"
    """A child process, over its standard input and output."""
    HTTP = "http"
    """Streamable HTTP."""
    SSE = "sse"
    """HTTP with server-sent events, the transport before streamable HTTP."""
    APP = "app"
    """A Python object in the worker itself."""

    @property
    def local(self) -> bool:
        """Whether the server's code is the operator's own choice to run."""
        return self in (Transport.STDIO, Transport.APP)


class Start(StrEnum):
    """When the launcher starts a server's workers."""

    EAGER = "eager"
    """With the fabric."""
    LAZY = "lazy"
    """On the first request for one of its capabilities."""


class State(StrEnum):
    """What a server remembers from call to call, so how far it may be replicated."""

    NONE = "none"
    """Nothing that matters: replicate at will."""
    EXCLUSIVE = "exclusive"
    """Something that two processes would spoil: one worker in the whole fleet, by a fenced lease."""
    SESSION = "session"
    """Something for each session; means exclusive until sessions can be pinned."""


_IDLE = {
    "command": ("headers",),
    "url": ("args", "env", "cwd"),
    "app": ("args", "env", "cwd", "headers"),
}
_ERAS = ("auto", "legacy", "2026-07-28")
_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def _transport_of(data: dict[str, Any]) -> Transport:
    if data.get("app"):
        return Transport.APP
    url = data.get("url")
    if not url:
        return Transport.STDIO
    # The old transport's endpoint is called so by every SDK; nothing else in a URL tells the two apart.
    return Transport.SSE if url.split("?")[0].rstrip("/").endswith("/sse") else Transport.HTTP


def _concurrency_of(data: dict[str, Any]) -> int:
    return 8 if data.get("transport", Transport.STDIO).local else 16


def _trust_of(data: dict[str, Any]) -> bool:
    return bool(data.get("transport", Transport.HTTP).local)


class ServerConfig(Section):
    """One MCP server.

    Exactly one of `command`, `url` and `app` says what it is.

    `concurrency` is 8 for stdio and app servers: the SDKs' servers answer several calls at once from one
    event loop, so 1 would leave them idle while a call waits for I/O, and a tool that computes gains nothing
    beyond a few. It is 16 for HTTP servers, which have a connection for each call and often more than one
    process behind them.
    """

    command: str | None = Field(default=None, min_length=1, description="Program of a stdio server.")
    args: tuple[str, ...] = Field(default=(), description="Its arguments.")
    env: dict[str, str] = Field(
        default_factory=dict[str, str],
        repr=False,  # it holds tokens
        description="Environment variables it gets on top of a small safe set.",
    )
    cwd: Path | None = Field(
        default=None, description="Directory it starts in; a relative one is seen from the file that says so."
    )
    url: str | None = Field(default=None, description="Address of an HTTP server.")
    headers: dict[str, str] = Field(
        default_factory=dict[str, str], repr=False, description="HTTP headers sent with each request to it."
    )
    app: str | None = Field(
        default=None, description="A Python server object to run in the worker, as `module:name`."
    )
    transport: Transport = Field(
        default_factory=_transport_of,
        description="How it is spoken to. Unset: by what is set of `command`, `url` and `app`; a URL that "
        "ends in `/sse` is sse, any other http.",
        json_schema_extra={"default_text": "by `command`, `url`, `app`"},
    )
    capabilities: tuple[Name, ...] = Field(
        default=(),
        description="Pools that it serves. Unset: one of its own name, made legal by the slug rule.",
        json_schema_extra={"default_text": "its own name"},
    )
    tags: tuple[str, ...] = Field(
        default=(),
        max_length=tag.MOST,
        description="What routing rules can ask for ([rules](rules.md)), such as `gpu`: it also serves the "
        "pools of requests that must have some of these tags. At most 3, each 1 to 16 of a-z, 0-9, _.",
    )
    concurrency: Count = Field(
        default_factory=_concurrency_of,
        description="Calls that it runs at once. It is the server's: several workers of one URL divide it.",
        json_schema_extra={"default_text": "8 for stdio and app, 16 for http and sse"},
    )
    workers: int = Field(
        default=1,
        ge=0,
        description="Workers that each launcher keeps for it, where it has no `min` or `max`.",
    )
    min: int | None = Field(
        default=None,
        ge=0,
        description="Workers that the whole fleet has for it at least; 0 lets it sleep. "
        "With `min` or `max` the number follows the load. Unset, where `max` is set: 1.",
    )
    max: Count | None = Field(
        default=None, description="The same at most. Unset, where `min` is set: as many as `min`, at least 1."
    )
    start: Start = Field(
        default=Start.EAGER, description="Whether its workers start with the fabric or on the first request."
    )
    idle_stop: Duration | None = Field(
        default=None,
        description="Idle time after which its workers are stopped until the next request. Unset: never, or "
        "`scaling.cooldown` with `min = 0`.",
    )
    state: State = Field(
        default=State.NONE,
        description="What it remembers between calls. `exclusive` and `session`: one worker in the fleet.",
    )
    mode: str = Field(
        default="auto",
        description="Protocol era: `auto` asks the server, `legacy` shakes hands as before 2026, "
        "`2026-07-28` takes that version unasked. `legacy` starts old or slow servers faster.",
    )
    idempotent: tuple[str, ...] = Field(
        default=(),
        description="Tools that are safe to run twice, as names or patterns such as `get_*`.",
    )
    trust_annotations: bool = Field(
        default_factory=_trust_of,
        description="Whether its own word (`readOnlyHint`, `idempotentHint`) makes a tool safe to run twice.",
        json_schema_extra={"default_text": "true for stdio and app, false for http and sse"},
    )
    attempt_timeout: Duration | None = Field(
        default=None, description="Time of one attempt on it. Unset: `call.attempt_timeout`."
    )
    tool_timeouts: dict[str, Duration] = Field(
        default_factory=dict[str, float],
        description="Time of one attempt by tool name or pattern; the first that fits is taken.",
    )
    rate: Frequency | None = Field(
        default=None,
        description="Calls that may start on it in the whole fleet, as `10/s`, `600/min` or `5000/h`; "
        "after a pause, one second's worth at once. Unset: as many as come.",
    )
    max_in_flight: Count | None = Field(
        default=None,
        description="Calls that may run on it at a time in the whole fleet, whatever its workers' "
        "concurrency adds up to. Unset: that.",
    )
    tool_rates: dict[str, Frequency] = Field(
        default_factory=dict[str, float],
        description="The same as `rate` by tool name or pattern; the first that fits is taken.",
    )
    tool_max_in_flight: dict[str, Count] = Field(
        default_factory=dict[str, int],
        description="The same as `max_in_flight` by tool name or pattern; the first that fits is taken.",
    )
    hung_after: Duration | None = Field(default=None, description="As `worker.hung_after`, for this server.")
    disabled: bool = Field(default=False, description="Leave it out.")

    _name: str = PrivateAttr("")

    @property
    def name(self) -> str:
        """The name it has in the file, as written."""
        return self._name

    @property
    def scaled(self) -> bool:
        """Whether the number of its workers follows the load."""
        return self.min is not None or self.max is not None

    @property
    def least(self) -> int:
        """The fewest workers that the fleet has for it, where it is scaled."""
        return 1 if self.min is None else self.min

    @property
    def most(self) -> int:
        """The most workers that the fleet has for it, where it is scaled."""
        return max(1, self.least) if self.max is None else self.max

    def named(self, name: str, capability: str) -> Self:
        """Return this server under its name, serving `capability` if it names none itself.

        It serves a pool for each set of its tags, too.
        """
        own = self.capabilities or (capability,)
        pools = tuple(pool for each in own for pool in tag.pools(each, self.tags))
        if long := [pool for pool in pools if not slug.LEGAL.fullmatch(pool)]:
            raise ValueError(
                f"Server {name!r}: with its tags a pool would be called {long[0]!r}, and 64 characters are "
                "the most: shorten capabilities or tags"
            )
        twin = self.model_copy(update={"capabilities": pools} if pools != self.capabilities else {})
        twin.__pydantic_private__ = {"_name": name}
        return twin

    def is_idempotent(self, tool: str) -> bool:
        """Return whether the operator said that `tool` may run twice."""
        return any(fnmatchcase(tool, pattern) for pattern in self.idempotent)

    def timeout_of(self, tool: str, otherwise: float) -> float:
        """Return the seconds that one attempt of `tool` may take here, `otherwise` where nothing is said."""
        for pattern, span in self.tool_timeouts.items():
            if fnmatchcase(tool, pattern):
                return span
        return self.attempt_timeout if self.attempt_timeout is not None else otherwise

    @property
    def limit(self) -> Limit:
        """What it takes in one of its pools: of several, each has its part."""
        return Limit(rate=self.rate, most=self.max_in_flight).part(max(1, len(self.capabilities)))

    def limit_of(self, tool: str) -> Limit:
        """Return what `tool` takes in one of its pools."""
        rate = next((each for fits, each in self.tool_rates.items() if fnmatchcase(tool, fits)), None)
        most = next((each for fits, each in self.tool_max_in_flight.items() if fnmatchcase(tool, fits)), None)
        return Limit(rate=rate, most=most).part(max(1, len(self.capabilities)))

    @field_validator("capabilities")
    @classmethod
    def _untagged(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if tag.MARK in each:
                raise ValueError(f"Write {each!r} without {tag.MARK}, which stands before tags, or use tags")
        return value

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(tag.check, value))

    @field_validator("url")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("Write a URL that starts with http:// or https://")
        return value

    @field_validator("app")
    @classmethod
    def _importable(cls, value: str | None) -> str | None:
        if value is not None and not _APP.fullmatch(value):
            raise ValueError('Write it as "module:name", such as "shop.tools:server"')
        return value

    @field_validator("mode")
    @classmethod
    def _era(cls, value: str) -> str:
        if value not in _ERAS:
            raise ValueError(f"Write one of {', '.join(_ERAS)}")
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        ways = {"command": self.command, "url": self.url, "app": self.app}
        given = [key for key, value in ways.items() if value]
        if len(given) != 1:
            raise ValueError(
                "It needs one of command, url and app, to say what to run"
                if not given
                else f"It has {' and '.join(given)}: keep one of them"
            )
        fits = {"command": ("stdio",), "url": ("http", "sse"), "app": ("app",)}[given[0]]
        if self.transport not in fits:
            raise ValueError(f'With {given[0]}, transport is {" or ".join(fits)}, not "{self.transport}"')
        idle = [key for key in _IDLE[given[0]] if getattr(self, key)]
        if idle:
            raise ValueError(f"With {given[0]}, {' and '.join(idle)} would have no effect: take it out")
        return self

    @model_validator(mode="after")
    def _alone(self) -> Self:
        if self.state is not State.NONE and self.workers > 1:
            raise ValueError(
                f'It is state = "{self.state}", so it runs one worker in the whole fleet: write workers = 1, '
                'or state = "none" if it may run several times at once'
            )
        return self

    @model_validator(mode="after")
    def _divides(self) -> Self:
        pools = len(self.capabilities) << len(set(self.tags))
        bounds = {"max_in_flight": self.max_in_flight, **self.tool_max_in_flight}
        for name, most in bounds.items():
            if most is not None and most < pools:
                raise ValueError(
                    f"{name} ({most}) is below the number of its {'pools' if self.tags else 'capabilities'} "
                    f"({pools}), which divide it: "
                    "raise it, or let it serve fewer"
                )
        return self

    @model_validator(mode="after")
    def _scales(self) -> Self:
        if not self.scaled:
            return self
        if "workers" in self.model_fields_set:
            raise ValueError(
                "It has workers, and min or max as well: write workers for a fixed number, or the other two"
            )
        if self.least > self.most:
            raise ValueError(f"min ({self.least}) is over max ({self.most}): lower min or raise max")
        if self.state is not State.NONE and self.most > 1:
            raise ValueError(
                f'It is state = "{self.state}", so it runs one worker in the whole fleet: write max = 1, '
                'or state = "none" if it may run several times at once'
            )
        if not self.transport.local and self.most > max(1, self.least):
            raise ValueError(
                "The workers of one URL divide its concurrency, so more of them take no more calls: raise "
                "concurrency, and write max = 1, or workers for a fixed number"
            )
        if self.least and (self.start is Start.LAZY or self.idle_stop is not None):
            key = "idle_stop" if self.idle_stop is not None else 'start = "lazy"'
            raise ValueError(
                f"{key} would have no effect with a min of {self.least}: write min = 0, or take it out"
            )
        return self
