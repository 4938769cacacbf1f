"""Functions with one line altered: mistakes made on purpose, as `altered` makes them in the moves.

Above stand the tests that see whether such a mistake is noticed. Below is the source of what is tested, which
is changed by plain substitution and compiled anew. A change that fits no line is an error: a mutant that is
not one would prove nothing.
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass(frozen=True, slots=True)
class Line:
    """Text for other text, in a function of a module or a method of a class."""

    owner: Any
    name: str
    old: str
    new: str

    def altered(self) -> Any:
        """Return the function with the change."""
        function = vars(self.owner)[self.name]
        source = textwrap.dedent(inspect.getsource(function))
        hits = source.count(self.old)
        assert hits == 1, f"found {hits} times, not once: {self.old!r}"
        code = compile(source.replace(self.old, self.new), inspect.getfile(function), "exec")
        made: dict[str, Any] = {}
        exec(code, function.__globals__, made)  # noqa: S102  # the project's own text, changed by a test
        return made[self.name]


@contextlib.contextmanager
def in_force(line: Line) -> Generator[None]:
    """Let this process run the altered function."""
    with mock.patch.object(line.owner, line.name, line.altered()):
        yield
