"""What a corpus consists of: records that can be found, and relations between entities.

Every record is an entity, and so is what records speak of and the corpus does not hold (a base class of
another library). Above stand the readers, which make them, the index, which keeps them, and what searches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a search can find."""

    name: str
    """What it is called by, alone of its kind in the corpus: `shutil.copytree`, `guide.md#setup`."""
    kind: str
    """module, class, function, method, document or section."""
    content: str
    """What is shown, and searched."""
    source: str
    """Where it stands: the file, seen from the corpus' folder, and the line: `shutil.py:550`."""
    title: str = ""
    """Its name within what it is part of: `copytree`, `Setup`."""
    about: str = ""
    """What it is part of, in a few words: they help to find what says little of itself."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """What else is known of it, for whoever reads the answer."""

    @property
    def summary(self) -> str:
        """What it says first, after its signature or heading."""
        return self.content.partition("\n\n")[2].partition("\n\n")[0]


@dataclass(frozen=True, slots=True)
class Relation:
    """That one entity stands in a relation to another."""

    subject: str
    verb: str
    """contains, imports, inherits, calls or links."""
    object: str


@dataclass(frozen=True, slots=True)
class Edge:
    """One relation as it is seen from one of its ends."""

    verb: str
    outwards: bool
    """Whether the end that it is seen from is its subject."""
    other: str


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read of a corpus."""

    records: list[Record]
    relations: list[Relation]
    aliases: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other names of entities: `asyncio.gather` for `asyncio.tasks.gather`."""
