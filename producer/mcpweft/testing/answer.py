"""What a fake says to each call: answers, failures and their order, by the name of the tool.

Above stand the fakes and the fake desk. This module must never know who asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from mcpweft.result import Progress
from mcpweft.terms import span
from mcpweft_schemas.errors import BY_CODE, InvalidConfigError, McpweftError
from mcpweft_schemas.keys import NAME
from mcpweft_schemas.outcome import Code, Executed
from mcpweft_schemas.packing import check

if TYPE_CHECKING:
    from mcpweft.terms import Duration

Failure: TypeAlias = McpweftError | type[McpweftError] | Code | str
"""An error to raise as it is, or a class or code whose words are then the real client's."""
Step: TypeAlias = Progress | float
Content: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call is told."""

    value: Any = None
    """The tool's value, or a callable that makes it of the arguments."""
    content: Content | None = None
    """MCP content blocks in the place of those that follow from the value."""
    error: McpweftError | None = None
    code: Code = Code.OK
    executed: Executed | None = None
    """None: as is usual for the code."""
    delay: float = 0.0
    progress: tuple[Progress, ...] = ()

    @classmethod
    def value_of(cls, value: Any, content: Content | None, delay: Duration, progress: Iterable[Step]) -> Self:
        """Return an answer. Raises InvalidArgumentsError where it could not travel, InvalidConfigError."""
        if not callable(value):
            check(value)
        check([dict(block) for block in content or ()])
        steps = [
            step if isinstance(step, Progress) else Progress(float(step), None, None, attempt=1)
            for step in progress
        ]
        return cls(value=value, content=content, delay=span("delay", delay, 0.0), progress=tuple(steps))

    @classmethod
    def failure_of(cls, failure: Failure, executed: Executed | str | None, delay: Duration) -> Self:
        """Return a failure. Raises InvalidConfigError for what the client never raises."""
        code, error = _read_failure(failure)
        ran = executed
        if ran is None and error is not None and code is not Code.TOOL_ERROR:  # a tool that failed has run
            ran = error.executed
        return cls(
            error=error,
            code=code,
            executed=None if ran is None else Executed(ran),
            delay=span("delay", delay, 0.0),
        )


def _read_failure(failure: object) -> tuple[Code, McpweftError | None]:
    if isinstance(failure, McpweftError) and hasattr(failure, "code"):  # a branch of the tree has none
        return failure.code, failure
    if isinstance(failure, type) and issubclass(failure, McpweftError) and hasattr(failure, "code"):
        return failure.code, None
    if isinstance(failure, str) and failure in BY_CODE:
        return Code(failure), None
    raise InvalidConfigError(
        f"the client never raises {failure!r}",
        advice="Give an error of mcpweft.errors, its class, or a code other than OK.",
    )


class Answers:
    """What the calls of one tool are told, in their order; the last of it is told from then on."""

    def __init__(self, first: Answer) -> None:
        self._line = [first]
        self._next = 0

    def then_returns(
        self,
        value: Any = None,
        *,
        content: Content | None = None,
        delay: Duration = 0,
        progress: Iterable[Step] = (),
    ) -> Self:
        """Tell this to the next call; as `returns`."""
        self._line.append(Answer.value_of(value, content, delay, progress))
        return self

    def then_raises(
        self, failure: Failure, *, executed: Executed | str | None = None, delay: Duration = 0
    ) -> Self:
        """Raise this in the next call; as `raises`."""
        self._line.append(Answer.failure_of(failure, executed, delay))
        return self

    def take(self) -> Answer:
        """Return what the next call is told."""
        answer = self._line[self._next]
        self._next = min(self._next + 1, len(self._line) - 1)
        return answer


class Script:
    """All that a fake was told to say."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], Answers] = {}

    def put(self, name: str, answer: Answer) -> Answers:
        """Say what calls of `name` are told from now on. Raises InvalidConfigError for no such name."""
        capability, dot, tool = name.partition(".")
        if not capability or (dot and not tool):
            raise InvalidConfigError(f"{name!r} names no tool", advice='Write "capability.tool".')
        if capability.strip("*?") and not NAME.fullmatch(capability.replace("*", "x").replace("?", "x")):
            raise InvalidConfigError(
                f"{name!r} names no capability", advice='Write "capability.tool", or "*" for any.'
            )
        key = capability, tool or capability
        self._answers.pop(key, None)  # what was said last is found first
        self._answers[key] = answers = Answers(answer)
        return answers

    def find(self, capability: str, tool: str) -> Answers | None:
        """Return what calls of a tool are told: by its own name, else by the newest pattern that fits."""
        if (exact := self._answers.get((capability, tool))) is not None:
            return exact
        for (pool, name), answers in reversed(self._answers.items()):
            if fnmatchcase(capability, pool) and fnmatchcase(tool, name):
                return answers
        return None

    def pools(self) -> list[str]:
        """Return the capabilities that have a name of their own."""
        return sorted({pool for pool, _ in self._answers if not _is_pattern(pool)})

    def serves(self, capability: str) -> bool:
        """Whether there is an answer to any tool of a capability."""
        return any(fnmatchcase(capability, pool) for pool, _ in self._answers)

    def tools(self, capability: str) -> list[str]:
        """Return a capability's tools that have a name of their own."""
        found = {name for pool, name in self._answers if fnmatchcase(capability, pool)}
        return sorted(name for name in found if not _is_pattern(name))


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name
