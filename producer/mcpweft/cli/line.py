"""A line of `mcpweft map`'s input: which call it asks for.

Above stands `bulk`. This module must never make a call.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from mcpweft_schemas.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from mcpweft.terms import CallOptions

_PER_LINE = {
    "call",
    "arguments",
    "priority",
    "timeout",
    "attempt_timeout",
    "max_attempts",
    "idempotent",
    "tenant",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One line, read."""

    target: str
    arguments: dict[str, Any]
    options: CallOptions


class Reading:
    """How a line becomes a call."""

    def __init__(self, target: str | None, options: dict[str, Any]) -> None:
        """`target`: what each line calls, if it is the same; `options`: what holds for every line."""
        self._target = target
        self._options = options

    def read(self, line: str) -> Call:
        """Return the call. Raises InvalidArgumentsError where the line is none."""
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _no_call(f"the line is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise _no_call("the line is no JSON object")
        said = cast("dict[str, Any]", value)
        if self._target is not None:
            return Call(self._target, said, self._settled({}))
        unknown = sorted(set(said) - _PER_LINE)
        arguments = said.get("arguments", {})
        if not isinstance(said.get("call"), str) or not isinstance(arguments, dict) or unknown:
            raise _no_call(
                "the line is no call" + (f": {', '.join(unknown)} is not known" if unknown else "")
            )
        own = {key: said[key] for key in said.keys() - {"call", "arguments"}}
        return Call(said["call"], cast("dict[str, Any]", arguments), self._settled(own))

    def _settled(self, own: dict[str, Any]) -> CallOptions:
        options = {**self._options, **own}
        if str(options["priority"]).isdecimal():
            options["priority"] = int(options["priority"])
        return cast("CallOptions", options)


def _no_call(what: str) -> InvalidArgumentsError:
    return InvalidArgumentsError(
        what, advice='Write {"call": "CAP.TOOL", "arguments": {…}}, or name CAP.TOOL behind the file.'
    )
