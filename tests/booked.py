"""What `book` must do, in plain Python: the part of the oracle that keeps figures by the slot.

Above stands `play`, which holds the scripts against it. It knows no store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpweft_schemas.figure import Tally
from mcpweft_schemas.word import Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapshot import Snapshot

WIDTHS = (10, 600)
LEVELS = "#=@"
"""What the names of those fields begin with that the sweep writes."""


@dataclass(slots=True)
class Books:
    """The figures of one pool as they must be."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])
    slots: dict[str, dict[str, Tally]] = field(default_factory=dict[str, dict[str, Tally]])

    def book(self, now: int, who: str, number: int, told: Mapping[str, Tally]) -> Word:
        """Add what was counted to both slots, unless it or a later one of the same was added before."""
        if number <= self.numbers.get(who, 0):
            return Word.REPEAT
        self.numbers[who] = number
        for width in WIDTHS:
            slot = self.slots.setdefault(f"a:{width}:{now // 1000 // width * width}", {})
            for name, tally in told.items():
                slot.setdefault(name, Tally()).add(tally)
        return Word.OK

    def differences(self, shot: Snapshot) -> Iterator[str]:
        """Tell in what the slots that lie there differ from these."""
        booked = {
            key: {name: Tally.read(value) for name, value in fields.items() if name[0] not in LEVELS}
            for key, fields in shot.slots.items()
        }
        for key in booked.keys() | self.slots.keys():
            theirs = {name: tally.amounts for name, tally in booked.get(key, {}).items()}
            mine = {name: tally.amounts for name, tally in self.slots.get(key, {}).items()}
            if mine != theirs:
                yield f"{key} holds {theirs}, and should hold {mine}"
