"""What was asked of a fake: a record of each call, and assertions that say what was asked instead.

Above stand the fakes. This module must never know how a call is answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, overload

from mcpweft_schemas.errors import near

Way: TypeAlias = Literal["call", "submit", "map"]

_SHOWN = 10  # calls listed in one message


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it was asked for."""

    capability: str
    tool: str
    arguments: Mapping[str, Any]
    """As they would have arrived at the server."""
    options: Mapping[str, Any]
    """What was given beside them, as it was given: `priority`, `timeout`, `idempotency_key`, …"""
    way: Way
    """The method of the client."""
    request_id: str = field(compare=False)
    """Of the request that answered it: calls that share an idempotency key share one."""

    @property
    def name(self) -> str:
        """`capability.tool`."""
        return f"{self.capability}.{self.tool}"

    def __str__(self) -> str:
        return f"{self.way} {self.name}{_given(self.arguments, self.options)}"


def _given(arguments: Mapping[str, Any] | None, options: Mapping[str, Any]) -> str:
    said = [] if arguments is None else [repr(dict(arguments))]
    return f"({', '.join([*said, *(f'{name}={value!r}' for name, value in options.items())])})"


class Calls(Sequence[Call]):
    """The calls of one test, in the order in which they were accepted. It reads like a list."""

    def __init__(self, calls: Sequence[Call] = ()) -> None:
        self._calls = list(calls)

    @overload
    def __getitem__(self, at: int) -> Call: ...
    @overload
    def __getitem__(self, at: slice) -> list[Call]: ...
    def __getitem__(self, at: int | slice) -> Call | list[Call]:
        return self._calls[at]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls))

    def __eq__(self, other: object) -> bool:
        return self._calls == list(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        raise TypeError("calls are no key: there may be more of them later")

    def __repr__(self) -> str:
        return f"Calls([{', '.join(map(str, self._calls))}])"

    def add(self, call: Call) -> None:
        """Record a call."""
        self._calls.append(call)

    def clear(self) -> None:
        """Forget them: what was asked while a test set things up."""
        self._calls.clear()

    def of(self, name: str) -> Calls:
        """Return the calls of a `capability.tool`, or of a whole capability."""
        return Calls([call for call in self._calls if name in (call.name, call.capability)])

    def assert_called(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> Call:
        """Return the last call of `name` with these arguments and options; fail where there is none.

        Args:
            name: `capability.tool`, or a capability.
            arguments: All of them, compared with `==`; None for any. `unittest.mock.ANY` fits every value.
            **options: Those to compare; others may have been given.

        """
        __tracebackhide__ = True
        found = self._fitting(name, arguments, options)
        if not found:
            raise AssertionError(self._instead(name, arguments, options, "was not called"))
        return found[-1]

    def assert_called_once(
        self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any
    ) -> Call:
        """Return the one call of `name` with these arguments and options; fail where it is not one."""
        __tracebackhide__ = True
        found = self._fitting(name, arguments, options)
        if len(found) != 1:
            what = f"was called {len(found)} times, not once" if found else "was not called"
            raise AssertionError(self._instead(name, arguments, options, what))
        return found[0]

    def assert_not_called(
        self, name: str | None = None, arguments: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        """Fail where `name` was called with these arguments and options; without one, where anything was."""
        __tracebackhide__ = True
        if name is None:
            if self._calls:
                raise AssertionError(f"nothing was to be called, and there were\n{_lines(self._calls)}")
            return
        found = self._fitting(name, arguments, options)
        if found:
            raise AssertionError(f"{name} was not to be called, and there were\n{_lines(found)}")

    def _fitting(
        self, name: str, arguments: Mapping[str, Any] | None, options: Mapping[str, Any]
    ) -> list[Call]:
        return [
            call
            for call in self.of(name)
            if (arguments is None or dict(call.arguments) == dict(arguments))
            and all(key in call.options and call.options[key] == value for key, value in options.items())
        ]

    def _instead(
        self, name: str, arguments: Mapping[str, Any] | None, options: Mapping[str, Any], what: str
    ) -> str:
        """Say what was called in the place of what was looked for."""
        asked = f"{name}{_given(arguments, options)}" if arguments is not None or options else name
        if not self._calls:
            return f"{asked} {what}: nothing was called"
        same = self.of(name)
        if same:
            return f"{asked} {what}; calls of {name} were\n{_lines(same)}"
        close = near(name, [call.name for call in self._calls], most=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{asked} {what}{hint}; calls were\n{_lines(self._calls)}"


def _lines(calls: Sequence[Call]) -> str:
    told = [f"  {call}" for call in calls[:_SHOWN]]
    more = len(calls) - _SHOWN
    return "\n".join([*told, f"  and {more} more"] if more > 0 else told)
