"""The tools of one server, and whether arguments fit them, before anything is sent.

Above stands the runner. Below: jsonschema-rs, which no schema can make spin. Nothing is ever fetched: a
schema that refers to another document, or is no schema, leaves its tool unchecked, with a warning. It must
never know how a tool is called.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from mcpweft_schemas.errors import InvalidArgumentsError, near
from mcpweft_schemas.packing import check
from mcpweft_workers.failure import CallFailed, Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcpweft_workers.tool import Tool

log = logging.getLogger(__name__)

SAID = 3
"""Faults of the arguments that are told at most; the first ones help, the hundredth does not."""
_EXCERPT = 200
_REGEX = jsonschema_rs.FancyRegexOptions(backtrack_limit=100_000)


class Catalog:
    """Tools by name, each with its compiled schema; made anew whenever the server lists its tools."""

    def __init__(self, server: str, tools: Iterable[Tool]) -> None:
        self._server = server
        self.tools = {tool.name: tool for tool in tools}
        self._compiled: dict[str, jsonschema_rs.Validator | None] = {}

    def check(self, tool: str, arguments: dict[str, Any]) -> None:
        """See that the tool exists and may be called with these arguments.

        Raises:
            CallFailed: UNKNOWN_TOOL with near names, or INVALID_ARGUMENTS with the JSON path; unsent.

        """
        listed = self.tools.get(tool)
        if listed is None:
            raise CallFailed(Cause.UNKNOWN_TOOL, self._unknown(tool))
        if listed.task_required:
            text = f"Tool {tool!r} of {self._server!r} answers by a task only, which cannot be called yet"
            raise CallFailed(Cause.UNKNOWN_TOOL, text)
        try:
            faults = self._faults(listed, arguments)
        except (ValueError, RecursionError) as exc:
            faults = f"cannot be checked: {exc}"
        if faults:
            raise CallFailed(Cause.INVALID_ARGUMENTS, f"Arguments of {tool!r} {faults}")

    def _faults(self, tool: Tool, arguments: dict[str, Any]) -> str:
        """Say what is wrong with the arguments; an empty string when nothing is."""
        try:
            check(arguments)
        except InvalidArgumentsError as error:
            return f"cannot travel: {error.what}"
        validator = self._validator(tool)
        if validator is None or validator.is_valid(arguments):
            return ""
        said = [
            f"at {_path(error.instance_path)}: {error.message[:_EXCERPT]}"
            for error in itertools.islice(validator.iter_errors(arguments), SAID)
        ]
        return f"do not fit its schema, {'; '.join(said)}"

    def _unknown(self, tool: str) -> str:
        text = f"Server {self._server!r} has no tool {tool!r}"
        names = near(tool, self.tools)
        return f"{text}; near: {', '.join(names)}" if names else text

    def _validator(self, tool: Tool) -> jsonschema_rs.Validator | None:
        if tool.name not in self._compiled:
            self._compiled[tool.name] = self._compile(tool)
        return self._compiled[tool.name]

    def _compile(self, tool: Tool) -> jsonschema_rs.Validator | None:
        try:
            return jsonschema_rs.validator_for(
                tool.input_schema,
                retriever=_nothing,
                pattern_options=_REGEX,
                mask="the value",  # what a message quotes ends in logs, and arguments may be secret
            )
        except Exception as exc:  # noqa: BLE001  # a schema is a server's word: whatever it does, the tool stays
            reason = str(exc).splitlines()[0][:_EXCERPT] if str(exc) else type(exc).__name__
            log.warning("Schema of tool %r of server %r is not used: %s", tool.name, self._server, reason)
            return None


def _nothing(uri: str) -> Any:
    raise LookupError(f"{uri} is another document, and none is ever fetched")


def _path(parts: Iterable[str | int]) -> str:
    path = "$"
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path
