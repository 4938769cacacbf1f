"""The whole configuration: the sections, the servers, and what holds between them.

Above stands `loading`, which fills it from files, environment and flags, and every room that runs by it.
This module must never read a file or the environment.
"""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # pydantic reads the annotation
from typing import Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from mcpweft_schemas import duration
from mcpweft_schemas.config.quantity import Name, Section
from mcpweft_schemas.config.sections import (
    BreakerConfig,
    CallConfig,
    CoordinatorConfig,
    EventsConfig,
    QueueConfig,
    RagConfig,
    RedisConfig,
    ScalingConfig,
    StrategyConfig,
    WorkerConfig,
)
from mcpweft_schemas.config.server import ServerConfig
from mcpweft_schemas.mcpjson import BrokenServer  # noqa: TC001  # pydantic reads the annotation
from mcpweft_schemas.rules.rule import Match, Rule, distinct
from mcpweft_schemas.slug import slugs


class Config(Section):
    """Everything that can be set, with its defaults."""

    namespace: Name = Field(
        default="default",
        description="Separates fabrics on one store: two namespaces never meet. 1 to 64 of a-z, 0-9, -, _.",
    )
    include: tuple[str, ...] = Field(
        default=("mcp.json",),
        description="Files of the ecosystem's own format to import servers from, seen from this file. "
        "The default one may be missing.",
    )
    rules_match: Match = Field(
        default=Match.FIRST,
        description="Which of the routing rules that fit a request act: the `first` one, or `all`.",
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="Routing rules, each a table `[[rules]]` with `name`, `priority`, `when`, `unless` and "
        "`then` ([rules](rules.md)). What the fleet sets goes over a client's own file and environment.",
    )
    redis: RedisConfig = Field(default_factory=RedisConfig, description="The store.")
    queue: QueueConfig = Field(default_factory=QueueConfig, description="The queue of each pool.")
    call: CallConfig = Field(default_factory=CallConfig, description="What a request is given unasked.")
    worker: WorkerConfig = Field(default_factory=WorkerConfig, description="Each worker.")
    breaker: BreakerConfig = Field(default_factory=BreakerConfig, description="The breaker of each server.")
    coordinator: CoordinatorConfig = Field(
        default_factory=CoordinatorConfig, description="The control plane."
    )
    events: EventsConfig = Field(default_factory=EventsConfig, description="The fleet's events.")
    strategy: StrategyConfig = Field(
        default_factory=StrategyConfig, description="How work is divided among a pool's workers."
    )
    scaling: ScalingConfig = Field(default_factory=ScalingConfig, description="The number of workers.")
    rag: RagConfig = Field(default_factory=RagConfig, description="What a RagClient does.")
    servers: dict[str, ServerConfig] = Field(
        default_factory=dict[str, ServerConfig], description="The MCP servers, by name."
    )

    _path: Path | None = PrivateAttr(None)
    _broken: tuple[BrokenServer, ...] = PrivateAttr(())
    _warnings: tuple[str, ...] = PrivateAttr(())

    @property
    def path(self) -> Path | None:
        """The `mcpweft.toml` that was read, or None."""
        return self._path

    @property
    def broken(self) -> tuple[BrokenServer, ...]:
        """The imported servers that cannot run, each with its reason and place; the others can."""
        return self._broken

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know although everything can run, a sentence each."""
        return self._warnings

    @property
    def active(self) -> dict[str, ServerConfig]:
        """The servers that are not disabled, by name."""
        return {name: server for name, server in self.servers.items() if not server.disabled}

    def noted(self, path: Path | None, broken: tuple[BrokenServer, ...], warnings: tuple[str, ...]) -> Self:
        """Return this configuration with what was noticed while it was read."""
        twin = self.model_copy()
        twin.__pydantic_private__ = {"_path": path, "_broken": broken, "_warnings": warnings}
        return twin

    @field_validator("servers")
    @classmethod
    def _named(cls, value: dict[str, ServerConfig]) -> dict[str, ServerConfig]:
        short = slugs(value)
        return {name: server.named(name, short[name]) for name, server in value.items()}

    @field_validator("rules")
    @classmethod
    def _distinct(cls, value: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return distinct(value)

    @model_validator(mode="after")
    def _attempts_fit(self) -> Self:
        call = self.call
        waits = duration.longest_wait(call.backoff, call.backoff_max, call.max_attempts)
        need = call.attempt_timeout * call.max_attempts + waits
        for key, span in (("timeout", call.timeout), ("submit_timeout", call.submit_timeout)):
            if need > span:
                say = duration.spoken
                raise ValueError(
                    f"call.{key} ({say(span)}) is shorter than its attempts: {call.max_attempts} times "
                    f"{say(call.attempt_timeout)} and {say(waits)} of backoff make {say(need)}. Raise "
                    f"call.{key} to {say(need)} or more, or lower call.attempt_timeout or call.max_attempts"
                )
        return self
