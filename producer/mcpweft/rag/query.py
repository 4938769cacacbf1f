"""A question to the fabric's search servers, checked and made exact.

Above stand the client and the analyser. Nothing here knows where it goes. Every wrong value is an
InvalidArgumentsError that names it and says what to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mcpweft_schemas.errors import InvalidArgumentsError

if TYPE_CHECKING:
    from mcpweft.terms import Priority

MAX_RESULTS, THRESHOLD = 5, 0.7
MOST = 1000
"""Results that one question may ask for at most."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question."""

    text: str
    context: str | None = None
    """What the question is about, beside its own words."""
    max_results: int = MAX_RESULTS
    threshold: float = THRESHOLD
    """Relevance, 0 to 1, below which nothing is wanted; 0: everything, the best first."""
    metadata: Mapping[str, Any] | None = None
    """Travels to the server beside the call."""
    priority: Priority | None = None
    """None: as the question's form hints."""
    capability: str | None = None
    """None: as the analyser says."""

    def checked(self) -> Query:
        """Return this question. Raises InvalidArgumentsError where it is none."""
        if not _is(self.text, str) or not self.text.strip():
            raise InvalidArgumentsError("the query is empty", advice="Ask something, in words.")
        if self.context is not None and not _is(self.context, str):
            raise InvalidArgumentsError(f"context is {self.context!r}", advice="Write text, or leave it out.")
        if not _is(self.max_results, int) or not 1 <= self.max_results <= MOST:
            raise InvalidArgumentsError(
                f"max_results is {self.max_results!r}", advice=f"Write a whole number from 1 to {MOST}."
            )
        if not _is(self.threshold, int, float) or not 0 <= self.threshold <= 1:
            raise InvalidArgumentsError(
                f"threshold is {self.threshold!r}", advice="Write a number from 0 to 1."
            )
        if self.metadata is not None and not _is(self.metadata, Mapping):
            raise InvalidArgumentsError(
                f"metadata is {self.metadata!r}", advice="Give it a mapping of JSON values."
            )
        if self.capability is not None and not (_is(self.capability, str) and self.capability):
            raise InvalidArgumentsError(
                f"capability is {self.capability!r}", advice="Name a pool, or leave it out."
            )
        return self


def _is(value: object, *kinds: type) -> bool:
    """Whether a caller kept to what is annotated; a bool is no number."""
    return isinstance(value, kinds) and not isinstance(value, bool)
