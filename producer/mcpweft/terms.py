"""The terms of a call: what a caller may ask for beside the tool and its arguments, checked and made exact.

Above stand the client's surface and the typed stubs; below is `wire.Submission`. Nothing here knows that a
store exists. Every wrong value is an InvalidConfigError that names the option and what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from mcpweft.result import Progress
from mcpweft_schemas import duration, tomlfile, wire
from mcpweft_schemas.errors import InvalidConfigError, near
from mcpweft_schemas.life import Class
from mcpweft_schemas.rules.bulletin import KEYS
from mcpweft_schemas.wire import Submission

if TYPE_CHECKING:
    from pathlib import Path

    from mcpweft_schemas.config import Config

Duration: TypeAlias = str | float | timedelta
"""A span of time: seconds, text such as `20s` or `1h30m`, or a timedelta."""
Priority: TypeAlias = int | Literal["critical", "high", "normal", "low"]
"""0 to 10, or the name of a class."""
Listener: TypeAlias = Callable[[Progress], object]

KEEP_S = 60.0
"""How long the outcome of a call whose caller has gone is kept, s."""


class CallOptions(TypedDict, total=False):
    """What every way of calling takes. All are optional."""

    tool: str | None
    """The tool, where the name is a capability alone."""
    priority: Priority
    """0 to 10 or a class; 5 by default, and low for `map`."""
    timeout: Duration
    """Total time until the outcome, counted from the end of `delay`: 120 s for call, 1 h for submit."""
    start_within: Duration | None
    """How long it may wait for a worker."""
    attempt_timeout: Duration | None
    """Time of one attempt; by default what the server's configuration says."""
    max_attempts: int
    """Attempts that it is charged for at most, 3 by default."""
    idempotency_key: str | None
    """Callers with the same key share one request and its outcome for 24 h."""
    idempotent: bool | None
    """Whether running it twice does no harm; None: as the operator or the tool itself says."""
    delay: Duration | None
    """Do not start it before that time has passed."""
    on_progress: Listener | None
    """Called in the event loop with each Progress; what it raises is logged and dropped."""
    on_cancel: Literal["cancel", "detach"]
    """What happens to the request when its caller is cancelled."""
    when_full: Literal["wait", "raise"]
    """Wait for room in a full queue (within the timeout), or raise QueueFullError."""
    when_unavailable: Literal["queue", "raise"]
    """Queue although no worker serves the capability now, or raise NoServersError."""
    raise_on_tool_error: bool
    """False: a tool's own error is returned as a Result with `is_error`."""
    tenant: str
    """Whose request it is: part of the idempotency key's scope."""
    metadata: Mapping[str, Any] | None
    """Travels to the server as the call's `_meta`."""
    trace: str
    """A W3C `traceparent`."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a call is given when its caller does not say, s."""

    timeout: float = 120.0
    submit_timeout: float = 3600.0
    max_attempts: int = 3
    backoff: float = 1.0
    backoff_max: float = 10.0
    outstanding: int = 10_000
    result_ttl: float = 3600.0
    idempotency_ttl: float = 86_400.0
    rules: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What its own file says of routing rules, as that writes it."""

    @classmethod
    def of(cls, config: Config) -> Defaults:
        """Return what a configuration says."""
        call, queue = config.call, config.queue
        return cls(
            timeout=call.timeout, submit_timeout=call.submit_timeout, max_attempts=call.max_attempts,
            backoff=call.backoff, backoff_max=call.backoff_max,
            outstanding=call.outstanding, result_ttl=queue.result_ttl, idempotency_ttl=queue.idempotency_ttl,
            rules=config.model_dump(include={*KEYS} & config.model_fields_set, exclude_unset=True),
        )  # fmt: skip

    @classmethod
    def found(cls, directory: Path, environ: Mapping[str, str]) -> Defaults:
        """Return what the nearest `mcpweft.toml` and the environment say. Raises InvalidConfigError."""
        config = own_config(directory, environ, "MCPWEFT_CALL__", "MCPWEFT_QUEUE__", "MCPWEFT_RULES")
        return cls() if config is None else cls.of(config)


def own_config(directory: Path, environ: Mapping[str, str], *variables: str) -> Config | None:
    """Return what the nearest `mcpweft.toml` and the environment say; None where neither says anything.

    Of the environment those variables count that begin so. Raises InvalidConfigError.
    """
    path = tomlfile.nearest(directory)
    if path is None and not any(name.startswith(variables) for name in environ):
        return None
    from mcpweft_schemas.config import load_config  # noqa: PLC0415  # slow, and rarely needed

    return load_config(path, environ=environ)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one call. Times are seconds."""

    klass: Class = Class.NORMAL
    timeout: float = 120.0
    start_within: float = 0.0
    attempt_timeout: float = 0.0
    """0: what the server's configuration says."""
    max_attempts: int = 3
    delay: float = 0.0
    key: str | None = None
    safe: bool | None = None
    patient: bool = True
    """Whether it waits for room in a full queue."""
    picky: bool = False
    """Whether it fails when there is no worker."""
    stop: bool = True
    """Whether its caller's end ends it."""
    raise_on_tool_error: bool = True
    on_progress: Listener | None = None
    tenant: str = ""
    metadata: Mapping[str, Any] | None = None
    trace: str = ""
    key_keep: float = 86_400.0
    keep: float = KEEP_S
    tool: str | None = field(default=None)
    rules: str = ""
    """Which routing rules fitted (`Ruling.write`)."""

    def submission(  # what differs between two calls on the same terms
        self, request_id: str, tool: str, arguments: Mapping[str, Any], *, waiter: str, flags: str = ""
    ) -> Submission:
        """Return the request to enqueue. Raises InvalidArgumentsError for arguments that cannot travel."""
        body = wire.pack_request(arguments, self.metadata)
        keyed = self.key is not None
        return Submission(
            id=request_id,
            tool=tool,
            klass=self.klass,
            body=body,
            timeout_ms=max(1, round((self.timeout + self.delay) * 1000)),
            attempt_timeout_ms=round(self.attempt_timeout * 1000),
            max_attempts=self.max_attempts,
            start_within_ms=round((self.start_within + self.delay) * 1000) if self.start_within else 0,
            delay_ms=round(self.delay * 1000),
            safe=self.safe,
            flags=flags + (wire.STORED if keyed and wire.STORED not in flags else "") + self._flags(flags),
            waiter=waiter,
            key=wire.key_digest(self.tenant, self.key) if self.key is not None else "",
            print=wire.fingerprint(tool, arguments) if keyed else "",
            trace=self.trace,
            tenant=self.tenant,
            keep_ms=round(max(self.keep, self.key_keep if keyed else 0.0) * 1000),
            key_keep_ms=round(self.key_keep * 1000) if keyed else 0,
            extra=("rules", self.rules) if self.rules else (),
        )

    def _flags(self, given: str) -> str:
        picky = wire.PICKY if self.picky else ""
        heard = wire.PROGRESS if self.on_progress is not None and wire.PROGRESS not in given else ""
        return picky + heard


def read_terms(
    options: CallOptions, defaults: Defaults, *, stored: bool = False, klass: Class = Class.NORMAL
) -> Terms:
    """Return the terms that `options` ask for; `stored`: those of a submit. Raises InvalidConfigError."""
    for name in options:
        if name not in CallOptions.__annotations__:
            close = near(name, CallOptions.__annotations__)
            hint = f"Did you mean {' or '.join(close)}?" if close else "See CallOptions for what there is."
            raise InvalidConfigError(f"there is no option {name!r}", advice=hint)
    timeout = defaults.submit_timeout if stored else defaults.timeout
    terms = Terms(
        klass=_klass(options["priority"]) if "priority" in options else klass,
        timeout=_span("timeout", options.get("timeout"), timeout),
        start_within=_span("start_within", options.get("start_within"), 0.0),
        attempt_timeout=_span("attempt_timeout", options.get("attempt_timeout"), 0.0),
        max_attempts=_whole("max_attempts", options.get("max_attempts", defaults.max_attempts)),
        delay=_span("delay", options.get("delay"), 0.0),
        key=_key(options.get("idempotency_key")),
        safe=options.get("idempotent"),
        patient=_choice("when_full", options.get("when_full", "wait"), "wait", "raise"),
        picky=not _choice("when_unavailable", options.get("when_unavailable", "queue"), "queue", "raise"),
        stop=_choice("on_cancel", options.get("on_cancel", "cancel"), "cancel", "detach"),
        raise_on_tool_error=options.get("raise_on_tool_error", True),
        on_progress=options.get("on_progress"),
        tenant=_text("tenant", options.get("tenant", "")),
        metadata=_metadata(options.get("metadata")),
        trace=_text("trace", options.get("trace", "")),
        key_keep=defaults.idempotency_ttl,
        keep=defaults.result_ttl if stored else KEEP_S,
        tool=options.get("tool"),
    )
    _check_times(terms, defaults, given="attempt_timeout" in options or "max_attempts" in options)
    return terms


def _check_times(terms: Terms, defaults: Defaults, *, given: bool) -> None:
    """Check that the attempts asked for fit into the time asked for, backoffs included."""
    if terms.timeout <= 0:
        raise InvalidConfigError(
            "timeout is 0", advice="Give it the time that the call may take, such as 20s."
        )
    if not given or not terms.attempt_timeout:
        return
    waits = duration.longest_wait(defaults.backoff, defaults.backoff_max, terms.max_attempts)
    need = terms.attempt_timeout * terms.max_attempts + waits
    if need > terms.timeout:
        say = duration.spoken
        raise InvalidConfigError(
            f"timeout ({say(terms.timeout)}) is shorter than its attempts: {terms.max_attempts} times "
            f"{say(terms.attempt_timeout)} and {say(waits)} of backoff make {say(need)}",
            advice=f"Raise timeout to {say(need)} or more, or lower attempt_timeout or max_attempts.",
        )


def _klass(priority: object) -> Class:
    try:
        if isinstance(priority, str):
            return Class(priority)
        if isinstance(priority, int) and not isinstance(priority, bool):
            return Class.of(priority)
    except ValueError:
        pass
    raise InvalidConfigError(
        f"priority is {priority!r}", advice=f"Write 0 to 10, or one of {', '.join(Class)}."
    )


def span(name: str, value: Duration | None, otherwise: float) -> float:
    """Return seconds; `otherwise` for None. Raises InvalidConfigError, naming the option."""
    if value is None:
        return otherwise
    if isinstance(value, timedelta):
        value = value.total_seconds()
    try:
        return duration.seconds(value)
    except ValueError as error:
        raise InvalidConfigError(f"{name} is {value!r}", advice=f"{error}.") from None


_span = span


def _whole(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise InvalidConfigError(f"{name} is {value!r}", advice="Write a whole number from 1 on.")


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    raise InvalidConfigError(f"{name} is {value!r}", advice="Write text, or leave it out.")


def _metadata(value: object) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, Mapping):
        return value
    raise InvalidConfigError(f"metadata is {value!r}", advice="Give it a mapping of JSON values.")


def _key(value: str | None) -> str | None:
    if value == "":
        raise InvalidConfigError(
            "idempotency_key is empty", advice="Leave it out, or name what it stands for."
        )
    return value


def _choice(name: str, value: str, yes: str, no: str) -> bool:
    if value not in (yes, no):
        raise InvalidConfigError(f"{name} is {value!r}", advice=f"Write {yes!r} or {no!r}.")
    return value == yes
