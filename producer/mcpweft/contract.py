"""A contract: what an annotated function says of a tool, held to by pydantic both ways.

Its parameters are the tool's arguments, its return annotation is what `Result.data` must be. Above stand the
typed stubs; this module must never know how a tool is called, and is loaded by those who use stubs only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, NotRequired, TypeVar, cast, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mcpweft.result import Result
from mcpweft_schemas.errors import InvalidArgumentsError, InvalidConfigError, ToolError

T = TypeVar("T")

_SHOWN = 5  # faults named in one message


class Contract(Generic[T]):
    """What one tool takes and gives. Raises InvalidConfigError where the function cannot say so."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.name = name
        self._signature = inspect.signature(function)
        hints = get_type_hints(function, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in self._signature.parameters.values():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise InvalidConfigError(
                    f"the stub of {name} has a parameter *{parameter.name}",
                    advice="Name each argument of the tool as a parameter.",
                )
            fields[parameter.name] = NotRequired[hints.get(parameter.name, Any)]
        self._returns: Any = hints.get("return", Any)
        self._raw = self._returns is Result
        try:
            self._arguments: TypeAdapter[Any] = TypeAdapter(cast("Any", TypedDict)("Arguments", fields))
            self._value: TypeAdapter[Any] = TypeAdapter(Any if self._raw else self._returns)
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise InvalidConfigError(
                f"an annotation of the stub of {name} is no data type: {error}",
                advice="Use types that pydantic validates.",
            ) from error

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tool's arguments as JSON values. Raises InvalidArgumentsError, naming each path.

        A default is sent as if it had been given; a default of None is left out, for the server to choose.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgumentsError(
                f"{self.name}: {error}", advice=f"It takes {self._signature}."
            ) from None
        given = dict(bound.arguments)
        for name, parameter in self._signature.parameters.items():
            if name not in given and parameter.default is not None:
                given[name] = parameter.default
        try:
            checked = self._arguments.validate_python(given)
        except ValidationError as error:
            raise InvalidArgumentsError(
                f"the arguments of {self.name} do not fit: {_faults(error)}", advice="Correct what is named."
            ) from error
        return cast("dict[str, Any]", self._arguments.dump_python(checked, mode="json", by_alias=True))

    def one(self, item: object) -> dict[str, Any]:
        """Return the arguments that an item of a map stands for: a mapping, a tuple, or the only one."""
        if isinstance(item, Mapping):
            return self.arguments((), cast("Mapping[str, Any]", item))
        if isinstance(item, tuple):
            return self.arguments(item, {})
        return self.arguments((item,), {})

    def value(self, result: Result) -> T:
        """Return a result as what the function promises. Raises ToolError where it is something else."""
        if self._raw:
            return cast("T", result)
        if self._returns is None or self._returns is type(None):
            return cast("T", None)
        try:
            return cast("T", self._value.validate_python(result.data))
        except ValidationError as error:
            if result.structured is None and result.data is not result.text:
                try:  # a text that happens to be JSON, where text was promised
                    return cast("T", self._value.validate_python(result.text))
                except ValidationError:
                    pass
            raise self._misfit(result, error) from error

    def _misfit(self, result: Result, error: ValidationError) -> ToolError:
        failed = ToolError(
            f"the answer of {self.name} is not what its stub promises: {_faults(error)}",
            advice="Correct the stub's return annotation, or make it Result; the answer is in `result`.",
            executed=result.executed,
            request_id=result.request_id,
            times=result.times,
            attempts=result.attempts,
        )
        failed.result = result
        return failed


def _faults(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    told = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the value'}: {fault['msg']}"
        for fault in found[:_SHOWN]
    ]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return "; ".join(told) + more
