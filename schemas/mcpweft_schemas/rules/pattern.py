"""A regular expression whose search takes time linear in the text, whoever wrote either of them.

RE2 has neither look-around nor back-references, and never goes back over what it has read. What a search
costs is at most the length of the text times the size of the compiled expression, so that size is bounded
too.

Above stands `ruleset`. This module must never know what is searched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 1000
"""Characters of an expression at most."""
LARGEST = 200
"""Instructions of a compiled expression at most: `.{1,50}` takes about a hundred."""
_MEMORY = 1 << 20


def compiled(text: str) -> Callable[[str], bool]:
    """Return what tells whether an expression is found anywhere in a text. Raises ValueError."""
    import re2  # noqa: PLC0415  # who has no such rule does not load it

    if len(text) > LONGEST:
        raise ValueError(f"Write an expression of at most {LONGEST} characters; this one has {len(text)}")
    options = re2.Options()
    options.never_capture, options.log_errors, options.max_mem = True, False, _MEMORY
    try:
        expression = re2.compile(text.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"Write an expression that RE2 knows: {said}") from None
    if (size := int(expression.programsize)) > LARGEST:
        raise ValueError(
            f"Write a simpler expression: with its counted repetitions it takes {size} steps for each "
            f"character of a text, more than {LARGEST}"
        )

    def found(value: str) -> bool:
        return expression.search(value.encode("utf-8", "replace")) is not None

    return found
